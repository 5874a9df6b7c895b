"""Large galleries of posteriors, made from smaller ones.

Rows are drawn with replacement, every mean moves by `MEAN_JITTER` of the gallery's own standard deviation
along each dimension, and every factor is multiplied by exp(`FACTOR_JITTER` ε), ε standard normal. So no two
images are alike, and neighbours are as those of the gallery are.

Notation: n images given, N images made, d dimensions, T = d(d+1)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.maths.gaussian import Gaussians, word_prior
from olrsearch.maths.triangles import cholesky, pack, triangle
from olrsearch.search.kl.projection import row_blocks

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64

MEAN_JITTER: Final = 0.1
FACTOR_JITTER: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorArrays:
    """Posteriors as they are stored.

    Attributes:
        mean: float32 [N, d].
        packed: float32 [N, T], packed factors.
    """

    mean: F32
    packed: F32

    def __len__(self) -> int:
        return len(self.mean)

    def gaussians(self, rows: I64 | slice) -> Gaussians:
        """Some of them, in float64."""
        return Gaussians.of_packed(self.mean[rows], self.packed[rows])


def synthetic_posteriors(
    vectors: F64, count: int, rng: np.random.Generator, *, shrinkage: float = 0.1
) -> PosteriorArrays:
    """Posteriors as an encoder of a vocabulary might give: each near the prior of 3 to 12 words.

    Words weigh 0.3 to 1 before they are divided by their sum, means are off by N(0, 0.05²) a dimension,
    factors are multiplied by exp(0.1 ε), and 10⁻⁴ I is added to covariances.

    Args:
        vectors: float64 [W, d], W ≥ 12 words.
        count: n.
        rng: Drawn from.
        shrinkage: λ.
    """
    size = vectors.shape[1]
    mean, covariance = np.empty((count, size)), np.empty((count, size, size))
    for row in range(count):
        chosen = rng.choice(len(vectors), int(rng.integers(3, 13)), replace=False)
        prior = word_prior(vectors[chosen], shrinkage, weights=rng.uniform(0.3, 1.0, len(chosen)))
        mean[row] = prior.mean[0] + 0.05 * rng.standard_normal(size)
        covariance[row] = prior.covariance[0] * np.exp(0.2 * rng.standard_normal()) + 1e-4 * np.eye(size)
    images = Gaussians(mean, cholesky(covariance))
    return PosteriorArrays(mean.astype(np.float32), pack(images.factor).astype(np.float32))


def resample(posteriors: PosteriorArrays, count: int, rng: np.random.Generator) -> PosteriorArrays:
    """A gallery of any size from a smaller one; see this module.

    Args:
        posteriors: n images.
        count: N.
        rng: Drawn from.

    Raises:
        BenchmarkError: there are none to draw from.
    """
    if not len(posteriors):
        raise BenchmarkError("no posteriors to draw a gallery from: encode images first")
    size = posteriors.mean.shape[1]
    deviation = posteriors.mean.std(axis=0)
    mean = np.empty((count, size), np.float32)
    packed = np.empty((count, triangle(size)), np.float32)
    for rows in row_blocks(count):
        many = rows.stop - rows.start
        drawn = rng.integers(0, len(posteriors), many)
        noise = rng.standard_normal((many, size), dtype=np.float32)
        mean[rows] = posteriors.mean[drawn] + MEAN_JITTER * deviation * noise
        stretch = np.exp(FACTOR_JITTER * rng.standard_normal((many, 1), dtype=np.float32))
        packed[rows] = posteriors.packed[drawn] * stretch
    return PosteriorArrays(mean, packed)
