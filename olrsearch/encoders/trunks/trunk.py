"""Convolutional trunks, shared by teacher and Siamese network.

Residual stages on a strided stem, after He et al., "Deep Residual Learning for
Image Recognition", with average pooling in the strided shortcuts (ResNet-D, He et
al., "Bag of Tricks for Image Classification"). Small enough to train on a CPU.

Notation: B images in a batch, C channels, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from olrsearch.encoders.trunks.efficientnet import (
    PIXEL_MEAN,
    PIXEL_STD,
    EfficientNetLite0,
    load_pretrained,
)

Network = TypeVar("Network", bound=nn.Module)

_SEEN = 3
"""Stages, the last ones, whose maps tell how an image looks, whatever its labels."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """The shape of a trunk.

    Attributes:
        multipliers: Channels of each stage, in units of the configured width. Every
            stage but the first halves height and width; so does the stem.
        blocks: Residual blocks of each stage.
    """

    multipliers: tuple[int, ...]
    blocks: tuple[int, ...]


BACKBONES: dict[str, Backbone] = {
    "small": Backbone((1, 2, 4, 8), (1, 1, 1, 1)),
    "deep": Backbone((1, 2, 4, 8), (2, 2, 2, 2)),
    "tiny": Backbone((1, 2), (1, 1)),
}
"""The residual trunks a configuration can name."""


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: [B, in, H, W] → [B, out, H/stride, W/stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(
                pool, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H/stride, W/stride]."""
        inner = nnf.relu(self.norm1(self.conv1(x)))
        return nnf.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class ResidualTrunk(nn.Module):
    """Pixels to feature maps: [B, 3, H, W] → [B, channels, ~H/16, ~W/16] for four stages.

    Args:
        backbone: A name of `BACKBONES`.
        width: Channels of the first stage.

    Attributes:
        channels: C.
        halvings: How often height and width are halved.
        seen: The channels of the maps on the way that `maps` gives.
    """

    def __init__(self, backbone: str, width: int) -> None:
        super().__init__()
        shape = BACKBONES[backbone]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages: list[nn.Module] = []
        channels = width
        for stage, (multiplier, blocks) in enumerate(zip(shape.multipliers, shape.blocks, strict=True)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(ResidualBlock(channels, multiplier * width, stride))
                channels = multiplier * width
        self.stages = nn.Sequential(*stages)
        self.channels = channels
        self.halvings = len(shape.multipliers)
        ends = [sum(shape.blocks[: stage + 1]) for stage in range(len(shape.blocks))]
        self._seen = frozenset(ends[-_SEEN:])
        self.seen = width * sum(shape.multipliers[-_SEEN:])

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, channels, h, w]."""
        return self.maps(x)[-1]

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] → the maps that the last stages end with, at most three, and those of `forward`."""
        x = self.stem(x)
        seen = []
        for number, block in enumerate(self.stages, start=1):
            x = block(x)
            if number in self._seen:
                seen.append(x)
        return (*seen, x)


Trunk = ResidualTrunk | EfficientNetLite0


def make_trunk(backbone: str, width: int) -> Trunk:
    """A trunk with random weights.

    Args:
        backbone: A name of `BACKBONES`, or 'efficientnet-lite0'.
        width: Channels of the first stage; EfficientNet-Lite0 has its own.
    """
    if backbone == "efficientnet-lite0":
        return EfficientNetLite0()
    return ResidualTrunk(backbone, width)


def map_size(trunk: Trunk, size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of a trunk's feature maps for images of (H, W) pixels: each halving rounds up."""
    height, width = (-(-side // 2**trunk.halvings) for side in size)
    return height, width


def start_trunk(trunk: Trunk, *, pretrained: bool) -> None:
    """Put weights trained on ImageNet into a trunk, where that is asked for.

    Raises:
        TrainingError: the package that holds them is not installed.
    """
    if pretrained and isinstance(trunk, EfficientNetLite0):
        load_pretrained(trunk)


def expected_colours() -> tuple[Tensor, Tensor]:
    """Mean and deviation of colours that pretrained weights were trained with, float32 [3] each, 0–255."""
    return torch.full((3,), PIXEL_MEAN), torch.full((3,), PIXEL_STD)


class Normalise(nn.Module):
    """uint8 or float pixels, 0–255, to zero mean and unit variance a channel.

    Args:
        mean: float32 [3], the data mean, 0–255.
        std: float32 [3], the data's standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone().reshape(1, 3, 1, 1))
        self.register_buffer("std", std.clone().reshape(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W], 0–255 → float32 [B, 3, H, W], channels last in memory."""
        scaled = (pixels.to(torch.float32) - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)


def channels_last(network: Network) -> Network:
    """The same network with its weights in the memory layout that convolutions run fastest in."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return network
