"""The two networks of OLR: the sigmoid teacher and the Siamese label encoder.

Notation: B images in a batch, L labels, k numbers a label, C channels of the trunk,
h × w feature maps. Inside the networks embeddings are image-major [B, L, k];
everywhere else they are label-major.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from olrsearch.encoders.olr.heads import make_head
from olrsearch.encoders.trunks.trunk import Normalise, make_trunk, map_size

if TYPE_CHECKING:
    from olrsearch.encoders.olr.config import OlrConfig

_INITIAL_READOUT = 0.5


class TeacherNetwork(nn.Module):
    """Classifier of independent labels: trunk, global average pooling, dropout, linear.

    Args:
        config: Backbone, width, dropout and labels.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: OlrConfig, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.trunk = make_trunk(config.backbone, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(self.trunk.channels, len(config.labels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → logits float32 [B, L]."""
        return self.classify(self.trunk(self.normalise(pixels)))

    def classify(self, features: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → logits float32 [B, L]."""
        logits: Tensor = self.linear(self.dropout(features.mean(dim=(2, 3))))
        return logits.float()


class LinearReadout(nn.Module):
    """z_l = w_l · e^l + b_l: each label from its own embedding alone.

    Args:
        count: L.
        k: Numbers a label.
    """

    def __init__(self, count: int, k: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, k) * _INITIAL_READOUT)
        self.bias = nn.Parameter(torch.zeros(count))

    def forward(self, embeddings: Tensor) -> Tensor:
        """[B, L, k] → logits [B, L]."""
        return (embeddings * self.weight).sum(dim=2) + self.bias


class OlrNetwork(nn.Module):
    """Siamese branch: trunk, head from feature maps to label embeddings, readout beside.

    Source: paper 001, section 3, figure 1.

    Args:
        config: Backbone, width, head, k and labels.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: OlrConfig, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.trunk = make_trunk(config.backbone, config.width)
        self.head = make_head(config, self.trunk.channels, map_size(self.trunk, config.image_size))
        self.readout = LinearReadout(len(config.labels), config.k)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → label embeddings float32 [B, L, k]."""
        return self.answer(self.trunk(self.normalise(pixels)))

    def answer(self, features: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → label embeddings float32 [B, L, k]."""
        embeddings: Tensor = self.head(features)
        return embeddings
