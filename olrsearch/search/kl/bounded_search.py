"""Scoring images in the order of lower bounds, until no other can be nearer than the last of the answer.

Source: Seidl and Kriegel 1998, "Optimal multi-step k-nearest neighbor search".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.search.index.topk import top_k

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.core.arrays import F64, I64

_FIRST_BLOCK: Final = 32

LARGEST_BLOCK: Final = 1024
"""Posteriors scored at once: 1,024 × 50 × 50 numbers are 20 MB in float64."""


class Scored(NamedTuple):
    """The nearest of those scored.

    Attributes:
        ids: int64 [≤ count], nearest first, ties by id.
        values: float64 [≤ count].
        scored: How many images were.
    """

    ids: I64
    values: F64
    scored: int


def score_by_bounds(ids: I64, rows: I64, lower: F64, count: int, score: Callable[[I64], F64]) -> Scored:
    """The nearest images, exactly.

    Args:
        ids: int64 [N], of all images.
        rows: int64 [n], the images that may belong to the answer.
        lower: float64 [n], what their values are at least.
        count: How many, 1 to n.
        score: From rows to their values.
    """
    order = np.argsort(lower, kind="stable")
    rows, lower = rows[order], lower[order]
    values, done, limit, block = np.empty(len(rows)), 0, np.inf, max(count, _FIRST_BLOCK)
    while True:
        # rows as near as the last one count too: their ids decide
        stop = min(done + block, len(rows), int(np.searchsorted(lower, limit, side="right")))
        if stop <= done:
            break
        values[done:stop] = score(rows[done:stop])
        done, block = stop, min(2 * block, LARGEST_BLOCK)
        if done >= count:
            limit = float(np.partition(values[:done], count - 1)[count - 1])
    some = ids[rows[:done]]
    best = top_k(values[:done], some, count).rows
    return Scored(some[best], values[best], done)
