"""What there is to see of one Gaussian: its covariance, what it says of words, what is decoded from it.

Notation: W own words, d dimensions of the latent space.

Source: paper 004, figures 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, U8
    from olrsearch.maths.gaussian import Gaussians


@dataclass(frozen=True, slots=True, eq=False)
class GaussianLook:
    """What there is to see of one Gaussian.

    Attributes:
        name: The image, or the words.
        gaussian: A batch of one.
        words: The W own words of the encoder.
        correlations: float64 [W, W], of the projections on the words' directions: w Σ v, divided by the
            roots of w Σ w and v Σ v; NaN for a word at the origin.
        decoded: uint8 [1 + samples, H, W, 3], of the mean and of samples; None without a decoder.
        picture: The image itself, JPEG; None for words, and where it is gone.
        notes: What a reader must know.
    """

    name: str
    gaussian: Gaussians
    words: tuple[str, ...]
    correlations: F64
    decoded: U8 | None = None
    picture: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def deviations(self) -> tuple[float, float]:
        """The smallest and the largest standard deviation in any direction."""
        variances = np.linalg.eigvalsh(self.gaussian.covariance[0])
        return float(np.sqrt(variances[0])), float(np.sqrt(variances[-1]))


def word_correlations(gaussian: Gaussians, vectors: F64) -> F64:
    """Correlations of z·w and z·v under a Gaussian for all words w, v: float64 [W, W].

    Args:
        gaussian: A batch of one.
        vectors: float64 [W, d].
    """
    spread = vectors @ gaussian.factor[0]
    products = spread @ spread.T
    scale = np.sqrt(np.diagonal(products))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: F64 = products / np.outer(scale, scale)
    return np.clip(found, -1.0, 1.0)
