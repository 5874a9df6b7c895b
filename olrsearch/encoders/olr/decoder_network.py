"""The networks that decode label embeddings: numbers to pixels.

Notation: B images in a batch, D = L · k numbers of an embedding, r components, H × W pixels, C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

if TYPE_CHECKING:
    from olrsearch.encoders.olr.decoder_config import DecoderConfig

Layer = TypeVar("Layer", bound=nn.Module)

_LEAST_SIDE = 6
"""Height and width that doublings start from are about this: the paper's."""

_EPSILON = 1e-6


class DecoderNetwork(nn.Module):
    """What is trained, averaged and stored: how numbers are prepared, linear reconstruction, network.

    Args:
        config: Network, inputs, sizes.
        numbers: D.
        rank: r.
    """

    def __init__(self, config: DecoderConfig, numbers: int, rank: int) -> None:
        super().__init__()
        self.prepare = Prepare(numbers, turned=config.inputs == "whitened")
        self.linear = LinearPictures(numbers, rank, config.image_size)
        self.network: nn.Module = (
            PaperNetwork(config, numbers)
            if config.network == "paper"
            else ComponentsNetwork(config, numbers, rank)
        )

    def forward(self, embeddings: Tensor, weights: Tensor | None = None) -> Tensor:
        """Embeddings [B, D] → pictures float32 [B, 3, H, W], about 0 to 1.

        Args:
            embeddings: Of the images.
            weights: float [B, r], their weights in the linear reconstruction, where others are to be taken
                than its own, which has seen these images.
        """
        numbers = self.prepare(embeddings)
        if isinstance(self.network, ComponentsNetwork):
            begun = self.linear.coordinates(embeddings) if weights is None else weights
            found: Tensor = self.network(numbers, begun, self.linear)
        else:
            found = self.network(numbers)
        return found.float()


class Prepare(nn.Module):
    """Embeddings as a network takes them: as they are, standardised, or turned and scaled along their axes.

    Directions of little variance hold a good part of what a picture looks like, and no network finds them
    beside the large ones.

    Args:
        numbers: D.
        turned: Whether they are turned.
    """

    centre: Tensor
    scale: Tensor
    turn: Tensor | None

    def __init__(self, numbers: int, *, turned: bool) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        self.register_buffer("turn", torch.eye(numbers) if turned else None)

    def forward(self, embeddings: Tensor) -> Tensor:
        """[B, D] → [B, D]."""
        numbers = (embeddings - self.centre) * self.scale
        return numbers if self.turn is None else numbers @ self.turn


class LinearPictures(nn.Module):
    """Ridge regression onto principal components of pictures, fitted beforehand and not trained.

    Args:
        numbers: D.
        rank: r.
        size: (H, W).
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    axes: Tensor
    spread: Tensor

    def __init__(self, numbers: int, rank: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        values = 3 * size[0] * size[1]
        self.register_buffer("weight", torch.zeros(numbers, rank))
        self.register_buffer("bias", torch.zeros(rank))
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("axes", torch.zeros(rank, values))
        self.register_buffer("spread", torch.ones(rank))

    def coordinates(self, embeddings: Tensor) -> Tensor:
        """Embeddings [B, D] → coordinates [B, r]."""
        return embeddings @ self.weight + self.bias

    def pictures(self, coordinates: Tensor, axes: Tensor | None = None) -> Tensor:
        """Coordinates [B, r], along other components [r, P] than its own if given → pictures [B, 3, H, W]."""
        values = self.mean + coordinates @ (self.axes if axes is None else axes)
        return values.reshape(-1, *self.size, 3).permute(0, 3, 1, 2)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Embeddings [B, D] → pictures [B, 3, H, W]."""
        return self.pictures(self.coordinates(embeddings))


class PaperNetwork(nn.Module):
    """Dense, then a transposed convolution and a convolution a doubling, every layer with ReLU.

    At 176 × 176 pixels and width 64 this is the paper's table layer by layer: from 6 × 6 × 512 by five
    doublings, with a convolution of valid padding, 24 to 22, at the second. Smaller pictures take fewer
    doublings.

    Args:
        config: Size and width.
        numbers: D.

    Source: paper 000, table 1.
    """

    def __init__(self, config: DecoderConfig, numbers: int) -> None:
        super().__init__()
        width, size = config.width, config.image_size
        self.size = size
        doublings = max(1, math.ceil(math.log2(min(size) / _LEAST_SIDE)))
        self.start = tuple(math.ceil(side / 2**doublings) for side in size)
        self.linear = nn.Linear(numbers, 8 * width * self.start[0] * self.start[1])
        layers: list[nn.Module] = []
        inputs = 8 * width
        for step in range(1, doublings + 1):
            first = 2 * width if step == 1 else width
            last = max(1, width // 2) if step == doublings else width
            layers += [nn.ConvTranspose2d(inputs, first, 3, 2, 1, 1), nn.ReLU()]
            needed = [side / 2 ** (doublings - step) for side in size]
            spare = min(2**step * begun - side for begun, side in zip(self.start, needed, strict=True))
            layers += [nn.Conv2d(first, last, 3, 1, 0 if step == 2 and spare >= 2 else 1), nn.ReLU()]
            inputs = last
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 3, 3, 1, 1), nn.ReLU())

    def forward(self, numbers: Tensor) -> Tensor:
        """[B, D] → [B, 3, H, W], 0 and above."""
        maps = nnf.relu(self.linear(numbers)).reshape(len(numbers), -1, *self.start)
        return _cut(self.layers(maps), self.size)


