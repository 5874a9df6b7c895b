"""How far a scan in float32 may be from a divergence in float64: a bound that holds for every row.

A scan computes s = f̂ · q̂ + c, with the features f of an image and q of a query rounded to float32. What
it is compared with is D, the divergence that `divergences.kl` computes in float64 from the stored
posteriors. With u = 2⁻²⁴, u₆₄ = 2⁻⁵³ and γ_n = n u / (1 − n u), |s − D| is at most the sum of

1. γ_{F+2} Σ_b ‖f_b‖ ‖q_b‖: a float32 inner product of F numbers in any order (γ_F), its two factors
   rounded before (2 more). |f| · |q| is bounded block by block, since numbers of one block are of
   similar size while those of the whole feature are not;
2. e_f ‖q‖ + ‖f‖ e_q + e_f e_q: f and q themselves come from float64 arithmetic, in a frame;
3. what the direct formula loses in float64, A_second · B_first.

All of it is one inner product of a row's `row_bounds` with a query's `query_bounds`, so it costs what a
few more numbers a feature cost. Parts 2 and 3 use the classical bounds for triangular inverses and sums:
for C X ≈ I solved by substitution, |X − C⁻¹| ≤ γ_d |C⁻¹| |C| |X|, so that with norms of Frobenius and
κ = ‖C‖ ‖X‖ the inverse errs by at most κ γ ‖X‖. They are of first order: where κ γ is not small against
1, the bound is infinite, and the row is always re-scored.

Why not blocks of 128 numbers in the scan itself, with γ_130 instead of γ_{F+2}: on 100,000 rows of d = 32
and 50 these small products took 1.3 to 2.2 times as long as one product of whole rows (blocks of rows that
stay in cache at the lower end, all rows at the upper), and a product with a block diagonal matrix 4 to 6
times. One product, whose wider bound leaves some more rows open, and a look at those in float64 cost less
together: a whole search took 1.3 to 1.45 times the bare product.

Notation: n Gaussians, d dimensions, F numbers of a feature, b blocks of them, s the shift and W the
matrix of a frame. C and μ are factor and mean as stored, C′ and μ′ in the frame.

Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, 2002: sections 3.1 (sums
and inner products), 8.1 and 14.2 (triangular systems and inverses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.maths.kl_features import feature_size
from olrsearch.maths.triangles import triangle

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.maths.kl_features import Frame

BLOCK: Final = 128
"""Numbers of a feature under one norm, at most."""

_U32: Final = 2.0**-24
_U64: Final = 2.0**-53

_TINY: Final = 2.0**-100
"""Added to norms, so that their products also cover what underflow loses of a number."""

_UNDERFLOW: Final = 2.0**-90
"""Added to a bound: products of tiny numbers may vanish altogether."""

_FIRST_ORDER: Final = 0.01
"""The largest κ γ for which bounds of first order, with the room left in them, hold."""


def block_starts(size: int) -> I64:
    """First numbers of the blocks of a feature, int64 [b].

    The triangle, the linear part and the constant are of different sizes, so no block has two of them.

    Args:
        size: d.
    """
    head, tail = triangle(size), triangle(size) + size
    starts = [*range(0, head, BLOCK), *range(head, tail, BLOCK), tail]
    return np.array(starts, np.int64)


def bound_count(size: int) -> int:
    """Numbers of a row's bound, b + 2."""
    return len(block_starts(size)) + 2


def row_bounds(
    images: Gaussians, framed: Gaussians, frame: Frame, features: F64, direction: Direction
) -> F32:
    """What of an image the bound needs.

    Args:
        images: n Gaussians as stored.
        framed: The same in the frame.
        frame: The frame.
        features: float64 [n, F], before they are rounded.
        direction: Of the features.

    Returns:
        float32 [n, b + 2], rounded up: ‖f_b‖ of every block, e_f, and the image's part in the error
        of the direct formula. Infinite where no bound can be given.
    """
    out = np.empty((len(images), bound_count(images.size)))
    out[:, :-2] = _block_norms(features, images.size)
    out[:, -2] = _feature_errors(images, framed, frame, direction, image=True)
    second, first = _direct_sizes(images, frame)
    out[:, -1] = second if direction == "query-to-image" else first
    out = np.where(np.isfinite(out), out * (1 + 1e-12), np.inf)
    with np.errstate(over="ignore"):
        return np.nextafter(out.astype(np.float32), np.float32(np.inf))


