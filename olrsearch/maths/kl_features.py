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
    out = np.empty((len(images), feature_size(images.size)))
    head, tail = triangle(images.size), triangle(images.size) + images.size
    if direction == "query-to-image":
        pulled = np.einsum("nij,nj->ni", images.precision, images.mean)
        out[:, :head] = _vech(images.precision)
        out[:, head:tail] = -2.0 * pulled
        out[:, tail] = np.einsum("ni,ni->n", pulled, images.mean) + images.log_determinant
    else:
        out[:, :head] = _vech(images.covariance + images.mean[:, :, None] * images.mean[:, None, :])
        out[:, head:tail] = -2.0 * images.mean
        out[:, tail] = -images.log_determinant
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
    out = np.empty((len(queries), feature_size(queries.size)))
    head, tail = triangle(queries.size), triangle(queries.size) + queries.size
    if direction == "query-to-image":
        out[:, :head] = _vech(queries.covariance + queries.mean[:, :, None] * queries.mean[:, None, :])
        out[:, head:tail] = queries.mean
        constant = -0.5 * (queries.size + queries.log_determinant)
    else:
        pulled = np.einsum("nij,nj->ni", queries.precision, queries.mean)
        out[:, :head] = _vech(queries.precision)
        out[:, head:tail] = pulled
        constant = 0.5 * (
            np.einsum("ni,ni->n", pulled, queries.mean) - queries.size + queries.log_determinant
        )
    out[:, tail] = 1.0
    return out, constant


def _vech(matrices: F64) -> F64:
    """Lower triangles of symmetric matrices with off-diagonal entries times √2, float64 [n, T]."""
    size = matrices.shape[-1]
    rows, columns = lower(size)
    packed: F64 = matrices[:, rows, columns]
    packed *= np.where(rows == columns, 1.0, _ROOT2)
    return packed
