"""What a decoder's answer costs in nats: of what is seen of images, and of labels.

Notation: B images in a batch, L labels, n numbers that are seen of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nnf

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.network import VaeNetwork


def image_error(network: VaeNetwork, decoded: Tensor, seen: Tensor) -> Tensor:
    """−ln p(x|z), float [B], nats, summed over an image's numbers; of features less its constant.

    Args:
        network: Tells pixels, whose likelihood is Bernoulli's, from features, whose is N(decoded, I).
        decoded: [B, n].
        seen: [B, n].
    """
    if network.bernoulli:
        return nnf.binary_cross_entropy_with_logits(decoded, seen, reduction="none").sum(dim=1)
    found: Tensor = 0.5 * (decoded - seen).square().sum(dim=1)
    return found


def reconstruction(network: VaeNetwork, decoded: Tensor) -> Tensor:
    """What a decoder's answer expects to be seen, [B, n]."""
    return torch.sigmoid(decoded) if network.bernoulli else decoded


def label_error(logits: Tensor, labels: Tensor, *, one: bool) -> Tensor:
    """−ln p(l|z), float [B], nats.

    Args:
        logits: [B, L].
        labels: int8 [B, L], −1 absent, 0 unknown, +1 present.
        one: One label an image, with the cross-entropy of a softmax over them; else each label by
            itself, summed over those that are known.
    """
    if one:
        return nnf.cross_entropy(logits, labels.argmax(dim=1), reduction="none")
    error = nnf.binary_cross_entropy_with_logits(logits, (labels > 0).float(), reduction="none")
    return (error * (labels != 0)).sum(dim=1)
