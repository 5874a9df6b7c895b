"""Triplets of a batch: anchors, positives and negatives, all at once.

Notation: B images in a batch, A anchors, L labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

NO_CLASS = -1

ANCHORS = 32
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

    Args:
        distances: float [A, B] from anchors to images; infinite where an image is the anchor itself.
        steps: [A, B], how many steps they are apart in the labels' order, 0 or more.
        margin: How much farther a negative is to lie than a positive.
        graded: Any image that is fewer steps away is a positive for any that is more, and the margin
            counts for each step between them. Without: positives are at most one step away, negatives
            farther.
    """
    itself = torch.isinf(distances)
    # Whatever depends on an image alone is added before there are B² of them for each anchor.
    beyond = distances.masked_fill(itself, 0.0)
    beyond = beyond - margin * steps if graded else beyond
    excess = (beyond if graded else beyond + margin)[:, :, None] - beyond[:, None, :]
    positive, negative = steps[:, :, None], steps[:, None, :]
    valid = positive < negative if graded else (positive <= 1) & (negative > 1)
    wrong = torch.where(valid & ~itself[:, :, None], excess, 0.0).relu()
    total: Tensor = wrong.sum() / (wrong > 0).sum().clamp(min=1)
    return total


def among(distances: Tensor) -> Tensor:
    """Distances from the first images of a batch, [B, B] → [A, B], each infinitely far from itself.

    Batches are in random order, so the first images are as good as others.
    """
    some = distances[:ANCHORS]
    own = torch.eye(len(distances), dtype=torch.bool, device=some.device)[:ANCHORS]
    return some.masked_fill(own, torch.inf)
