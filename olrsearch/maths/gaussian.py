"""Gaussians with full covariance: batches, and priors of word sets.

Everything is computed in float64. A batch is a mean and the Cholesky factor of the covariance.

Notation: n Gaussians of a batch, d dimensions, M words of a set, T = d(d+1)/2 numbers of a
triangle. Log-likelihoods are in nats.

Source of what is done with them: paper 004, sections 2 and 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import GaussianError
from olrsearch.maths.triangles import cholesky, inverse_triangles, triangle, unpack

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from olrsearch.core.arrays import F64, I64

SIGMA0: Final = 0.01
"""σ₀: every posterior's covariance is L Lᵀ + σ₀² I, so no eigenvalue is below σ₀² = 10⁻⁴."""

FLOOR_TOLERANCE: Final = 0.05
"""How far below σ₀² an eigenvalue may lie, as a share: factors are stored in float32."""

LOG_2PI: Final = math.log(2.0 * math.pi)


@dataclass(frozen=True, slots=False, eq=False)
class Gaussians:
    """A batch of n Gaussians N(μ, Σ), Σ = C Cᵀ.

    Stored ones are read with `of_packed`, which checks what it is given.

    Attributes:
        mean: float64 [n, d].
        factor: float64 [n, d, d], the Cholesky factors C: lower triangular, positive diagonal.
    """

    mean: F64
    factor: F64

    @classmethod
    def of_packed(cls, mean: ArrayLike, packed: ArrayLike) -> Gaussians:
        """From means [n, d] and packed factors [n, T], as they are stored; see `pack`. A copy in float64.

        Raises:
            GaussianError: other shapes, NaN or infinities, or a diagonal entry that is not positive.
        """
        means, triangles = _matrix(mean, "means"), _matrix(packed, "packed factors")
        size = means.shape[1]
        if triangles.shape != (len(means), triangle(size)) or not size:
            raise GaussianError(
                f"packed factors of shape {triangles.shape} for means of shape {means.shape}: expected "
                f"[{len(means)}, {triangle(size)}]"
            )
        factors = unpack(triangles, size)
        diagonal = np.diagonal(factors, axis1=1, axis2=2)
        if not (diagonal > 0).all():
            bad = int(np.flatnonzero((diagonal <= 0).any(axis=1))[0])
            raise GaussianError(
                f"the factor of Gaussian {bad} has the diagonal entry {diagonal[bad].min():g}; expected all "
                "above 0: its covariance is singular"
            )
        return cls(means, factors)

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: int | np.integer[Any] | slice | I64 | NDArray[np.bool_]) -> Gaussians:
        """Some of the batch, as a batch: one number gives a batch of one.

        Raises:
            IndexError: a number outside the batch.
        """
        chosen = np.array([rows]) if isinstance(rows, (int, np.integer)) else rows
        return Gaussians(self.mean[chosen], self.factor[chosen])

    @property
    def size(self) -> int:
        """Dimensions, d."""
        return int(self.mean.shape[1])

    @cached_property
    def covariance(self) -> F64:
        """Σ, float64 [n, d, d]."""
        return self.factor @ self.factor.swapaxes(1, 2)

    @cached_property
    def inverse_factor(self) -> F64:
        """C⁻¹, float64 [n, d, d], lower triangular."""
        return inverse_triangles(self.factor)

    @cached_property
    def precision(self) -> F64:
        """Λ = Σ⁻¹, float64 [n, d, d]."""
        return self.inverse_factor.swapaxes(1, 2) @ self.inverse_factor

    @cached_property
    def log_determinant(self) -> F64:
        """The logarithm of det Σ, float64 [n]."""
        found: F64 = 2.0 * np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(axis=1)
        return found

    def check_floor(self) -> None:
        """Refuse covariances that are nearer to singular than posteriors may be.

        Raises:
            GaussianError: an eigenvalue is below σ₀² by more than `FLOOR_TOLERANCE`.
        """
        least = SIGMA0**2 * (1 - FLOOR_TOLERANCE)
        lowered = self.covariance - least * np.eye(self.size)
        try:
            np.linalg.cholesky(lowered)
        except np.linalg.LinAlgError:
            smallest = np.linalg.eigvalsh(self.covariance)[:, 0]
            bad = int(np.argmin(smallest))
            if smallest[bad] < least:
                raise GaussianError(
                    f"the covariance of Gaussian {bad} has the eigenvalue {smallest[bad]:.3g}; expected σ₀² "
                    f"= {SIGMA0**2:g} or more: add σ₀² to its diagonal, as encoders do"
                ) from None

    def sample(self, count: int, rng: np.random.Generator) -> F64:
        """Draws z = μ + C ε, float64 [n, count, d]. Source: paper 004, equation 1."""
        noise = rng.standard_normal((len(self), count, self.size))
        return self.mean[:, None, :] + noise @ self.factor.swapaxes(1, 2)

    def log_likelihood(self, points: ArrayLike) -> F64:
        """The logarithm of N(w; μ, Σ) of every point under every Gaussian, float64 [n, m].

        Args:
            points: float [m, d].

        Raises:
            GaussianError: points of another shape, or not finite.
        """
        at = _matrix(points, "points")
        check_size(at.shape[1], self.size, "points")
        apart = at[None, :, :] - self.mean[:, None, :]
        whitened = apart @ self.inverse_factor.swapaxes(1, 2)
        squares = np.einsum("nmd,nmd->nm", whitened, whitened)
        found: F64 = -0.5 * (squares + self.log_determinant[:, None] + self.size * LOG_2PI)
        return found


