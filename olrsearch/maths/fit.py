"""How well images fit those an encoder was trained on: a density of what its network sees of them.

What a network sees of an image is D numbers, averages of its feature maps. They are squeezed by a signed
logarithm, because their tails are long, and a Gaussian is laid over those of the training images. The *fit*
of an image is the share of images like the training images that lie farther out, estimated on images that
training held back: 0.5 is an ordinary image, 0.02 lies farther out than 98 of 100.

Sources: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks", 2018, for Mahalanobis distances of pooled features of several layers; here of one Gaussian for all
labels. Chen et al., "Shrinkage Algorithms for MMSE Covariance Estimation", 2010, for the covariance (OAS).
Hill, "A Simple General Approach to Inference About the Tail of a Distribution", 1975, for the tail.

Notation: n images, D features, T = D(D+1)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import FitError
from olrsearch.maths.triangles import pack, triangle, unpack

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64

FOREIGN: Final = 0.02
"""Images of a smaller fit are foreign: two in a hundred images like the training images are marked, too."""

LEAST_TRAINING: Final = 100
LEAST_HELD_OUT: Final = 20
"""Images without which nothing is estimated."""

_KNEE: Final = 0.1
"""Where the signed logarithm bends, as a share of a feature's mean absolute value."""

_LEAST_KNEE: Final = 1e-3
"""The same as a share of the mean of all features."""

_LEAST_SPREAD: Final = 1e-2
"""Standard deviation of a squeezed feature at least."""

_BODY: Final = 0.9
"""Share of the held-out images whose own distances say what is ordinary; a power law continues them."""

_QUANTILES: Final = 91


@dataclass(frozen=True, slots=True, eq=False)
class FitModel:
    """The Gaussian over what a network sees of its training images, and how far out those lie.

    Attributes:
        knee: float32 [D], > 0: where each feature's signed logarithm bends.
        centre: float32 [D], the mean of the squeezed features.
        factor: float32 [T], the packed lower Cholesky factor of their precision matrix.
        body: float32 [91], rising: distances of held-out images at the shares 0 to 0.9.
        tail: Exponent > 0 of the power law beyond: large where far images soon become rare.
    """

    knee: F32
    centre: F32
    factor: F32
    body: F32
    tail: float

    def __post_init__(self) -> None:
        size = len(self.knee)
        shapes = [(size,), (size,), (triangle(size),), (_QUANTILES,)]
        arrays = (self.knee, self.centre, self.factor, self.body)
        found = [array.shape for array in arrays]
        if found != shapes or not all(np.isfinite(array).all() for array in arrays):
            raise FitError(f"the parts of a fit have shapes {found}; expected {shapes}, of numbers")
        if not (self.knee > 0).all() or (np.diff(self.body) < 0).any() or not self.tail > 0:
            raise FitError("a fit needs knees and a tail above 0 and distances that rise")

    def distances(self, features: F32) -> F64:
        """Root mean square of the whitened squeezed features, float64 [n]; about 1 for training images."""
        lower = unpack(self.factor[None].astype(np.float64), len(self.knee))[0]
        white = (squeezed(features, self.knee) - self.centre) @ lower
        found: F64 = np.sqrt(np.square(white).mean(axis=1))
        return found

    def fits(self, features: F32) -> F32:
        """The fit of images, float32 [n], 0 to 1.

        Args:
            features: float32 [n, D], what the network sees of them.

        Raises:
            FitError: another number of features.
        """
        if features.ndim != 2 or features.shape[1] != len(self.knee):
            raise FitError(f"features of shape {features.shape}; expected [images, {len(self.knee)}]")
        far = self.distances(features)
        shares = np.linspace(0, _BODY, _QUANTILES)
        ordinary = 1 - np.interp(far, self.body, shares)
        edge = float(self.body[-1])
        beyond = (1 - _BODY) * np.power(np.maximum(far, edge) / edge, -self.tail)
        return np.where(far <= edge, ordinary, beyond).astype(np.float32)


def squeezed(features: F32, knee: F32) -> F64:
    """sign(x) ln(1 + |x| / knee), float64 [n, D]."""
    wide = features.astype(np.float64)
    found: F64 = np.sign(wide) * np.log1p(np.abs(wide) / knee)
    return found


def fit_model(training: F32, held_out: F32) -> FitModel:
    """Estimate a model of fits.

    Args:
        training: float32 [n, D], features of images that were trained on.
        held_out: float32 [m, D], of images like them that were not.

    Raises:
        FitError: fewer than 100 training images, or than 20 held out.
    """
    if len(training) < LEAST_TRAINING or len(held_out) < LEAST_HELD_OUT:
        raise FitError(
            f"{len(training)} training images and {len(held_out)} held back: expected {LEAST_TRAINING} and "
            f"{LEAST_HELD_OUT} or more to say how well images fit"
        )
    size = np.abs(training).mean(axis=0, dtype=np.float64)
    # A channel that no training image excites must not make the first that does infinitely far.
    least = max(float(size.mean()) * _LEAST_KNEE, float(np.finfo(np.float32).tiny))
    knee = np.maximum(_KNEE * size, least).astype(np.float32)
    numbers = squeezed(training, knee)
    centre = numbers.mean(axis=0)
    spread = np.maximum(numbers.std(axis=0), _LEAST_SPREAD)
    numbers = (numbers - centre) / spread
    precision = np.linalg.inv(_shrunk(numbers.T @ numbers / len(numbers), len(numbers)))
    lower = np.linalg.cholesky(precision) / spread[:, None]
    model = FitModel(
        knee,
        centre.astype(np.float32),
        pack(lower[None])[0].astype(np.float32),
        np.zeros(_QUANTILES, np.float32),
        1.0,
    )
    far = model.distances(held_out)
    body = np.quantile(far, np.linspace(0, _BODY, _QUANTILES))
    excess = np.log(far[far > body[-1]] / body[-1])
    tail = 1 / max(float(excess.mean()) if len(excess) else 0.0, 1e-3)
    return FitModel(model.knee, model.centre, model.factor, body.astype(np.float32), tail)


def _shrunk(covariance: F64, count: int) -> F64:
    """A covariance of standardised numbers moved towards the identity, by OAS's share."""
    size = len(covariance)
    squares, trace = float(np.square(covariance).sum()), float(np.trace(covariance))
    above = (1 - 2 / size) * squares + trace**2
    below = (count + 1 - 2 / size) * (squares - trace**2 / size)
    share = 1.0 if below <= 0 else min(1.0, above / below)
    share = max(share, 1e-4)  # features that follow from others would make it singular
    found: F64 = (1 - share) * covariance + share * np.eye(size)
    return found