class ComponentsNetwork(nn.Module):
    """A picture as a sum of components: corrections of the linear reconstruction's weights and components.

    All corrections start at nothing, so that training begins at the linear reconstruction.

    Args:
        config: Size, hidden layers, dropout.
        numbers: D.
        rank: r.
    """

    def __init__(self, config: DecoderConfig, numbers: int, rank: int) -> None:
        super().__init__()
        hidden, dropout = config.hidden, config.dropout
        self.rate = config.components_rate
        self.first = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(numbers, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.second = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.correction = _silent(nn.Linear(hidden, rank))
        height, width = config.image_size
        # What is learnt is multiplied by the rate: components are small numbers, and learn more slowly.
        self.change = nn.Parameter(torch.zeros(rank, 3 * height * width)) if self.rate else None
        self.detail = Detail(config) if config.detail else None
        self.kept: Tensor | None = None

    def components(self, linear: LinearPictures) -> Tensor:
        """Components as training has changed them, [r, P]."""
        return linear.axes if self.change is None else linear.axes + self.rate * self.change

    def keep(self, linear: LinearPictures) -> None:
        """Work out the components once, for a network that is not trained any more."""
        self.kept = self.components(linear).detach()

    def forward(self, numbers: Tensor, weights: Tensor, linear: LinearPictures) -> Tensor:
        """[B, D], and the linear reconstruction's weights [B, r] → [B, 3, H, W]."""
        hidden = self.first(numbers)
        hidden = hidden + self.second(hidden)
        axes = self.components(linear) if self.kept is None else self.kept
        pictures = linear.pictures(weights + linear.spread * self.correction(hidden), axes)
        return pictures if self.detail is None else pictures + self.detail(hidden, pictures)


class Detail(nn.Module):
    """A correction of each place's neighbourhood by convolutions at half size.

    Args:
        config: Size, hidden layers and channels.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.size, channels = config.image_size, config.detail
        self.start = tuple(math.ceil(side / 8) for side in self.size)
        self.places = nn.Linear(config.hidden, channels * self.start[0] * self.start[1])
        self.maps = nn.Sequential(
            nn.Conv2d(12 + channels, channels, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.ReLU(),
            _silent(nn.Conv2d(channels, 12, 3, 1, 1)),
        )

    def forward(self, hidden: Tensor, pictures: Tensor) -> Tensor:
        """What is known [B, hidden] and pictures [B, 3, H, W] → what is added to these."""
        height, width = self.size
        even = nnf.pad(pictures, (0, width % 2, 0, height % 2), mode="replicate")
        halves = nnf.pixel_unshuffle(even, 2)
        places = nnf.relu(self.places(hidden)).reshape(len(hidden), -1, *self.start)
        places = nnf.interpolate(places, halves.shape[2:], mode="bilinear", align_corners=False)
        detail = nnf.pixel_shuffle(self.maps(torch.cat((halves, places), dim=1)), 2)
        return detail[:, :, :height, :width]


def _silent(layer: Layer) -> Layer:
    """A layer that makes zeros of everything until it is trained."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


def _cut(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of pictures that came out too large."""
    top, left = ((found - wanted) // 2 for found, wanted in zip(pictures.shape[2:], size, strict=True))
    return pictures[:, :, top : top + size[0], left : left + size[1]]


def shown(pictures: Tensor, *, rescale: bool) -> Tensor:
    """Pictures [B, 3, H, W] as they are shown: stretched from least to greatest value, or cut off.

    Source: paper 000, equation 2; ε keeps a picture of one value from a division by zero.
    """
    if not rescale:
        return pictures.clamp(0, 1)
    low, high = pictures.amin((1, 2, 3), keepdim=True), pictures.amax((1, 2, 3), keepdim=True)
    return (pictures - low) / (high - low + _EPSILON)
