"""One space of one generation, opened for queries: its parts are read when first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import EmptyStoreError, IncompatibleEncoderError, IndexBuildError
from olrsearch.encoders.folder.model_files import read_readout
from olrsearch.maths.calibration import Calibration
from olrsearch.maths.metric import Metric, fit_metric
from olrsearch.search.index.label import LabelIndexes
from olrsearch.search.index.scores import LabelScores, read_scores
from olrsearch.search.index.view import EmbeddingView
from olrsearch.store.vectors.layout import HELD, LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I8, I64, Bool
    from olrsearch.maths.readout import Readout
    from olrsearch.search.index.built import BuiltIndex
    from olrsearch.search.index.scores import Evidence
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.values import Segment, SegmentInfo

_METRIC_SAMPLE = 2000
SCORES = "scores"
"""The folder of kept label scores among a space's indexes; no recipe may have this name."""


class OpenSpace:
    """Everything a query needs of one space of label embeddings.

    Args:
        snapshot: The generation.
        info: The space.

    Attributes:
        snapshot: The generation.
        info: The space.

    Raises:
        EmptyStoreError: nothing has been encoded into the space.
        IncompatibleEncoderError: the space holds posteriors.
    """

    def __init__(self, snapshot: Snapshot, info: SpaceInfo) -> None:
        if info.layout != LABELS:
            raise IncompatibleEncoderError(
                f"the space {info.name} holds {HELD[info.layout]}, no {HELD[LABELS]}: ask it with `olrsearch "
                "words`, or name another space"
            )
        if not info.segments:
            raise EmptyStoreError(f"the space {info.name!r} holds no embeddings yet: run olrsearch encode")
        self.snapshot = snapshot
        self.info = info
        self._scores: dict[Evidence, LabelScores] = {}

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The open segments, in the order they were added."""
        return tuple(self.snapshot.open_segment(segment) for segment in self.info.segments)

    @cached_property
    def view(self) -> EmbeddingView:
        """All living images that have an embedding."""
        return EmbeddingView(
            self.segments, self.snapshot.tombstoned(), labels=len(self.info.labels), size=self.info.k
        )

    @cached_property
    def readout(self) -> Readout:
        """The encoder's readout, without its network."""
        return read_readout(self.info.model_path)

    @cached_property
    def calibration(self) -> Calibration:
        """The stored calibration; the identity where there is none."""
        if self.info.calibration is None:
            return Calibration.identity(len(self.info.labels))
        return Calibration.from_dict(self.info.calibration)

    @cached_property
    def metric(self) -> Metric:
        """The stored metric; where none has been chosen, plain L2 with scales from a sample."""
        if self.info.metric is not None:
            return Metric.from_dict(self.info.metric)
        if len(self.view) < 2:  # no pair to measure a scale on, and nothing that scales could reorder
            shape = (self.view.labels, self.view.size)
            return Metric(
                "l2", "plain", np.zeros(shape, np.float32), np.ones(shape, np.float32), np.ones(shape[0])
            )
        rows = np.linspace(0, len(self.view) - 1, min(_METRIC_SAMPLE, len(self.view))).astype(np.int64)
        return fit_metric(self.view.gather_all(rows), "l2", form="plain")

    @cached_property
    def indexes(self) -> LabelIndexes:
        """The label indexes."""
        return LabelIndexes(self.view, self.metric)

    def stored_labels(self) -> I8:
        """Effective stored labels of the view's rows, int8 [N, L], in the encoder's label order."""
        return stored_labels(self.snapshot, self.view.ids, self.info.labels)

    def scores_path(self, segment: Segment) -> Path:
        """Where a segment's raw logits are kept once they are built."""
        return scores_path(segment.info, self.info)

    def scores(self, evidence: Evidence = "predicted") -> LabelScores:
        """Log-probabilities of labels by the evidence asked for.

        Raises:
            StoreCorruptError: kept scores are damaged.
        """
        if evidence not in self._scores:
            self._scores[evidence] = self._open_scores(evidence)
        return self._scores[evidence]

    def _open_scores(self, evidence: Evidence) -> LabelScores:
        kept = {
            number: found
            for number, segment in enumerate(self.segments)
            if (
                found := read_scores(
                    self.scores_path(segment), segment, self.readout, segment=segment.info.uuid
                )
            )
            is not None
        }
        return LabelScores(
            view=self.view,
            readout=self.readout,
            label_names=self.info.labels,
            calibration=self.calibration,
            evidence=evidence,
            stored=None if evidence == "predicted" else self.stored_labels(),
            artefacts=kept,
        )

    def score_notes(self, evidence: Evidence = "predicted") -> tuple[str, ...]:
        """What a reader of probabilities must know: none, a stale or a shipped calibration, no labels.

        Args:
            evidence: What the scores are of.
        """
        notes = []
        labelled = known_labels(self.snapshot, self.info)
        if evidence != "predicted" and not labelled:
            notes.append(f"no label that {self.info.name} knows is stored here: stored labels say nothing")
        if evidence == "labels":
            return tuple(notes)
        return (*notes, *calibration_notes(self.snapshot, self.info, self.calibration))

    def built(self, recipe: str) -> BuiltIndex:
        """The indexes that a recipe built for this space.

        Raises:
            IndexBuildError: there are none, they are damaged, or the metric has changed since.
        """
        from olrsearch.search.index.built import BuiltIndex

        if recipe not in self.info.indexes:
            known = ", ".join(sorted(self.info.indexes)) or "none"
            raise IndexBuildError(
                f"no index {recipe!r} in {self.info.name}, built are: {known}; "
                f"run olrsearch index build --recipe {recipe}"
            )
        return BuiltIndex.open(self.info.index_path / recipe, self.indexes)

    def coverage_notes(self) -> tuple[str, ...]:
        """Says so where living images have no embedding and are not in the answer."""
        missing = self.snapshot.image_count - len(self.view)
        if missing <= 0:
            return ()
        return (f"{missing:,} images have no embedding in {self.info.name} yet: run olrsearch encode",)


