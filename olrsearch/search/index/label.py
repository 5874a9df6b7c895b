"""Exact search by label embeddings: one index for each label, and their exact sum.

Notation: N images (rows of a view), L labels, k numbers a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import VectorError
from olrsearch.core.shown import shown
from olrsearch.search.index.topk import top_k

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, F64, I64, Bool
    from olrsearch.maths.metric import Metric
    from olrsearch.search.index.view import EmbeddingView


# One query over 20,000 × 32 numbers, measured: `Metric.distances` and a partition 0.5 ms;
# `faiss.knn` 0.1 ms on one thread, 20 ms when its threads wait for busy cores; importing faiss
# 190 ms. So single queries are answered by numpy, and need no faiss. (100 queries at once:
# faiss.knn 57 ms, a blocked GEMM 83 ms; over 20,000 × 1,280 numbers 970 against 455.)


class LabelIndex:
    """Search over e^l of all images, for one label l, straight from the segments.

    A label's vectors lie together on disk, so a query reads that label and nothing else.

    Args:
        view: The images.
        metric: Of the space.
        label: l, a position 0…L−1.
    """

    def __init__(self, view: EmbeddingView, metric: Metric, label: int) -> None:
        if not 0 <= label < metric.labels or (metric.labels, metric.size) != (view.labels, view.size):
            raise VectorError(
                f"label {label} of a metric for {metric.labels} labels × {metric.size} numbers does not fit "
                f"embeddings of {view.labels} × {view.size}"
            )
        self.view = view
        self.metric = metric
        self.label = label

    def distances(self, query: F32) -> F32:
        """Distances of all images.

        Args:
            query: float32 [k].

        Returns:
            float32 [N] in the view's rows, smaller is nearer, not divided by the label's scale.

        Raises:
            VectorError: the query has another length or holds NaN or infinities.
        """
        out = np.empty(len(self.view), np.float32)
        for rows, block, alive in self.view.blocks(self.label):
            found = self.metric.distances(query, block, self.label)
            out[rows] = found if alive is None else found[alive]
        return out

    def distances_of(self, query: F32, rows: I64) -> F32:
        """Distances of some images, float32 [len(rows)]; equal to `distances` but for rounding."""
        return self.metric.distances(query, self.view.gather(self.label, rows), self.label)


class LabelIndexes:
    """The label indexes of one view."""

    def __init__(self, view: EmbeddingView, metric: Metric) -> None:
        self.view = view
        self.metric = metric

    def of(self, label: int) -> LabelIndex:
        """The index of one label.

        Raises:
            VectorError: there is no such label.
        """
        return LabelIndex(self.view, self.metric, label)


def combine(
    indexes: LabelIndexes, queries: Mapping[int, F32], weights: Mapping[int, float] | None = None
) -> F64:
    """Exact sum of scaled label distances over all images.

    Every label ranks every image: lists of each label's nearest are never merged, since an
    image that is good by all labels need not be among the best by any.

    Args:
        indexes: One for each label.
        queries: A vector float32 [k] for each label that counts.
        weights: Factors > 0; 1 for labels left out.

    Returns:
        float64 [N]: Σ_l weight_l · distance_l / scale_l, smaller is nearer.

    Raises:
        VectorError: no label, an unknown one, a weight not above 0, or a bad vector.
    """
    if not queries:
        raise VectorError("a combined query needs at least one label, found none")
    out = np.zeros(len(indexes.view))
    for label in sorted(queries):
        weight = (weights or {}).get(label, 1.0)
        if not (weight > 0 and np.isfinite(weight)):
            raise VectorError(f"a label's weight must be a finite number above 0, found {shown(weight)}")
        out += indexes.of(label).distances(queries[label]) * (weight / indexes.metric.scale[label])
    return out


class WholeIndex:
    """Search by all labels, each counting once.

    The distance is the sum of the labels' scaled distances, so it is the very distance that
    the labels' contributions add up to.

    Args:
        indexes: The label indexes it sums.
    """

    def __init__(self, indexes: LabelIndexes) -> None:
        self.indexes = indexes
        self.view = indexes.view

    def distances(self, query: F32) -> F64:
        """Distances of all images.

        Args:
            query: float32 [L, k], one image's embedding.

        Returns:
            float64 [N], smaller is nearer.

        Raises:
            VectorError: the query has another shape or holds NaN or infinities.
        """
        view = self.view
        if query.shape != (view.labels, view.size):
            raise VectorError(
                f"a query embedding has shape {query.shape}, expected ({view.labels}, {view.size})"
            )
        return combine(self.indexes, dict(enumerate(query)))

    def distances_of(self, query: F32, rows: I64) -> F64:
        """Distances of some images, float64 [len(rows)]; equal to `distances` but for rounding."""
        out = np.zeros(len(rows))
        for label, vector in enumerate(query):
            index = self.indexes.of(label)
            out += index.distances_of(vector, rows) * (1.0 / index.metric.scale[label])
        return out


def nearest(
    index: LabelIndex | WholeIndex, query: F32, count: int, allowed: Bool | None = None
) -> tuple[I64, F32 | F64]:
    """The images nearest to a query.

    Args:
        index: Of one label, or of the whole embedding.
        query: float32 [k], or [L, k].
        count: How many; all when there are fewer.
        allowed: bool [N], the rows to search; all when None. Never fewer are returned
            because of it than exist.

    Returns:
        Ids int64 and distances, nearest first, ties by id.

    Raises:
        VectorError: as `distances` of the index.
    """
    found, ids = index.distances(query), index.view.ids
    rows = top_k(found, ids, count, allowed=allowed).rows
    return ids[rows], found[rows]
