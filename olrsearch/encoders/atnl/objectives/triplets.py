"""Triplets of a batch: anchors, positives and negatives, all at once.

Notation: B images in a batch, L labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

NO_CLASS = -1

_ANCHORS = 32
"""Of a batch: all B³ triplets of 128 images would cost more than the networks do."""


def classes_of(labels: Tensor) -> Tensor:
    """The one label that each image shows, int64 [B]; `NO_CLASS` where it shows none, or several.

    Args:
        labels: int8 [B, L], −1/0/+1.
    """
    present = labels > 0
    return torch.where(present.sum(dim=1) == 1, present.int().argmax(dim=1), NO_CLASS)


def triplet_loss(distances: Tensor, steps: Tensor, margin: float, *, graded: bool) -> Tensor:
    """Mean of [d(a, p) − d(a, n) + margin]₊ over the triplets that are not yet right; 0 without any.

    Anchors are the first images of the batch, which is in random order; positives and negatives are all.

    Args:
        distances: float [B, B] between images.
        steps: int64 [B, B], how many steps they are apart in the labels' order, 0 or more.
        margin: How much farther a negative is to lie than a positive.
        graded: Any image that is fewer steps away is a positive for any that is more, and the margin
            counts for each step between them. Without: positives are at most one step away, negatives
            farther.
    """
    count = len(distances)
    apart = ~torch.eye(count, dtype=torch.bool, device=distances.device)[:_ANCHORS]
    distances, steps = distances[:_ANCHORS], steps[:_ANCHORS]
    # [a, p, n]: how many steps farther the negative is.
    farther = steps[:, None, :] - steps[:, :, None]
    if graded:
        valid = (farther > 0) & apart[:, :, None]
        wanted = margin * farther
    else:
        valid = (steps[:, :, None] <= 1) & (steps[:, None, :] > 1) & apart[:, :, None]
        wanted = torch.full_like(distances[:, :, None], margin)
    excess = distances[:, :, None] - distances[:, None, :] + wanted
    wrong = torch.where(valid, excess, torch.zeros_like(excess)).clamp(min=0)
    active: Tensor = (wrong > 0).sum().clamp(min=1)
    total: Tensor = wrong.sum() / active
    return total
