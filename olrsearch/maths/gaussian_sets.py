"""One Gaussian for a set of Gaussians: their product, or the Gaussian with the moments of their mixture.

Notation: n Gaussians of a set, d dimensions, Λ = Σ⁻¹.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import GaussianError
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.triangles import cholesky

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from olrsearch.core.arrays import F64


def joined(gaussians: Sequence[Gaussians]) -> Gaussians:
    """Several batches, one or more, as one."""
    return Gaussians(
        np.concatenate([one.mean for one in gaussians]), np.concatenate([one.factor for one in gaussians])
    )


def product(gaussians: Gaussians, weights: ArrayLike | None = None) -> Gaussians:
    """The normalised product Π N(z; μ_i, Σ_i)^{w_i}, a batch of one: where all of them are dense at once.

    Λ = Σ_i w_i Λ_i and Λ μ = Σ_i w_i Λ_i μ_i, so a set of one with the weight 1 is what it was.

    Args:
        gaussians: n of them, n ≥ 1.
        weights: [n], above 0; 1 each when None.

    Raises:
        GaussianError: no Gaussians, or weights that do not fit.

    Source: Hinton (2002), "Training Products of Experts by Minimizing Contrastive Divergence".
    """
    given = _weights(gaussians, weights)
    if len(gaussians) == 1 and given[0] == 1:
        return gaussians
    precision = np.einsum("n,nij->ij", given, gaussians.precision)
    pulled = np.einsum("n,nij,nj->i", given, gaussians.precision, gaussians.mean)
    covariance = np.linalg.inv(precision)
    return Gaussians((covariance @ pulled)[None], cholesky(((covariance + covariance.T) / 2)[None]))


def mixture(gaussians: Gaussians, weights: ArrayLike | None = None) -> Gaussians:
    """The Gaussian with mean and covariance of the mixture Σ_i π_i N(z; μ_i, Σ_i), a batch of one.

    Σ = Σ_i π_i (Σ_i + (μ_i − μ)(μ_i − μ)ᵀ): wide enough to hold all of them.

    Args:
        gaussians: n of them, n ≥ 1.
        weights: [n], above 0, divided by their sum; equal when None.

    Raises:
        GaussianError: no Gaussians, or weights that do not fit.
    """
    given = _weights(gaussians, weights)
    if len(gaussians) == 1:
        return gaussians
    share = given / given.sum()
    mean = share @ gaussians.mean
    apart = gaussians.mean - mean
    covariance = np.einsum("n,nij->ij", share, gaussians.covariance) + (apart * share[:, None]).T @ apart
    return Gaussians(mean[None], cholesky(covariance[None]))


def _weights(gaussians: Gaussians, weights: ArrayLike | None) -> F64:
    """Weights float64 [n], checked."""
    if not len(gaussians):
        raise GaussianError("a set of no Gaussians: expected one or more")
    given = np.ones(len(gaussians)) if weights is None else np.asarray(weights, np.float64)
    if given.shape != (len(gaussians),) or not (np.isfinite(given).all() and (given > 0).all()):
        raise GaussianError(
            f"weights {given.tolist()} of {len(gaussians)} Gaussians: expected a number above 0 for each"
        )
    return given
