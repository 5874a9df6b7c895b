"""Random changes of images that leave their labels as they are, beyond mirroring and shifting.

Notation: B images in a batch, H × W pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nnf

if TYPE_CHECKING:
    from torch import Generator, Tensor


def turn_and_zoom(planes: Tensor, *, zoom: float, rotation: float, generator: Generator) -> Tensor:
    """Images turned in the plane and scaled about their centre; edges are repeated.

    Args:
        planes: float [B, 3, H, W]; not changed.
        zoom: Largest change of scale: factors lie between 1 / (1 + zoom) and 1 + zoom,
            evenly in their logarithm.
        rotation: Largest turn, degrees, in both directions.
        generator: On CPU; the only source of chance.

    Returns:
        As planes, interpolated linearly.
    """
    count, _, height, width = planes.shape
    drawn = torch.rand(2, count, generator=generator) * 2 - 1
    # A point of the result is looked up in the image: scale and turn are those of the way back.
    scale = torch.exp(-drawn[0] * math.log1p(zoom))
    angle = drawn[1] * math.radians(rotation)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    aspect = height / width
    way_back = torch.zeros(count, 2, 3)
    way_back[:, 0, 0], way_back[:, 0, 1] = cosine, -sine * aspect
    way_back[:, 1, 0], way_back[:, 1, 1] = sine / aspect, cosine
    grid = nnf.affine_grid(way_back.to(planes), [count, 3, height, width], align_corners=False)
    return nnf.grid_sample(planes, grid, padding_mode="border", align_corners=False)


def jitter_colour(planes: Tensor, *, strength: float, generator: Generator) -> Tensor:
    """Images with brightness, contrast and saturation changed, each by its own random factor.

    Args:
        planes: float [B, 3, H, W], 0–255; not changed.
        strength: Factors lie between 1 − strength and 1 + strength.
        generator: On CPU; the only source of chance.

    Returns:
        As planes, 0–255.
    """
    drawn = 1 + (torch.rand(3, len(planes), 1, 1, 1, generator=generator) * 2 - 1) * strength
    brightness, contrast, saturation = drawn.to(planes)
    planes = planes * brightness
    level = planes.mean(dim=(1, 2, 3), keepdim=True)
    planes = (planes - level) * contrast + level
    grey = planes.mean(dim=1, keepdim=True)
    changed: Tensor = ((planes - grey) * saturation + grey).clamp(0, 255)
    return changed
