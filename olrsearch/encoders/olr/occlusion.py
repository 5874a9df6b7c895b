"""Random occluding rectangles, one an image.

Notation: B images in a batch, H × W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


def draw_rectangles(
    count: int,
    size: tuple[int, int],
    sides: tuple[float, float],
    probability: float,
    generator: Generator,
) -> Tensor:
    """Random rectangles: both sides drawn apart, then a position inside the image.

    Source: paper 001, section 3, figure 2.

    Args:
        count: B.
        size: (H, W), pixels.
        sides: Smallest and largest side, as shares of H and of W.
        probability: Share of the images that get a rectangle; the others get an empty one.
        generator: On CPU; the only source of chance.

    Returns:
        int64 [B, 4], pixels: top, left, bottom and right, the last two exclusive.
    """
    low, high = sides
    extent = torch.tensor(size, dtype=torch.float64)
    drawn = torch.rand(count, 5, generator=generator, dtype=torch.float64)
    shares = low + (high - low) * drawn[:, :2]
    lengths = (shares * extent).round().clamp(min=1)
    starts = ((extent - lengths + 1) * drawn[:, 2:4]).floor()
    lengths = torch.where(drawn[:, 4:] < probability, lengths, torch.zeros_like(lengths))
    return torch.cat((starts, starts + lengths), dim=1).long()


def occlude(pixels: Tensor, rectangles: Tensor, fill: Tensor) -> Tensor:
    """Images with their rectangles filled.

    Args:
        pixels: float [B, 3, H, W]; not changed.
        rectangles: int64 [B, 4], as `draw_rectangles` gives them.
        fill: float [3], the colour, in the units of the pixels.

    Returns:
        As pixels.
    """
    height, width = pixels.shape[2:]
    rows = torch.arange(height, device=pixels.device)
    columns = torch.arange(width, device=pixels.device)
    top, left, bottom, right = rectangles.to(pixels.device).unbind(dim=1)
    inside_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    inside_columns = (columns >= left[:, None]) & (columns < right[:, None])
    covered = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    return torch.where(covered, fill.to(pixels).reshape(1, 3, 1, 1), pixels)
