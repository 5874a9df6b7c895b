"""KL divergences as inner products of features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import GaussianError
from olrsearch.maths.divergences import Direction, check_direction
from olrsearch.maths.gaussian import Gaussians, check_size
from olrsearch.maths.triangles import cholesky, inverse_triangles, lower, triangle

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64

_ROOT2: Final = math.sqrt(2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """An affine change of coordinates z ↦ W (z − s), which leaves every divergence as it is.

    In the frame of a gallery, images lie about the origin with covariances about I, so that the
    features below lose few digits in float32.

    Attributes:
        shift: s, float64 [d].
        matrix: W, float64 [d, d], invertible and lower triangular.
    """

    shift: F64
    matrix: F64

    @classmethod
    def of(cls, images: Gaussians) -> Frame:
        """The frame in which the images' mean is 0 and their mean covariance is I.

        Raises:
            GaussianError: there are no images.
        """
        if not len(images):
            raise GaussianError("no posteriors to centre on: encode images first")
        spread = cholesky(np.mean(images.covariance, axis=0)[None])
        return cls(images.mean.mean(axis=0), inverse_triangles(spread)[0])

    def apply(self, gaussians: Gaussians) -> Gaussians:
        """The same Gaussians in this frame."""
        check_size(gaussians.size, len(self.shift), "Gaussians")
        return Gaussians(self.points(gaussians.mean), self.matrix @ gaussians.factor)

    def points(self, points: F64) -> F64:
        """Points [m, d] in this frame."""
        return (points - self.shift) @ self.matrix.T


def feature_size(size: int) -> int:
    """F = d(d+1)/2 + d + 1."""
    return triangle(size) + size + 1


def image_features(images: Gaussians, direction: Direction) -> F64:
    """What an image is in a search by KL: float64 [n, F]; see `query_features`.

    Query to image: ½ (vech Λ, −2 Λμ, μᵀΛμ + ln det Σ). Image to query: ½ (vech(Σ + μμᵀ), −2 μ, −ln det Σ).
    vech takes the lower triangle, its off-diagonal entries times √2, so that the inner product of two
    vech is that of the symmetric matrices.

    Raises:
        GaussianError: there is no such direction.
    """
    check_direction(direction)
    if direction == "query-to-image":
        second, first, square = _natural(images)
        last = square + images.log_determinant
    else:
        second, first, last = _second_moments(images), images.mean, -images.log_determinant
    out = np.column_stack([second, -2.0 * first, last])
    out *= 0.5
    return out


def query_features(queries: Gaussians, direction: Direction) -> tuple[F64, F64]:
    """What a query is: float64 [m, F], and [m] to add.

    image_features @ query + constant is the divergence, exactly.

    Query to image: (vech(Σ + μμᵀ), μ, 1), −½ (d + ln det Σ).
    Image to query: (vech Λ, Λμ, 1), ½ (μᵀΛμ − d + ln det Σ).

    Raises:
        GaussianError: there is no such direction.
    """
    check_direction(direction)
    if direction == "query-to-image":
        second, first = _second_moments(queries), queries.mean
        constant = -0.5 * (queries.size + queries.log_determinant)
    else:
        second, first, square = _natural(queries)
        constant = 0.5 * (square - queries.size + queries.log_determinant)
    return np.column_stack([second, first, np.ones(len(queries))]), constant


def _natural(gaussians: Gaussians) -> tuple[F64, F64, F64]:
    """Vech Λ, Λμ and μᵀΛμ, float64 [n, T], [n, d] and [n]."""
    pulled = np.einsum("nij,nj->ni", gaussians.precision, gaussians.mean)
    return _vech(gaussians.precision), pulled, np.einsum("ni,ni->n", pulled, gaussians.mean)


def _second_moments(gaussians: Gaussians) -> F64:
    """vech(Σ + μμᵀ), float64 [n, T]."""
    return _vech(gaussians.covariance + gaussians.mean[:, :, None] * gaussians.mean[:, None, :])


def _vech(matrices: F64) -> F64:
    """Lower triangles of symmetric matrices with off-diagonal entries times √2, float64 [n, T]."""
    size = matrices.shape[-1]
    rows, columns = lower(size)
    packed: F64 = matrices[:, rows, columns]
    packed *= np.where(rows == columns, 1.0, _ROOT2)
    return packed
