"""Covariances of few vectors, shrunk so that they can be inverted.

Notation: n vectors, k numbers each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.arrays import blocks_of

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64

_PRODUCTS: Final = 2**18


def shrunk_covariance(residuals: F64) -> tuple[F64, float]:
    """The covariance of vectors of mean 0, pulled toward a multiple of the identity.

    (1 − s) S + s (tr S / k) I, where s = min(b², d²) / d² makes the expected squared error smallest;
    d² = ‖S − (tr S / k) I‖² / k, b² = Σ_i ‖x_i x_iᵀ − S‖² / (n² k).

    Args:
        residuals: float64 [n, k], n ≥ 1, less the mean of their class.

    Returns:
        float64 [k, k] and s, 0 to 1.

    Source: Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices",
        section 3.2.
    """
    count, size = residuals.shape
    sample = scatter(residuals) / count
    level = float(np.trace(sample)) / size
    target = level * np.eye(size)
    distance = float(np.square(sample - target).sum())
    lengths = np.einsum("nk,nk->n", residuals, residuals)
    noise = (float(np.square(lengths).mean()) - float(np.square(sample).sum())) / count
    share = min(max(noise, 0.0), distance) / distance if distance > 0 else 0.0
    return (1.0 - share) * sample + share * target, share


def scatter(vectors: F64) -> F64:
    """Σ x xᵀ of vectors float64 [n, k], float64 [k, k].

    In blocks that OpenBLAS leaves on the caller's thread: with cores that are busy, as an audit's often are,
    its threads wait for one another ten times as long as a product takes.
    """
    size = vectors.shape[1]
    step = max(1, _PRODUCTS // max(1, size * size))
    out = np.zeros((size, size))
    for block in blocks_of(vectors, step):
        out += block.T @ block
    return out
