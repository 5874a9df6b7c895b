"""Images of the same person, told apart from images of nobody known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from olrsearch.core.arrays import I64


def told_apart(identity: I64) -> I64:
    """Identities of which none is unknown: an image without one gets a number that no other image has.

    Args:
        identity: int64 [N], −1 unknown.

    Returns:
        int64 [N].
    """
    unknown = identity < 0
    return np.where(unknown, identity.max(initial=0) + 1 + np.cumsum(unknown), identity)


def cluster_of(identity: I64) -> I64:
    """Cluster numbers 0 … C−1; an unknown identity (−1) is a cluster of its own.

    Args:
        identity: int64 [N].

    Returns:
        int64 [N].
    """
    return np.unique(told_apart(identity), return_inverse=True)[1].astype(np.int64)
