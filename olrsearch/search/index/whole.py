"""Exact search over the whole embedding: all L·k numbers of an image at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import VectorError
from olrsearch.search.index.label import combine
from olrsearch.search.index.topk import top_k

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64, Bool
    from olrsearch.search.index.label import LabelIndexes


class WholeIndex:
    """Search by all labels, each counting once.

    The distance is the sum of the labels' scaled distances, so it is the very distance that
    the labels' contributions add up to.

    Args:
        indexes: The label indexes it sums.
    """

    def __init__(self, indexes: LabelIndexes) -> None:
        self.indexes = indexes

    def distances(self, query: F32) -> F64:
        """Distances of all images.

        Args:
            query: float32 [L, k], one image's embedding.

        Returns:
            float64 [N], smaller is nearer.

        Raises:
            VectorError: the query has another shape or holds NaN or infinities.
        """
        view = self.indexes.view
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

    def search(self, query: F32, count: int, allowed: Bool | None = None) -> tuple[I64, F64]:
        """The nearest images: ids int64 and distances float64, nearest first, ties by id.

        Args:
            query: float32 [L, k].
            count: How many; all when there are fewer.
            allowed: bool [N], the rows to search; all when None.

        Raises:
            VectorError: as `distances`.
        """
        found = self.distances(query)
        rows = top_k(found, self.indexes.view.ids, count, allowed=allowed).rows
        return self.indexes.view.ids[rows], found[rows]
