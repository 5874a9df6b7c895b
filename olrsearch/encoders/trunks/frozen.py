"""What a trunk that knows ImageNet sees of an image, and where: features that have met no label of a store.

Deep and shallow feature maps are pooled to about the same grid and laid side by side. In aligned faces the
place in the grid is the place in the face, so a linear model can look for a smile at the mouth; pooled over
the whole image (the last block) the same maps say much less.

Notation: B images, H × W pixels, D numbers an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from olrsearch.encoders.engines.engine import Task, make_engine, run_all
from olrsearch.encoders.trunks.efficientnet import (
    PIXEL_MEAN,
    PIXEL_STD,
    EfficientNetLite0,
    load_pretrained,
)

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, U8

INPUT_SIZE: Final = (218, 178)
"""Pixels: those of an aligned face."""

_CUTS: Final = (5, 11, 16)
"""Blocks after which maps of 1/8, 1/16 and 1/32 of the image's sides are taken."""


class _Maps(nn.Module):
    """Pixels 0–255 [B, 3, H, W] → float32 [B, D]: three maps, pooled to 1/32 of the sides, and their mean."""

    def __init__(self, trunk: EfficientNetLite0) -> None:
        super().__init__()
        first, second, third = _CUTS
        self.stem = trunk.stem
        self.shallow = trunk.stages[:first]
        self.middle = trunk.stages[first:second]
        self.deep = trunk.stages[second:third]
        self.head = trunk.head
        self.pool_shallow = nn.AvgPool2d(4, ceil_mode=True, count_include_pad=False)
        self.pool_middle = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The maps, in the trunk's own orientation (turned by half a circle)."""
        x = self.stem(((pixels.to(torch.float32) - PIXEL_MEAN) / PIXEL_STD).flip((2, 3)))
        shallow = self.shallow(x)
        middle = self.middle(shallow)
        deep = self.deep(middle)
        whole = self.head(deep).mean(dim=(2, 3))
        maps = (self.pool_shallow(shallow), self.pool_middle(middle), deep)
        return torch.cat([*(part.flatten(1) for part in maps), whole], dim=1)


class FrozenTrunk:
    """EfficientNet-Lite0 with its ImageNet weights, by the fastest engine of this machine.

    Attributes:
        input_size: (H, W) of the pixels it takes.
        blocks: How many of the D numbers come from each map, in their order: they are scaled apart.

    Raises:
        TrainingError: the package that holds the weights is not installed.
    """

    def __init__(self) -> None:
        trunk = EfficientNetLite0()
        load_pretrained(trunk)
        network = _Maps(trunk).eval().requires_grad_(requires_grad=False)
        self.input_size = INPUT_SIZE
        self._engine = make_engine(Task(network, torch.device("cpu"), INPUT_SIZE))
        height, width = (-(-side // 32) for side in INPUT_SIZE)
        channels = [_channels(part) for part in (network.shallow, network.middle, network.deep)]
        self.blocks = (*(count * height * width for count in channels), trunk.channels)

    def features(self, pixels: U8) -> F32:
        """What the trunk sees: uint8 [B, H, W, 3] → float32 [B, D]."""
        out = np.empty((len(pixels), sum(self.blocks)), np.float32)
        run_all(self._engine, pixels, out)
        return out


def _channels(part: nn.Module) -> int:
    """Channels of the map that a run of blocks ends with."""
    return [layer.num_features for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)][-1]
