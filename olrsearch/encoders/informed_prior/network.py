"""The networks of the informed-prior encoder: pixels to a Gaussian, and a point to pixels.

Notation: B images in a batch, d dimensions, T = d(d+1)/2, C channels, h × w feature maps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from olrsearch.encoders.trunks.decoder import Decoder
from olrsearch.encoders.trunks.trunk import Normalise, make_trunk, map_size
from olrsearch.maths.gaussian import SIGMA0
from olrsearch.maths.triangles import triangle

if TYPE_CHECKING:
    from olrsearch.encoders.informed_prior.config import InformedPriorConfig

_INITIAL_DEVIATION = 0.3


class PosteriorNetwork(nn.Module):
    """Pixels to the numbers of a Gaussian: trunk, pooling, a hidden layer, linear.

    Args:
        config: Backbone, width, pooling, hidden and image size.
        size: d.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: InformedPriorConfig, size: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.size = size
        self.normalise = Normalise(mean, std)
        self.trunk = make_trunk(config.backbone, config.width)
        self.average = config.pooling == "average"
        height, width = (1, 1) if self.average else map_size(self.trunk, config.image_size)
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(self.trunk.channels * height * width, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, size + triangle(size)),
        )
        start_head(self.head[-1], size)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, d + T], see `to_gaussian`."""
        numbers: Tensor = self.head(self.features(pixels))
        return numbers

    def features(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] → pooled features [B, C] or [B, C·h·w]."""
        return self.pooled(self.trunk(self.normalise(pixels)))

    def pooled(self, maps: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → [B, C] or [B, C·h·w]."""
        return maps.mean(dim=(2, 3)) if self.average else maps.flatten(1)

    def answer(self, maps: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → float32 [B, d + T], see `to_gaussian`."""
        numbers: Tensor = self.head(self.pooled(maps))
        return numbers


def start_head(layer: nn.Module, size: int) -> None:
    """Start at N(0, 0.3² I), whatever the image: priors are narrower than N(0, I)."""
    if not isinstance(layer, nn.Linear):
        raise TypeError("the last layer of a head is linear")
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
        rows, columns = torch.tril_indices(size, size)
        start = math.log(math.expm1(_INITIAL_DEVIATION))
        layer.bias[size:][rows == columns] = start


def split_numbers(numbers: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A network's output as means μ and triangles L; the covariance is L Lᵀ + σ₀² I.

    The first d numbers are μ; the others fill the lower triangle of L row by row, its diagonal
    through softplus.

    Args:
        numbers: float [B, d + T].
        size: d.

    Returns:
        float32 [B, d] and float32 [B, d, d].
    """
    numbers = numbers.float()
    rows, columns = torch.tril_indices(size, size, device=numbers.device)
    triangles = numbers[:, size:]
    triangles = torch.where(rows == columns, nnf.softplus(triangles), triangles)
    lower = numbers.new_zeros(len(numbers), size, size)
    lower[:, rows, columns] = triangles
    return numbers[:, :size], lower


def covariance(lower: Tensor) -> Tensor:
    """Σ = L Lᵀ + σ₀² I, [B, d, d], of triangles."""
    floor = SIGMA0**2 * torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
    return lower @ lower.mT + floor


def to_gaussian(numbers: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A network's output as means and Cholesky factors of Σ; see `split_numbers`.

    Args:
        numbers: float [B, d + T].
        size: d.

    Returns:
        float32 [B, d] and float32 [B, d, d].
    """
    mean, lower = split_numbers(numbers, size)
    # σ₀² is some digits below the largest variances: a sum for float64.
    return mean, torch.linalg.cholesky(covariance(lower.double())).float()


class InformedPriorNetwork(nn.Module):
    """Encoder and, where there is one, decoder: what is trained, averaged and stored.

    Args:
        config: See `PosteriorNetwork` and `Decoder`.
        size: d.
        mean: float32 [3], data mean of the pixels, 0–255.
        std: float32 [3], their standard deviation.
    """

    def __init__(self, config: InformedPriorConfig, size: int, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.encoder = PosteriorNetwork(config, size, mean, std)
        colours = 1 if config.grey else 3
        self.decoder = (
            Decoder(size, config.decoder_width, config.decoded_size, colours) if config.decoder else None
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, d + T]."""
        numbers: Tensor = self.encoder(pixels)
        return numbers
