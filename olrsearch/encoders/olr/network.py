"""The two networks of OLR: the sigmoid teacher and the Siamese label encoder.

Notation: B images in a batch, L labels, k numbers a label, C channels of the trunk,
h × w feature maps. Inside the networks embeddings are image-major [B, L, k];
everywhere else they are label-major.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from olrsearch.encoders.olr.backbones import Normalise, Trunk

if TYPE_CHECKING:
    from olrsearch.encoders.olr.config import OlrConfig

Network = TypeVar("Network", bound=nn.Module)

_INITIAL_READOUT = 0.5
_INITIAL_SELF_PRODUCT = 0.25
"""Where e·e starts: joint probabilities lie between 0 and 1, and most near 0."""


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
        self.trunk = Trunk(config.backbone, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(self.trunk.channels, len(config.labels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → logits float32 [B, L]."""
        pooled = self.trunk(self.normalise(pixels)).mean(dim=(2, 3))
        logits: Tensor = self.linear(self.dropout(pooled))
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
    """Siamese branch: trunk, label-specific layer of L groups of k maps, ReLU, average pooling.

    The ReLU before pooling lets an absent label's vector be (nearly) zero.

    Source: Karatsiolis and Kamilaris, section 3 and figure 1.

    Args:
        config: Backbone, width, k, label kernel and labels.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: OlrConfig, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.count, self.k = len(config.labels), config.k
        self.normalise = Normalise(mean, std)
        self.trunk = Trunk(config.backbone, config.width)
        self.label_layer = nn.Conv2d(
            self.trunk.channels,
            self.count * self.k,
            config.label_kernel,
            padding=config.label_kernel // 2,
        )
        self.readout = LinearReadout(self.count, self.k)
        self._scale_label_layer()

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → label embeddings float32 [B, L, k], all ≥ 0."""
        maps = torch.relu(self.label_layer(self.trunk(self.normalise(pixels))))
        return maps.mean(dim=(2, 3)).float().reshape(-1, self.count, self.k)

    def _scale_label_layer(self) -> None:
        """Start with inner products of the size of joint probabilities.

        He's initialisation gives pre-activations of variance 2 q (q: mean square of the
        trunk's features, about 1), so pooled maps of about √(q / π) and e·e of about k / π;
        the weights are scaled so that it is `_INITIAL_SELF_PRODUCT` instead.
        """
        nn.init.kaiming_normal_(self.label_layer.weight, nonlinearity="relu")
        with torch.no_grad():
            self.label_layer.weight.mul_((_INITIAL_SELF_PRODUCT * torch.pi / self.k) ** 0.5)
        bias = self.label_layer.bias
        if bias is not None:
            nn.init.zeros_(bias)


def channels_last(network: Network) -> Network:
    """The same network with its weights in the memory layout that convolutions run fastest in."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return network