# -- priors ------------------------------------------------------------------------------


def word_prior(
    vectors: ArrayLike, shrinkage: float, *, weights: ArrayLike | None = None, size: int | None = None
) -> Gaussians:
    """The Gaussian that a set of words defines, a batch of one.

    μ = Σ_j π_j w_j and Σ = (1 − λ) Σ̂ + λ I with Σ̂ = Σ_j π_j (w_j − μ)(w_j − μ)ᵀ / (1 − Σ_j π_j²), which
    with equal weights π_j = 1/M is the covariance with M − 1 in its denominator. One word gives
    N(w, λ I), no word N(0, I).

    Source: paper 004, section 2, "A Semantic Prior"; weights, one word and no words are not in the paper.

    Args:
        vectors: float [M, d], the words' vectors.
        shrinkage: λ, above 0 and up to 1: 0 would be singular.
        weights: [M], above 0; they are divided by their sum. Equal when None.
        size: d; needed where there are no words.

    Raises:
        GaussianError: λ outside (0, 1], weights that do not fit, vectors that are not finite.
    """
    check_shrinkage(shrinkage)
    words = _array(vectors, "word vectors")
    if words.size == 0:
        if size is None:
            raise GaussianError("no words and no dimension: give `size`")
        return Gaussians(np.zeros((1, size)), np.eye(size)[None])
    words = _matrix(words, "word vectors")
    if size is not None:
        check_size(words.shape[1], size, "word vectors")
    given = np.ones(len(words)) if weights is None else _array(weights, "weights")
    if given.shape != (len(words),) or not (np.isfinite(given).all() and (given > 0).all()):
        raise GaussianError(
            f"weights {given.tolist()} of {len(words)} words: expected a number above 0 for each"
        )
    share = given / given.max()
    share /= share.sum()
    mean = share @ words
    apart = words - mean
    # 1 − Σ π_j² as the sum of all π_i π_j, i ≠ j: no difference of nearly equal numbers where one word has
    # nearly all the weight
    left = 2.0 * float(share[1:] @ np.cumsum(share)[:-1])
    if len(words) > 1 and not left:
        raise GaussianError(
            f"weights {given.tolist()} lie too far apart: leave out the words that hardly count"
        )
    scatter = (apart * share[:, None]).T @ apart
    estimate = scatter / left if len(words) > 1 else np.zeros_like(scatter)
    covariance = (1.0 - shrinkage) * estimate + shrinkage * np.eye(words.shape[1])
    return Gaussians(mean[None], cholesky(covariance[None]))


def check_shrinkage(shrinkage: float) -> None:
    """Refuse a λ outside (0, 1].

    Raises:
        GaussianError: it is.
    """
    if not 0 < shrinkage <= 1:
        raise GaussianError(
            f"shrinkage λ = {shrinkage:g}: expected above 0 and up to 1 (0 would be singular)"
        )


# -- checks ------------------------------------------------------------------------------


def _array(values: ArrayLike, what: str) -> F64:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise GaussianError(f"{what} are no array of numbers ({error}): expected real numbers") from None


def _matrix(values: ArrayLike, what: str) -> F64:
    array = _array(values, what)
    if array.ndim != 2:
        raise GaussianError(f"{what} of shape {array.shape}: expected 2 dimensions")
    if not np.isfinite(array).all():
        bad = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise GaussianError(f"{what} hold NaN or infinity, first in row {bad}: expected finite numbers")
    return array


def check_size(found: int, expected: int, what: str) -> None:
    """Refuse Gaussians of another dimension.

    Raises:
        GaussianError: the two differ.
    """
    if found != expected:
        raise GaussianError(
            f"{what} have {found} dimensions, expected {expected}: they are of another encoder"
        )
