"""One space of posteriors of one generation, opened for queries: its parts are read when first needed.

Notation: N living images, W words, d dimensions, T = d(d+1)/2 numbers of a triangle.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from olrsearch.core.errors import GaussianError, IndexBuildError, ModelFileError, QueryError
from olrsearch.core.progress import Track, silent
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.folder.model_files import read_vocabulary
from olrsearch.maths.gaussian import check_shrinkage
from olrsearch.search.kl.exact_search import KlIndex
from olrsearch.search.kl.kept_features import FRAME, KlFeatures, choose_frame, kept_frame, read_frame
from olrsearch.search.kl.view import KlView
from olrsearch.search.kl.word_scores import WordScores, read_ratios, write_ratios
from olrsearch.search.spaces.about import (
    calibration_notes,
    check_any,
    check_built,
    check_layout,
    coverage_notes,
    stored_calibration,
)
from olrsearch.store.vectors.layout import POSTERIOR

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I8, I64
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.calibration import Calibration
    from olrsearch.maths.divergences import Direction
    from olrsearch.search.kl.built import BuiltKl
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.values import Segment

SHRINKAGE = "shrinkage"
"""The key of a configuration that holds λ."""

SPHERE = "sphere"
"""The key that says whether means lie on the unit sphere; without it they do not."""

KL = "kl"
WORDS = "words"
"""Folders of KL features and word scores among a space's indexes."""


