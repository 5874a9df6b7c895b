"""The networks that all six auto-encoders share: pixels to a point, a point to pixels, and critics.

Notation: B images in a batch, d dimensions, C channels, H × W pixels.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from olrsearch.encoders.trunks.decoder import Decoder, PlainDecoder
from olrsearch.encoders.trunks.trunk import Normalise
from olrsearch.maths.gaussian import SIGMA0

if TYPE_CHECKING:
    from olrsearch.encoders.atnl.config import AutoEncoderConfig

_LEAST_SIDE = 4
"""Height and width of the last feature maps are at least this."""

_MOST = 8
"""How many times the first layer's channels later ones have at most."""

_SEEN = 3
_TINY = 1e-8
_GAIN = 4.0


class PlainTrunk(nn.Module):
    """Strided convolutions: [B, 3, H, W] → [B, channels, h, w], halved by each, rounded up.

    Args:
        width: Channels of the first layer; each later one has twice as many, up to eight times.
        image_size: (H, W).

    Attributes:
        channels: C of the last maps.
        side: (h, w) of them.
        seen: The channels of the maps on the way that `maps` gives.
    """

    def __init__(self, width: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        halvings = max(1, int(math.log2(min(image_size) / _LEAST_SIDE)))
        widths = [width * min(_MOST, 2**step) for step in range(halvings)]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
            for inputs, outputs in itertools.pairwise([3, *widths])
        )
        self.channels = widths[-1]
        self.side = tuple(math.ceil(side / 2**halvings) for side in image_size)
        self.seen = sum(widths[-_SEEN:])

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, channels, h, w]."""
        return self.maps(x)[-1]

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] → the maps that the last stages end with, at most three, and those of `forward`."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return (*found[-_SEEN:], x)


class PointNetwork(nn.Module):
    """Pixels to the numbers of a point: trunk, a hidden layer, linear.

    Args:
        config: Width, hidden and image size.
        numbers: d; 2d for means and log-variances.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: AutoEncoderConfig, numbers: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.trunk = PlainTrunk(config.width, config.image_size)
        height, width = self.trunk.side
        self.head = nn.Sequential(
            nn.Linear(self.trunk.channels * height * width, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, numbers),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, numbers]."""
        return self.answer(self.trunk(self.normalise(pixels)))

    def answer(self, maps: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → float32 [B, numbers]."""
        numbers: Tensor = self.head(maps.flatten(1))
        return numbers


class AutoEncoder(nn.Module):
    """Encoder and decoder, and a critic while training: what is trained and averaged.

    Args:
        config: Of one of the six kinds.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
        critic: What plays against the encoder; not stored.
    """

    def __init__(
        self, config: AutoEncoderConfig, mean: Tensor, std: Tensor, critic: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.size = config.size
        self.encoder = PointNetwork(config, config.size * (2 if config.spread else 1), mean, std)
        colours = 1 if config.grey else 3
        self.decoder: Decoder | PlainDecoder = (
            Decoder(config.size, config.decoder_width, config.image_size, colours)
            if config.decoder_width
            else PlainDecoder(config.size, 2 * config.hidden, config.image_size, colours)
        )
        if config.on_sphere:  # numbers of a unit vector are small: a decoder begins as if they were of size 1
            with torch.no_grad():
                self.decoder.linear.weight.mul_(_GAIN * math.sqrt(config.size))
        self.critic = critic

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, d] or [B, 2d]."""
        numbers: Tensor = self.encoder(pixels)
        return numbers


def on_sphere(points: Tensor) -> Tensor:
    """Points at length 1, [B, d]. Source: paper 002, figure 2 (normalised features)."""
    lengths: Tensor = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    return points / lengths.clamp(min=_TINY)


def split_spread(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """A network's output as means and variances, [B, d] each: σ² = exp(clamped ln σ²) + σ₀².

    Args:
        numbers: float [B, 2d].
    """
    mean, log_variance = numbers.float().chunk(2, dim=1)
    return mean, torch.exp(log_variance.clamp(-10.0, 10.0)) + SIGMA0**2


class PointCritic(nn.Module):
    """Points to one logit: from the prior, or encoded. Source: Makhzani et al. (2016), section 2."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, 1),
        )

    def forward(self, points: Tensor) -> Tensor:
        """[B, d] → [B]."""
        logits: Tensor = self.layers(points)[:, 0]
        return logits


class MixtureCritic(nn.Module):
    """Images to one number: how much of another point is mixed in.

    As theirs it is built as the encoder is, and its answer is a mean of the last layer.
    Source: Berthelot et al. (2019), section 3.

    Args:
        config: Width and image size.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: AutoEncoderConfig, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = PointNetwork(config, config.size, mean, std)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → [B]."""
        answered: Tensor = self.network(pixels).mean(dim=1)
        return answered