def query_bounds(
    query: Gaussians, framed: Gaussians, frame: Frame, features: F64, constant: float, direction: Direction
) -> tuple[F64, F64, float]:
    """What of a query the bounds need.

    Args:
        query: One Gaussian.
        framed: The same in the frame.
        frame: The frame.
        features: float64 [F].
        constant: What is added to the inner product.
        direction: Of the features.

    Returns:
        Weights float64 [b + 2] for a product in float32, the same for a product in float64 with image
        features that are rounded to float32, and a number to add to either: |s − D| is at most
        `row_bounds @ weights` + the number.
    """
    norms = _block_norms(features[None], query.size)[0]
    error = float(_feature_errors(query, framed, frame, direction, image=False)[0])
    second, first = (float(values[0]) for values in _direct_sizes(query, frame))
    length = float(np.sqrt((norms**2).sum()))
    direct = first if direction == "query-to-image" else second
    numbers, exact = feature_size(query.size), _gamma64(query.size)
    tail = np.array([length + error, direct])
    scan = np.concatenate([(_gamma(numbers + 2, _U32) + exact) * norms + error, tail])
    rounded = np.concatenate([(_gamma(1, _U32) + _gamma(numbers + 2, _U64) + exact) * norms + error, tail])
    return scan, rounded, error + exact * abs(constant) + _UNDERFLOW


def add_up(bounds: F32, weights: F64) -> F64:
    """`bounds @ weights` in float32, rounded up; float64 [n], NaN never: infinite where it would be."""
    room = 1 + 4 * _gamma(len(weights) + 4, _U32)
    with np.errstate(over="ignore", invalid="ignore"):
        found = (np.asarray(bounds) @ (weights * room + _TINY).astype(np.float32)).astype(np.float64)
    if np.isnan(found.sum()):  # none is negative, so only NaN makes it so
        found[np.isnan(found)] = np.inf
    return found


def _block_norms(features: F64, size: int) -> F64:
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.add.reduceat(np.square(features), block_starts(size), axis=1)
        found: F64 = np.sqrt(squares) + _TINY
    return found


def _feature_errors(
    gaussians: Gaussians, framed: Gaussians, frame: Frame, direction: Direction, *, image: bool
) -> F64:
    """e: a bound of ‖computed − true‖ of float64 features, and of the number a query adds; float64 [n].

    With a = ‖W‖ ‖C‖ ≥ ‖C′‖, m = ‖W‖ ‖μ − s‖ ≥ ‖μ′‖ and t = ‖C′⁻¹‖, the products that bring C and μ into
    the frame err by γ a and γ m. Hence a precision errs by 5 κ γ t² at most, Λμ by 7 κ γ t² m, μᵀΛμ by
    9 κ γ t² m²; a covariance with μμᵀ by γ (3 a² + 3 m²).
    """
    size = gaussians.size
    with np.errstate(over="ignore", invalid="ignore"):
        gamma, matrix = _gamma64(size), _norm(frame.matrix[None])[0]
        scale = matrix * _norm(gaussians.factor)
        inverse = _norm(framed.inverse_factor)
        far = matrix * np.linalg.norm(gaussians.mean - frame.shift, axis=1)
        kappa = scale * inverse
        if image == (direction == "query-to-image"):
            found = 10 * kappa * inverse**2 * (1 + far) ** 2
        else:
            found = 4 * (scale**2 + (1 + far) ** 2)
        found += size * kappa + size + _log_sizes(framed)
        return np.where(kappa * gamma < _FIRST_ORDER, 2 * gamma * found, np.inf)


def _direct_sizes(gaussians: Gaussians, frame: Frame) -> tuple[F64, F64]:
    """A and B, float64 [n]: KL(p‖q) in float64 errs by at most A(q) B(p).

    With x = ‖C⁻¹‖ of q and Δ = μ_q − μ_p, trace and square err by at most 8 κ γ x² (‖C_p‖² + ‖Δ‖²)
    together, logarithms and their sum by γ (d + 2 ℓ) each. ‖Δ‖ goes by way of the frame's shift.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        gamma, inverse = _gamma64(gaussians.size), _norm(gaussians.inverse_factor)
        factor, far = _norm(gaussians.factor), np.linalg.norm(gaussians.mean - frame.shift, axis=1)
        kappa, logs = factor * inverse, _log_sizes(gaussians)
        second = gamma * (8 * kappa * inverse**2 * (1 + far**2) + 2 * (gaussians.size + logs))
        first = factor**2 + far**2 + 1 + logs
        return np.where(kappa * gamma < _FIRST_ORDER, 2 * second, np.inf), first


def _log_sizes(gaussians: Gaussians) -> F64:
    """ℓ = Σ |ln C_ii|, float64 [n]."""
    found: F64 = np.abs(np.log(np.diagonal(gaussians.factor, axis1=1, axis2=2))).sum(axis=1)
    return found


def _norm(matrices: F64) -> F64:
    found: F64 = np.sqrt(np.einsum("nij,nij->n", matrices, matrices))
    return found


def _gamma(count: int, unit: float) -> float:
    return count * unit / (1 - count * unit)


def _gamma64(size: int) -> float:
    """γ of a few sums of d numbers one after another, in float64; also above γ_{d²} / κ, since κ ≥ d."""
    return _gamma(4 * size + 40, _U64)
