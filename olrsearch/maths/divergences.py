"""Divergences between Gaussians with full covariance, in nats: KL and Jeffreys'.

Notation: n Gaussians of a batch, d dimensions.

Source: paper 004, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from olrsearch.core.errors import GaussianError
from olrsearch.maths.gaussian import check_size

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64
    from olrsearch.maths.gaussian import Gaussians

Direction = Literal["query-to-image", "image-to-query"]
"""KL(query‖image), the paper's retrieval, or KL(image‖query)."""

DIRECTIONS: Final = ("query-to-image", "image-to-query")


def kl(p: Gaussians, q: Gaussians) -> F64:
    """KL(p‖q), float64 [n]; a batch of one stands against each of the other.

    ½ [tr(Λ_q Σ_p) + (μ_q − μ_p)ᵀ Λ_q (μ_q − μ_p) − d + ln det Σ_q − ln det Σ_p].

    Source: paper 004, section 3, "Image retrieval" (p the query's distribution, q the image's) and
    "Image similarity".

    Raises:
        GaussianError: other dimensions, or batches that do not fit each other.
    """
    check_size(q.size, p.size, "the second Gaussian")
    if len(p) != len(q) and 1 not in {len(p), len(q)}:
        raise GaussianError(f"{len(p)} Gaussians against {len(q)}: expected as many, or one")
    inverse = q.inverse_factor
    spread = inverse @ p.factor
    apart = np.einsum("nij,nj->ni", np.broadcast_to(inverse, spread.shape), q.mean - p.mean)
    trace = np.einsum("nij,nij->n", spread, spread)
    square = np.einsum("ni,ni->n", apart, apart)
    found: F64 = 0.5 * (trace + square - p.size + q.log_determinant - p.log_determinant)
    return np.maximum(found, 0.0)


def jeffreys(p: Gaussians, q: Gaussians) -> F64:
    """KL(p‖q) + KL(q‖p), float64 [n]: symmetric."""
    return kl(p, q) + kl(q, p)


def check_direction(direction: str) -> None:
    """Refuse what is no direction of a divergence.

    Raises:
        GaussianError: it is none.
    """
    if direction not in DIRECTIONS:
        raise GaussianError(f"unknown direction {direction!r}: expected one of {', '.join(DIRECTIONS)}")
