"""Diagonal Gaussians of a batch, in torch: from a network's numbers, divergences, draws, densities.

Notation: B Gaussians of a batch, W words, d dimensions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from olrsearch.maths.gaussian import SIGMA0

if TYPE_CHECKING:
    from torch import Generator

LOW, HIGH = -8.0, 6.0
"""Between these the logarithm of a label's variance is held: at first a label may be far from its images."""

_LOG_2PI = math.log(2.0 * math.pi)


class Diagonal(NamedTuple):
    """Gaussians without covariances.

    Attributes:
        mean: float32 [B, d].
        variance: float32 [B, d], above σ₀².
    """

    mean: Tensor
    variance: Tensor


def of_numbers(numbers: Tensor, low: float = -math.inf, high: float = math.inf) -> Diagonal:
    """A network's output as Gaussians: means, then logarithms of variances less σ₀².

    Args:
        numbers: float [B, 2d].
        low: The logarithms are held above this,
        high: and below this.
    """
    mean, logarithm = numbers.float().chunk(2, dim=1)
    if low > -math.inf or high < math.inf:
        logarithm = logarithm.clamp(low, high)
    return Diagonal(mean, logarithm.exp() + SIGMA0**2)


def divergence(one: Diagonal, other: Diagonal) -> Tensor:
    """KL(one‖other), float [B], nats."""
    ratio = one.variance / other.variance
    apart = (one.mean - other.mean).square() / other.variance
    found: Tensor = 0.5 * (ratio + apart - 1.0 - ratio.log()).sum(dim=1)
    return found


def divergence_from_standard(one: Diagonal) -> Tensor:
    """KL(one‖N(0, I)), float [B], nats."""
    found: Tensor = 0.5 * (one.variance + one.mean.square() - 1.0 - one.variance.log()).sum(dim=1)
    return found


def draw(of: Diagonal, generator: Generator) -> Tensor:
    """One point of each Gaussian, [B, d].

    Args:
        of: What is drawn from.
        generator: On CPU; the only source of chance.
    """
    noise = torch.randn(of.mean.shape, generator=generator).to(of.mean.device)
    return of.mean + of.variance.sqrt() * noise


def log_densities(points: Tensor, words: Diagonal) -> Tensor:
    """Ln N(x; word) of each word's Gaussian at each point, float [B, W].

    Args:
        points: [B, d].
        words: W Gaussians.
    """
    apart = (points[:, None] - words.mean).square() / words.variance
    found: Tensor = -0.5 * (apart + words.variance.log() + _LOG_2PI).sum(dim=2)
    return found
