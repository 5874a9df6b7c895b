"""The way back from a point of a latent space to a picture, for every encoder that has one.

Notation: B images in a batch, d dimensions, m points, H × W pixels.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from olrsearch.core.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, U8

_LEAST_SIDE = 4
"""Height and width that a decoder starts from are at least about this."""

_DECODED = 64
"""Points decoded at once."""


class Drawing(Protocol):
    """A point to an image, by whatever layers.

    Attributes:
        height: H of decoded images.
        width: W of them.
    """

    height: int
    width: int

    def __call__(self, points: Tensor) -> Tensor:
        """[B, d] → logits float32 [B, 1 or 3, H, W]."""


class Decoder(nn.Module):
    """A point to an image: linear, then doublings of height and width, to Bernoulli logits.

    Args:
        size: d.
        width: Channels of the last layer but one; each earlier one has twice as many, up to eight times.
        image_size: (H, W).
        colours: 1 or 3.

    Attributes:
        height: H of decoded images.
        width: W of them.
    """

    def __init__(self, size: int, width: int, image_size: tuple[int, int], colours: int) -> None:
        super().__init__()
        self.height, self.width = image_size
        doublings = max(1, int(math.log2(min(image_size) / _LEAST_SIDE)))
        self.start = tuple(math.ceil(side / 2**doublings) for side in image_size)
        # Half as many channels at each doubling, but never more than eight times the last ones.
        widths = [width * min(8, 2 ** (doublings - 1 - step)) for step in range(doublings)]
        self.linear = nn.Linear(size, 2 * widths[0] * self.start[0] * self.start[1])
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise([2 * widths[0], *widths]):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], colours, 3, 1, 1))

    def forward(self, points: Tensor) -> Tensor:
        """[B, d] → logits float32 [B, 1 or 3, H, W]."""
        maps = nnf.relu(self.linear(points)).reshape(len(points), -1, *self.start)
        logits: Tensor = self.layers(maps)
        return logits[:, :, : self.height, : self.width].float()


class PlainDecoder(nn.Module):
    """A point to a small image by one hidden layer, to Bernoulli logits: quick, for digits and the like.

    Args:
        size: d.
        hidden: Numbers between.
        image_size: (H, W).
        colours: 1 or 3.

    Attributes:
        height: H of decoded images.
        width: W of them.
    """

    def __init__(self, size: int, hidden: int, image_size: tuple[int, int], colours: int) -> None:
        super().__init__()
        self.height, self.width = image_size
        self.colours = colours
        self.linear = nn.Linear(size, hidden)
        self.last = nn.Linear(hidden, colours * self.height * self.width)

    def forward(self, points: Tensor) -> Tensor:
        """[B, d] → logits float32 [B, 1 or 3, H, W]."""
        logits: Tensor = self.last(nnf.relu(self.linear(points)))
        return logits.reshape(len(points), self.colours, self.height, self.width).float()


def bernoulli_error(logits: Tensor, planes: Tensor) -> Tensor:
    """−ln p(x|z), float [B], nats, summed over pixels and channels.

    Args:
        logits: [B, 1 or 3, H, W], decoded.
        planes: float32 [B, 3, H', W'], the originals, 0–255; reduced to H × W, and to grey for one
            channel.
    """
    target = planes / 255.0
    if logits.shape[1] == 1:
        target = target.mean(dim=1, keepdim=True)
    if target.shape[2:] != logits.shape[2:]:
        target = nnf.adaptive_avg_pool2d(target, (logits.shape[2], logits.shape[3]))
    error = nnf.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return error.sum(dim=(1, 2, 3))


def decoded(decoder: Drawing, points: F32, size: int, device: torch.device) -> U8:
    """Expected images of points, some at a time: float32 [m, d] → uint8 [m, H, W, 3].

    Args:
        decoder: On the device, ready to compute.
        points: Not changed.
        size: d.
        device: Where the decoder is.

    Raises:
        EncoderError: points of another shape.
    """
    at = np.asarray(points, np.float32)
    if at.ndim != 2 or at.shape[1] != size:
        raise EncoderError(f"points of shape {at.shape}: this decoder takes [m, {size}]")
    parts: list[NDArray[np.uint8]] = []
    with torch.inference_mode():
        for start in range(0, len(at), _DECODED):
            chunk = torch.tensor(at[start : start + _DECODED]).to(device)
            planes = torch.sigmoid(decoder(chunk)).mul(255).round().to(torch.uint8)
            parts.append(planes.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts) if parts else np.empty((0, decoder.height, decoder.width, 3), np.uint8)