def scores_path(segment: SegmentInfo, info: SpaceInfo) -> Path:
    """Where a segment's raw logits are kept once they are built."""
    return info.index_path / SCORES / f"{segment.uuid}.npy"


def calibration_notes(snapshot: Snapshot, info: SpaceInfo, calibration: Calibration) -> tuple[str, ...]:
    """What a reader of a space's probabilities must know of their calibration: none, stale or shipped.

    Args:
        snapshot: The generation.
        info: The space, of either layout.
        calibration: What it has, or the identity.
    """
    labelled = known_labels(snapshot, info)
    fitted, now = calibration.label_revision, snapshot.label_revision
    if info.calibration is None:
        return (
            "probabilities are not calibrated: run olrsearch calibrate"
            if labelled
            else "probabilities are not calibrated, and no label is stored to fit them to",
        )
    if fitted is None:
        advice = ": run olrsearch calibrate to fit them to the labels of this store" if labelled else ""
        return (f"probabilities are calibrated on {calibration.split}{advice}",)
    if calibration_is_stale(info, snapshot):
        note = f"the calibration is of label revision {fitted}, the labels are at {now}"
        return (f"{note}: run olrsearch calibrate to bring it up to date",)
    return ()


def calibration_is_stale(info: SpaceInfo, snapshot: Snapshot) -> bool:
    """Whether stored labels changed since a space was calibrated to them.

    One that came with the encoder was fitted to other labels, which do not change.
    """
    fitted = None if info.calibration is None else info.calibration["label_revision"]
    return fitted is not None and fitted != snapshot.label_revision


def known_labels(snapshot: Snapshot, info: SpaceInfo) -> tuple[str, ...]:
    """The labels of a space's encoder that the store has too."""
    return tuple(name for name in info.labels if name in snapshot.label_names)


def stored_labels(snapshot: Snapshot, ids: I64, names: Sequence[str]) -> I8:
    """Effective stored labels, int8 [n, len(names)]; 0, unknown, for labels the store has never heard of.

    An encoder from elsewhere may know labels that no data set of this store has.
    """
    known = [column for column, name in enumerate(names) if name in snapshot.label_names]
    found = np.zeros((len(ids), len(names)), np.int8)
    if known:
        found[:, known] = snapshot.labels(ids, [names[column] for column in known])
    return found


def matching(snapshot: Snapshot, ids: I64, where: str) -> Bool:
    """Which of some images a condition selects.

    Args:
        snapshot: The generation.
        ids: int64 [n], images of it.
        where: `partition = 'test' and Smiling = present`; columns of images and stored labels.

    Returns:
        bool [n].

    Raises:
        QuerySyntaxError: it does not parse, or names another column.
    """
    from olrsearch.search.filters import allowed_rows, column_types, tests_labels
    from olrsearch.search.query import parse_where
    from olrsearch.store.read.columns import FILTER_COLUMNS

    node = parse_where(where, column_types(FILTER_COLUMNS), snapshot.label_names)
    return allowed_rows(
        node,
        ids,
        columns=FILTER_COLUMNS,
        select_ids=snapshot.image_ids,
        stored=snapshot.labels(ids) if tests_labels(node) else None,
        label_names=snapshot.label_names,
    )
