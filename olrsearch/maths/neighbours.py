"""The nearest of many points by straight distance, and what they say of a class.

On the unit sphere the order is that of angles. Rankings of a gallery are in `search/`: this is for votes.

Notation: m queries, n points, d dimensions, k neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, I64

_BLOCK: Final = 500
"""Queries at a time: memory is so many times n × 4 bytes."""


def nearest_rows(queries: F32, points: F32, count: int, *, same: bool = False) -> I64:
    """The rows of the nearest points, nearest first, int64 [m, k]; ties break by row.

    Args:
        queries: float32 [m, d].
        points: float32 [n, d].
        count: k; cut down to the points there are.
        same: The queries are the points, and none is its own neighbour.
    """
    count = min(count, len(points) - same)
    squares = np.einsum("nd,nd->n", points, points)
    out = np.empty((len(queries), count), np.int64)
    for start in range(0, len(queries), _BLOCK):
        part = queries[start : start + _BLOCK]
        distances = squares - 2 * (part @ points.T)
        if same:
            distances[np.arange(len(part)), np.arange(start, start + len(part))] = np.inf
        found = np.argpartition(distances, count - 1, axis=1)[:, :count]
        found.sort(axis=1)
        order = np.argsort(np.take_along_axis(distances, found, axis=1), axis=1, kind="stable")
        out[start : start + len(part)] = np.take_along_axis(found, order, axis=1)
    return out


def vote(classes: I64, rows: I64) -> I64:
    """The class that most neighbours have, int64 [m]; of equally many, that of the nearer one.

    Args:
        classes: int64 [n], of the points, 0 or more.
        rows: int64 [m, k], neighbours, nearest first.
    """
    said = classes[rows]
    counts = (said[:, :, None] == said[:, None, :]).sum(axis=2)
    found: I64 = np.take_along_axis(said, counts.argmax(axis=1)[:, None], axis=1)[:, 0]
    return found
