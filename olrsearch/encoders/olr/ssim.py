"""Structural similarity of images, a channel at a time, differentiable.

Notation: B images in a batch, C channels, H × W pixels.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, U8

WINDOW: Final = 11
"""Side of the window in pixels; in smaller images the largest odd number that fits."""

_SIGMA: Final = 1.5
_C1: Final = 0.01**2
_C2: Final = 0.03**2
_LEAST: Final = 1e-12
_BLOCK: Final = 256


def ssim(first: Tensor, second: Tensor, *, step: int = 1) -> Tensor:
    """Mean structural similarity of pairs of images; 1 of equal ones.

    Moments are taken under a Gaussian window of 11 × 11 pixels, σ 1.5, wherever it lies within the image, of
    each channel by itself, and the means over windows and channels are one number an image. The covariance is
    Wang et al.'s, as the σ_xy printed in the paper is another formula's, by mistake.

    Args:
        first: float [B, C, H, W] on the scale 0 to 1; it may go beyond.
        second: The same.
        step: Windows lie at every so many places of a row and of a column. Those left out tell little that
            their neighbours do not, and cost most of the time.

    Returns:
        float32 [B].

    Source: paper 000, section 4.4, equation 1.
    """
    height, width = first.shape[-2:]
    rows, columns = (_windows(side)[::step].to(first.device) for side in (height, width))
    first, second = first.float(), second.float()
    moments = torch.stack((first, second, first * first + second * second, first * second))
    # A window that is a product of two vectors: as products with banded matrices, several times
    # faster on a CPU than as a convolution of few channels.
    a, b, squares, product = (moments @ columns.T).transpose(-1, -2) @ rows.T
    both, power = a * b, a * a + b * b
    found = (2 * both + _C1) * (2 * (product - both) + _C2) / ((power + _C1) * (squares - power + _C2))
    alike: Tensor = found.mean(dim=(1, 2, 3))
    return alike


def compare(made: U8, originals: U8) -> tuple[F64, F64, F64]:
    """How alike pairs of pictures are: structural similarity, PSNR in dB, and mean squared error.

    Args:
        made: uint8 [m, H, W, 3].
        originals: uint8 [m, H, W, 3].

    Returns:
        float64 [m] each; the error on the scale 0 to 1, and the PSNR of equal pictures is 120.
    """
    alike, error = np.empty(len(made)), np.empty(len(made))
    with torch.inference_mode():
        for start in range(0, len(made), _BLOCK):
            part = slice(start, start + _BLOCK)
            first, second = (
                torch.from_numpy(np.array(pixels[part])).permute(0, 3, 1, 2) / 255
                for pixels in (made, originals)
            )
            alike[part] = ssim(first, second).numpy()
            error[part] = (first - second).square().mean(dim=(1, 2, 3)).numpy()
    return alike, -10 * np.log10(np.maximum(error, _LEAST)), error


@cache
def _windows(side: int) -> Tensor:
    """The window at every place of a side, float32 [places, side]."""
    window = min(WINDOW, side - 1 + side % 2)
    offsets = torch.arange(window, dtype=torch.float64) - window // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights = (weights / weights.sum()).float()
    places = side - window + 1
    # What is made under inference could never be trained through.
    with torch.inference_mode(mode=False):
        out = torch.zeros(places, side)
        for place in range(places):
            out[place, place : place + window] = weights
    return out
