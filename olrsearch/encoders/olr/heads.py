"""Heads: from the trunk's feature maps to one vector per label.

Both are trained by the same loss. Notation: B images in a batch, L labels, k numbers a
label, C channels of the trunk, h × w feature maps, d numbers a query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from olrsearch.encoders.olr.config import OlrConfig

_INITIAL_SELF_PRODUCT = 0.25
"""Where e·e starts: joint probabilities lie between 0 and 1, and most near 0."""

_ATTENTION_HEADS, _HEAD_DIM = 8, 32
"""Of the label queries: d = 256, as ML-Decoder has it for small trunks."""


class GroupedHead(nn.Module):
    """L groups of k feature maps, ReLU, average pooling: [B, C, h, w] → [B, L, k], all ≥ 0.

    The ReLU before pooling lets an absent label's vector be (nearly) zero.

    Source: paper 001, section 3, figure 1.

    Args:
        channels: C.
        count: L.
        k: Numbers a label.
        kernel: Side of the convolution, 1 or 3.
    """

    def __init__(self, channels: int, count: int, k: int, kernel: int) -> None:
        super().__init__()
        self.count, self.k = count, k
        self.maps = nn.Conv2d(channels, count * k, kernel, padding=kernel // 2)
        self._scale_maps()

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] → label embeddings float32 [B, L, k]."""
        pooled = torch.relu(self.maps(features)).mean(dim=(2, 3))
        return pooled.float().reshape(-1, self.count, self.k)

    def _scale_maps(self) -> None:
        """Start with inner products of the size of joint probabilities.

        He's initialisation gives pre-activations of variance 2 q (q: mean square of the
        trunk's features, about 1), so pooled maps of about √(q / π) and e·e of about k / π;
        the weights are scaled so that it is `_INITIAL_SELF_PRODUCT` instead.
        """
        nn.init.kaiming_normal_(self.maps.weight, nonlinearity="relu")
        with torch.no_grad():
            self.maps.weight.mul_((_INITIAL_SELF_PRODUCT * torch.pi / self.k) ** 0.5)
        if self.maps.bias is not None:
            nn.init.zeros_(self.maps.bias)


class QueryHead(nn.Module):
    """One cross-attention layer, L learned queries, a linear map per label: [B, C, h, w] → [B, L, k].

    A query looks where its label shows, so a small region is not averaged away. Nothing
    holds the vectors ≥ 0; their inner products are trained to be all the same.

    Source: Liu et al., "Query2Label: A Simple Transformer Way to Multi-Label
    Classification", 2021; Ridnik et al., "ML-Decoder: Scalable and Versatile
    Classification Head", 2023. Here with one layer, without self-attention and
    feed-forward part, and with k numbers a label where these have one logit.

    Args:
        channels: C.
        count: L.
        k: Numbers a label.
        size: (h, w), of the learned positions.
    """

    def __init__(self, channels: int, count: int, k: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.count, self.k = count, k
        width = _ATTENTION_HEADS * _HEAD_DIM
        self.queries = nn.Parameter(torch.randn(_ATTENTION_HEADS, count, _HEAD_DIM))
        self.positions = nn.Parameter(torch.zeros(1, size[0] * size[1], channels))
        self.keys = nn.Linear(channels, width)
        self.values = nn.Linear(channels, width)
        # Values of variance about 1 give e·e of about k times the weights' share of it.
        scale = (_INITIAL_SELF_PRODUCT / (k * width)) ** 0.5
        self.weight = nn.Parameter(torch.randn(count, width, k) * scale)
        self.bias = nn.Parameter(torch.zeros(count, k))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] → label embeddings float32 [B, L, k]."""
        batch = features.shape[0]  # torch.fx, which makes the graph to encode with, cannot follow len()
        tokens = features.flatten(2).transpose(1, 2) + self.positions
        shape = (batch, -1, _ATTENTION_HEADS, _HEAD_DIM)
        keys = self.keys(tokens).reshape(shape).permute(0, 2, 3, 1)
        values = self.values(tokens).reshape(shape).permute(0, 2, 1, 3)
        attention = torch.softmax(self.queries @ keys * _HEAD_DIM**-0.5, dim=-1)
        # [B, heads, L, d / heads] → [L, B, d], one small matrix a label.
        looked = (attention @ values).permute(2, 0, 1, 3).reshape(self.count, batch, -1)
        embeddings: Tensor = torch.bmm(looked, self.weight).transpose(0, 1) + self.bias
        return embeddings.float()


Head = GroupedHead | QueryHead


def make_head(config: OlrConfig, channels: int, size: tuple[int, int]) -> Head:
    """The head that a configuration names, with random weights.

    Args:
        config: Head, labels, k and label kernel.
        channels: C of the trunk.
        size: (h, w) of the trunk's feature maps.
    """
    count = len(config.labels)
    if config.head == "query":
        return QueryHead(channels, count, config.k, size)
    return GroupedHead(channels, count, config.k, config.label_kernel)
