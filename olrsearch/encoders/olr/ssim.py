"""Structural similarity of images, a channel at a time, differentiable.

Notation: B images in a batch, C channels, H × W pixels.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor

WINDOW: Final = 11
"""Side of the window in pixels; in smaller images the largest odd number that fits."""

_SIGMA: Final = 1.5
_C1: Final = 0.01**2
_C2: Final = 0.03**2


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean structural similarity of pairs of images; 1 of equal ones.

    Moments are taken under a Gaussian window of 11 × 11 pixels, σ 1.5, wherever it lies within the image, of
    each channel by itself, and the means over windows and channels are one number an image. The covariance is
    Wang et al.'s, as the σ_xy printed in the paper is another formula's, by mistake.

    Args:
        first: float [B, C, H, W] on the scale 0 to 1; it may go beyond.
        second: The same.

    Returns:
        float32 [B].

    Source: paper 000, section 4.4, equation 1.
    """
    height, width = first.shape[-2:]
    rows, columns = _windows(height).to(first.device), _windows(width).to(first.device)
    first, second = first.float(), second.float()
    # A window that is a product of two vectors: as products with banded matrices, several times
    # faster on a CPU than as a convolution of few channels.
    means = rows @ torch.stack((first, second, first * first, second * second, first * second)) @ columns.T
    a, b, aa, bb, ab = means
    between = ab - a * b
    spread = aa - a * a + bb - b * b
    found = (2 * a * b + _C1) * (2 * between + _C2) / ((a * a + b * b + _C1) * (spread + _C2))
    alike: Tensor = found.mean(dim=(1, 2, 3))
    return alike


@cache
def _windows(side: int) -> Tensor:
    """The window at every place of a side, float32 [places, side]."""
    window = min(WINDOW, side - 1 + side % 2)
    offsets = torch.arange(window, dtype=torch.float64) - window // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights = (weights / weights.sum()).float()
    places = side - window + 1
    out = torch.zeros(places, side)
    for place in range(places):
        out[place, place : place + window] = weights
    return out
