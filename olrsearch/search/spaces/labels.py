"""One space of one generation, opened for queries: its parts are read when first needed."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.counted import counted
from olrsearch.core.errors import FitError
from olrsearch.encoders.folder.model_files import read_readout
from olrsearch.maths.metric import Metric, choose_metric, fit_metric
from olrsearch.search.index.label import LabelIndexes
from olrsearch.search.index.scores import LabelScores, read_scores
from olrsearch.search.index.view import EmbeddingView
from olrsearch.search.spaces.about import (
    calibration_notes,
    check_built,
    check_layout,
    coverage_notes,
    known_labels,
    stored_calibration,
    stored_labels,
)
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, I8, I64
    from olrsearch.maths.calibration import Calibration
    from olrsearch.maths.editing import Directions
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.maths.readout import Readout
    from olrsearch.search.index.built import BuiltIndex
    from olrsearch.search.index.scores import Evidence
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.values import Segment

_METRIC_SAMPLE = 2000
_DIRECTIONS_SAMPLE = 20_000
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
        check_layout(info, LABELS, "olrsearch words")
        self.snapshot = snapshot
        self.info = info
        self._scores: dict[Evidence, LabelScores] = {}
        self._gaussians: dict[int, Gaussians] = {}

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The open segments, in the order they were added."""
        return tuple(self.snapshot.open_segment(segment) for segment in self.info.segments)

    @cached_property
    def view(self) -> EmbeddingView:
        """All living images that have an embedding."""
        return EmbeddingView(self.segments, self.snapshot.tombstoned())

    @cached_property
    def readout(self) -> Readout:
        """The encoder's readout, without its network."""
        return read_readout(self.info.model_path)

    @cached_property
    def calibration(self) -> Calibration:
        """The stored calibration; the identity where there is none."""
        return stored_calibration(self.info)

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

    @cached_property
    def directions(self) -> Directions:
        """What edits move embeddings along, fitted to the images of the space.

        Raises:
            FitError: they are too few.
        """
        from olrsearch.maths.editing import FEWEST, fit_directions

        count, labels = len(self.view), self.view.labels
        if count < labels + FEWEST:
            raise FitError(
                f"{self.info.name} has {counted(count, 'image')}, and directions of {labels} labels need "
                f"{labels + FEWEST} or more: import and encode more, or edit with --way paper"
            )
        rows = np.linspace(0, count - 1, min(count, _DIRECTIONS_SAMPLE)).astype(np.int64)
        embeddings = self.view.gather_all(rows)
        logits = self.calibration.logits(self.readout.logits(embeddings), range(labels))
        weights = self.readout.weight * self.calibration.slope[:, None]
        return fit_directions(embeddings, logits, weights.astype(np.float64))

    def label_gaussian(self, label: int) -> Gaussians:
        """Where the vectors of images with a stored label lie, a batch of one; fitted when first asked for.

        Raises:
            FitError: too few images have it.
        """
        if label not in self._gaussians:
            from olrsearch.maths.editing import FEWEST, label_gaussian

            name = self.info.labels[label]
            rows = np.flatnonzero(stored_labels(self.snapshot, self.view.ids, [name])[:, 0] > 0)
            if len(rows) < FEWEST:
                raise FitError(
                    f"{counted(len(rows), 'image has', 'images have')} the stored label {name}, and the "
                    f"paper's way needs {FEWEST} or more to take its vector from: import labels, or edit "
                    "with --way directions"
                )
            rows = rows[:: max(1, len(rows) // _DIRECTIONS_SAMPLE)]
            self._gaussians[label] = label_gaussian(self.view.gather(label, rows))
        return self._gaussians[label]

    def stored_labels(self) -> I8:
        """Effective stored labels of the view's rows, int8 [N, L], in the encoder's label order."""
        return stored_labels(self.snapshot, self.view.ids, self.info.labels)

    def scores(self, evidence: Evidence = "predicted") -> LabelScores:
        """Log-probabilities of labels by the evidence asked for.

        Raises:
            StoreCorruptError: kept scores are damaged.
        """
        if evidence not in self._scores:
            self._scores[evidence] = LabelScores(
                view=self.view,
                readout=self.readout,
                label_names=self.info.labels,
                calibration=self.calibration,
                evidence=evidence,
                stored=None if evidence == "predicted" else self.stored_labels(),
                kept=[
                    read_scores(
                        scores_path(segment, self.info), segment, self.readout, segment=segment.info.uuid
                    )
                    for segment in self.segments
                ],
            )
        return self._scores[evidence]

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

        check_built(self.info, recipe)
        return BuiltIndex.open(self.info.index_path / recipe, self.indexes, self.info.indexes[recipe])

    def coverage_notes(self) -> tuple[str, ...]:
        """Says so where living images have no embedding and are not in the answer."""
        return coverage_notes(self.snapshot, self.info, len(self.view), "embedding")

    def raw_scores(self, rows: I64) -> F32:
        """Raw logits of some rows, float32 [L, len(rows)]."""
        return self.readout.logits(self.view.gather_all(rows))

    def choose_metric(self, rows: I64, labels: I8) -> Metric:
        """The metric that suits some labelled images best; see `maths.metric.choose_metric`.

        Args:
            rows: int64 [n].
            labels: int8 [n, L], −1/0/+1.
        """
        few = slice(0, _METRIC_SAMPLE)
        return choose_metric(self.view.gather_all(rows[few]), labels[few])


def scores_path(segment: Segment, info: SpaceInfo) -> Path:
    """Where a segment's raw logits are kept once they are built."""
    return info.index_path / SCORES / f"{segment.info.uuid}.npy"
