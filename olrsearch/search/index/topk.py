"""The first images of a ranking, exactly, ties by image id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import VectorError

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64, Bool


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A page of a ranking.

    Attributes:
        rows: int64 [≤ count], positions in the arrays that were ranked, nearest first.
        candidates: How many were ranked.
        total: How many of these are within the cut-off.
    """

    rows: I64
    candidates: int
    total: int


def top_k(
    distances: F32 | F64,
    ids: I64,
    count: int,
    *,
    offset: int = 0,
    max_distance: float | None = None,
    allowed: Bool | None = None,
) -> Selection:
    """Select the nearest in O(N + count log count).

    Args:
        distances: [N], smaller is nearer.
        ids: int64 [N], decide between equal distances.
        count: Length of the page; more than there are gives all there are.
        offset: How many to leave out before it.
        max_distance: Cut-off, inclusive.
        allowed: bool [N], the rows that count at all; all when None.

    Raises:
        VectorError: a distance is NaN, or count or offset is negative.
    """
    if count < 0 or offset < 0:
        raise VectorError(f"count {count} and offset {offset} must not be negative")
    rows = np.arange(len(distances)) if allowed is None else np.flatnonzero(allowed)
    values = distances[rows]
    if np.isnan(values).any():
        raise VectorError(f"{int(np.isnan(values).sum())} distances are NaN: run store verify")
    candidates = len(rows)
    if max_distance is not None:
        within = values <= max_distance
        rows, values = rows[within], values[within]
    total, wanted = len(rows), offset + count
    if 0 < wanted < total:
        # Everything as near as the last one wanted, so that ties across it break by id too.
        limit = np.partition(values, wanted - 1)[wanted - 1]
        near = values <= limit
        rows, values = rows[near], values[near]
    order = np.lexsort((ids[rows], values))[offset:wanted]
    return Selection(rows[order], candidates, total)
