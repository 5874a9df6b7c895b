"""Packed triangles: symmetric matrices and Cholesky factors, row by row.

Notation: d dimensions, T = d(d+1)/2 numbers of a packed triangle, B matrices.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import GaussianError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from olrsearch.core.arrays import F64, I64


def triangle(size: int) -> int:
    """T = d(d+1)/2, the numbers of a lower triangle with its diagonal."""
    return size * (size + 1) // 2


def pack(factors: NDArray[Any]) -> NDArray[Any]:
    """Lower triangles row by row: [n, d, d] → [n, T], in the same type."""
    rows, columns = lower(factors.shape[-1])
    packed: NDArray[Any] = factors[:, rows, columns]
    return packed


def diagonal_places(size: int) -> list[int]:
    """Where the d numbers of the diagonal stand in a packed triangle."""
    return [triangle(row + 1) - 1 for row in range(size)]


def pack_diagonal(diagonals: NDArray[Any]) -> NDArray[Any]:
    """Packed triangles that have these diagonals and zeros beside them: [n, d] → [n, T], in the same type."""
    count, size = diagonals.shape
    packed = np.zeros((count, triangle(size)), diagonals.dtype)
    packed[:, diagonal_places(size)] = diagonals
    return packed


def unpack(packed: NDArray[Any], size: int) -> NDArray[Any]:
    """The inverse of `pack`: [n, T] → [n, d, d], zeros above the diagonal."""
    out = np.zeros((len(packed), size, size), packed.dtype)
    for row in range(size):  # some times faster than one assignment by index
        out[:, row, : row + 1] = packed[:, triangle(row) : triangle(row + 1)]
    return out


def cholesky(covariances: F64) -> F64:
    """Lower Cholesky factors, float64 [n, d, d].

    Raises:
        GaussianError: a covariance holds NaN or infinity, is not positive definite, or is singular but
            for rounding; one is named.
    """
    finite = np.isfinite(covariances).all(axis=(1, 2))
    if not finite.all():
        raise GaussianError(
            f"the covariance of Gaussian {int(np.argmin(finite))} holds NaN or infinity: expected numbers"
        )
    try:
        found: F64 = np.asarray(np.linalg.cholesky(covariances), np.float64)
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(covariances)[:, 0]
        bad = int(np.argmin(smallest))
        raise GaussianError(
            f"the covariance of Gaussian {bad} is not positive definite (smallest eigenvalue "
            f"{smallest[bad]:.3g}): add a multiple of the identity"
        ) from None
    # How many times a coordinate's variance is what the others leave of it: whatever the coordinates' scales,
    # about 1/ε for a singular matrix, where only chance decides whether the factorisation notices.
    variance = np.diagonal(covariances, axis1=1, axis2=2)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        explained = (variance * np.square(inverse_triangles(found)).sum(axis=1)).max(axis=1)
    most = 1 / (8 * covariances.shape[-1] * np.finfo(np.float64).eps)
    if not (explained < most).all():
        raise GaussianError(
            f"the covariance of Gaussian {int(np.argmax(explained))} is singular but for rounding: add a "
            "multiple of the identity"
        )
    return found


def inverse_triangles(factors: F64) -> F64:
    """Inverses of lower triangular matrices, float64 [n, d, d], row by row for the whole batch at once."""
    size = factors.shape[-1]
    out = np.zeros_like(factors)
    for row in range(size):
        pivot = factors[:, row, row, None]
        if row:
            out[:, row, :row] = (factors[:, row, None, :row] @ out[:, :row, :row])[:, 0] / -pivot
        out[:, row, row] = 1.0 / pivot[:, 0]
    return out


@cache
def lower(size: int) -> tuple[I64, I64]:
    """Rows and columns of the entries of a lower triangle, in the order they are packed: int64 [T] each."""
    rows, columns = np.tril_indices(size)
    return rows.astype(np.int64), columns.astype(np.int64)