class OpenPosteriors:
    """Everything a query of words needs of one space of posteriors.

    Args:
        snapshot: The generation.
        info: The space.

    Attributes:
        snapshot: The generation.
        info: The space.
        kl_folder: Where KL features are kept.
        words_folder: Where word scores are kept.

    Raises:
        EmptyStoreError: nothing has been encoded into the space.
        IncompatibleEncoderError: the space holds label embeddings.
    """

    def __init__(self, snapshot: Snapshot, info: SpaceInfo) -> None:
        check_layout(info, POSTERIOR, "olrsearch search")
        self.snapshot = snapshot
        self.info = info
        self.kl_folder = info.index_path / KL
        self.words_folder = info.index_path / WORDS
        self._built: dict[str, BuiltKl] = {}

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The open segments, in the order they were added: `ids`, `mean` [n, d], `factor` [n, T].

        Raises:
            StoreCorruptError: files are missing, cut or swapped.
        """
        return tuple(self.snapshot.open_segment(segment) for segment in self.info.segments)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The encoder's words and their vectors, float64 [W, d], without its network.

        Raises:
            ModelFileError: the model's files are missing or damaged.
        """
        return read_vocabulary(self.info.model_path)

    @cached_property
    def shrinkage(self) -> float | None:
        """λ of the priors the encoder was trained with; None where it learned the Gaussians of its words.

        Raises:
            ModelFileError: the encoder's configuration has none that could be one.
        """
        if self.vocabulary.learned is not None:
            return None
        found: Any = self.info.config.get(SHRINKAGE)
        if found is None:
            found = read_config(self.info.model_path).get(SHRINKAGE)
        try:
            shrinkage = float(found)
            check_shrinkage(shrinkage)
        except (TypeError, ValueError, GaussianError) as error:
            raise ModelFileError(
                f"the encoder of {self.info.name} has the shrinkage {found!r}, expected a number above 0 and "
                "up to 1: train or copy it again"
            ) from error
        return shrinkage

    @cached_property
    def on_sphere(self) -> bool:
        """Whether the encoder puts images on the unit sphere.

        Raises:
            ModelFileError: the model's files are missing or damaged.
        """
        return read_config(self.info.model_path).get(SPHERE) is True

    def shrinkage_or(self, asked: float | None) -> float | None:
        """λ that priors of words are made with, where somebody may have asked for one.

        Raises:
            QueryError: somebody has, and the encoder's words have Gaussians that it learned.
            ModelFileError: as `shrinkage`.
        """
        if asked is None:
            return self.shrinkage
        if self.vocabulary.learned is not None:
            raise QueryError(
                f"the words of {self.info.name} have Gaussians that it learned, which no shrinkage changes: "
                "leave --shrinkage out"
            )
        return asked

    @cached_property
    def view(self) -> KlView:
        """All living images that have a posterior."""
        return KlView(self.segments, self.snapshot.tombstoned())

    @cached_property
    def index(self) -> KlIndex:
        """Search by divergence, over the features that are kept; others are computed and not kept.

        A query writes nothing: `keep` does.

        Raises:
            EmptyStoreError: every image is deleted.
            IndexBuildError: kept features are damaged.
        """
        check_any(self.info, len(self.view), "search")
        frame = read_frame(self.kl_folder / FRAME, self.view.size) or choose_frame(self.view)

        def features(direction: Direction) -> list[KlFeatures]:
            return [
                KlFeatures.open(self.kl_folder, segment, frame, direction, segment=segment.info.uuid)
                or KlFeatures.compute(segment, frame, direction)
                for segment in self.segments
            ]

        return KlIndex(self.view, frame, features)

    def built(self, recipe: str) -> BuiltKl:
        """The index that a recipe built for this space.

        Raises:
            EmptyStoreError: every image is deleted.
            IndexBuildError: there is none, or it is damaged or does not fit.
            FaissInstallError: no usable faiss.
            DeviceError: its device is not there, or has too little memory.
        """
        from olrsearch.search.kl.built import open_built
        from olrsearch.search.kl.description import retired_note

        check_built(self.info, recipe)
        if (retired := retired_note(recipe, self.info.indexes[recipe])) is not None:
            raise IndexBuildError(retired)
        if recipe not in self._built:
            self._built[recipe] = open_built(
                self.info.index_path / recipe, self.index, self.info.indexes[recipe]
            )
        return self._built[recipe]

    @cached_property
    def scores(self) -> WordScores:
        """Ratios of words, from what is kept of them; others are computed and not kept.

        Raises:
            StoreCorruptError: kept scores are damaged.
        """
        words = self.vocabulary.scored
        kept = [
            read_ratios(self.words_folder, segment, words, segment=segment.info.uuid)
            for segment in self.segments
        ]
        return WordScores(self.view, words, kept)

    @cached_property
    def calibration(self) -> Calibration:
        """The stored calibration of the own words; the identity where there is none."""
        return stored_calibration(self.info)

    def score_notes(self) -> tuple[str, ...]:
        """What a reader of probabilities must know: none, or a stale calibration."""
        return calibration_notes(self.snapshot, self.info, self.calibration)

    def keep(self, directions: tuple[Direction, ...], *, again: bool = False, track: Track = silent) -> None:
        """Compute the KL features and word scores that are not kept yet, and keep them.

        Args:
            directions: Of the features.
            again: Also what is kept, in its place: it may be damaged.
            track: Shows progress.

        Raises:
            EmptyStoreError: every image is deleted.
            IndexBuildError, StoreCorruptError: what is kept is damaged, and is not to be made again.
            OSError: the folder of indexes cannot be written to.
            VectorError: a posterior holds NaN or infinity, or is singular.
        """
        check_any(self.info, len(self.view), "index")
        frame, words = kept_frame(self.kl_folder, self.view), self.vocabulary.scored
        segments = self.segments
        for segment in track(segments, total=len(segments), what="KL features", unit="segments"):
            uuid = segment.info.uuid
            for direction in directions:
                wanted = (self.kl_folder, segment, frame, direction)
                if again or KlFeatures.open(*wanted, segment=uuid) is None:
                    KlFeatures.write(*wanted, segment=uuid)
            if again or read_ratios(self.words_folder, segment, words, segment=uuid) is None:
                write_ratios(self.words_folder, segment, words, segment=uuid)
        for made in ("index", "scores"):  # what was opened before knows nothing of them
            self.__dict__.pop(made, None)
        self._built.clear()

    def coverage_notes(self) -> tuple[str, ...]:
        """Says so where living images have no posterior and are not in the answer."""
        return coverage_notes(self.snapshot, self.info, len(self.view), "posterior")

    def raw_scores(self, rows: I64) -> F64:
        """Ratios of the own words of some rows, float64 [W, len(rows)], nats."""
        return self.scores.own_of(rows)

    def choose_metric(self, rows: I64, labels: I8) -> None:
        """None: posteriors are compared by divergences."""
