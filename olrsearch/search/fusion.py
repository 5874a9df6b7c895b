"""Two rankings as one: by ranks, where their distances are of different kinds.

Notation: N images.

Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods", SIGIR 2009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import VectorError
from olrsearch.search.index.topk import top_k
from olrsearch.search.page import Page, ranked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F64, I64, Bool

DAMPING: Final = 60
"""What is added to a rank, the paper's constant."""


def fuse_ranks(
    ids: I64, rankings: Mapping[str, F64], *, count: int = 20, offset: int = 0, allowed: Bool | None = None
) -> Page:
    """Rank images by Σ 1/(60 + rank) over several rankings.

    Args:
        ids: int64 [N], of the images; they decide between equal distances.
        rankings: float64 [N] distances by the ranking's name, smaller is nearer.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        allowed: bool [N], the images that are ranked at all; all when None.

    Returns:
        Hits by falling score; a contribution a ranking, which add up to it.

    Raises:
        VectorError: a distance is NaN, or a ranking has another length.
    """
    if any(len(distances) != len(ids) for distances in rankings.values()):
        raise VectorError(f"rankings of another length than their {len(ids)} images")
    rows = np.arange(len(ids)) if allowed is None else np.flatnonzero(allowed)
    mine, shares = ids[rows], {}
    for name, distances in rankings.items():
        order = top_k(distances[rows], mine, len(rows)).rows
        ranks = np.empty(len(rows), np.int64)
        ranks[order] = np.arange(1, len(rows) + 1)
        shares[name] = 1.0 / (DAMPING + ranks)
    total = -np.sum(list(shares.values()), axis=0) if shares else np.zeros(len(rows))
    return ranked(
        "",  # which is for the caller to say
        mine,
        total,
        lambda rows: [(name, share[rows], None) for name, share in shares.items()],
        count=count,
        offset=offset,
    )
