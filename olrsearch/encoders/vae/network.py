"""The networks of variational encoders: what is seen of an image, and the parts an objective trains.

Notation: B images in a batch, L labels, d dimensions, n numbers that are seen of an image, D numbers of
a label's input vector, H × W pixels.

Source: paper 003, appendix A.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from olrsearch.encoders.trunks.trunk import Normalise, Trunk, make_trunk
from olrsearch.encoders.vae.gaussians import HIGH, LOW, Diagonal, of_numbers

if TYPE_CHECKING:
    from olrsearch.encoders.vae.config import VaeConfig

Part = Literal["joint", "classifier", "label_decoder", "conditional"]
"""What an objective may need beside an image encoder, a label encoder and a decoder: an encoder of image
and label at once, a classifier of reconstructions, a decoder of labels, a decoder that is told the label."""

_LARGEST = 255.0


class Pixels(nn.Module):
    """What is seen of an image: its pixels, from 0 to 1, in grey or in three colours.

    Args:
        grey: Whether the mean of the three colours is taken.
    """

    def __init__(self, *, grey: bool) -> None:
        super().__init__()
        self.grey = grey

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, H·W] or [B, 3·H·W]."""
        scaled = pixels.to(torch.float32) / _LARGEST
        return (scaled.mean(dim=(1,)) if self.grey else scaled).flatten(1)


class Features(nn.Module):
    """What is seen of an image: the averaged features of a trunk that stays as it is, standardised.

    Args:
        backbone: Of the trunk, see `make_trunk`.
        width: Of its first stage.
    """

    def __init__(self, backbone: str, width: int) -> None:
        super().__init__()
        self.normalise = Normalise(torch.zeros(3), torch.ones(3))
        self.trunk: Trunk = make_trunk(backbone, width)
        self.scale = Scale(self.trunk.channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, C]."""
        return self.pooled(self.trunk(self.normalise(pixels)))

    def pooled(self, maps: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → float32 [B, C]."""
        found: Tensor = self.scale(maps.mean(dim=(2, 3)))
        return found


class Scale(nn.Module):
    """Numbers to zero mean and unit variance, by what was found of the training images.

    Args:
        count: C.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))

    def forward(self, numbers: Tensor) -> Tensor:
        """[B, C] → [B, C]."""
        return (numbers - self.mean) / self.std


def layers(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


class VaeNetwork(nn.Module):
    """Encoders, decoder and what else an objective needs: what is trained, averaged and stored.

    Args:
        config: Size, hidden units, grey, trunk.
        inputs: float32 [L, D], the labels' input vectors.
        parts: What the objective needs beside the image encoder, the label encoder and the decoder.

    Attributes:
        seen: Pixels [B, 3, H, W] → what is seen of them, [B, n].
        image: [B, n] → the numbers of a Gaussian, [B, 2d].
        label: Label vectors [B, D] → the same.
        decoder: Points [B, d] → logits of pixels, or standardised features, [B, n].
        joint: [B, n + D] → the numbers of a Gaussian; None where it is not needed.
        classifier: Reconstructions [B, n] → logits of labels [B, L]; None where it is not needed.
        label_decoder: Points [B, d] → logits of labels; None where it is not needed.
        bernoulli: Whether what is seen are pixels, with the likelihood of Bernoulli, rather than features
            with the likelihood of N(·, I).
    """

    inputs: Tensor

    def __init__(self, config: VaeConfig, inputs: Tensor, parts: frozenset[Part]) -> None:
        super().__init__()
        self.bernoulli = not config.start_from
        self.seen: Pixels | Features
        if self.bernoulli:
            self.seen = Pixels(grey=config.grey)
            height, width = config.image_size
            count = height * width * (1 if config.grey else 3)
        else:
            self.seen = Features(config.backbone, config.width)
            count = self.seen.trunk.channels
        self.register_buffer("inputs", inputs.clone())
        first, second = config.hidden
        labels, vector = inputs.shape
        size = config.size
        told = vector if "conditional" in parts else 0
        self.image = layers(count + told, first, second, 2 * size)
        self.label = nn.Linear(vector, 2 * size)
        self.decoder = layers(size + told, second, first, count)
        self.joint = layers(count + vector, first, second, 2 * size) if "joint" in parts else None
        self.classifier = layers(count, first, second, labels) if "classifier" in parts else None
        self.label_decoder = nn.Linear(size, labels) if "label_decoder" in parts else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → the numbers of their Gaussians, float32 [B, 2d]."""
        numbers: Tensor = self.image(self.seen(pixels))
        return numbers

    def of_images(self, seen: Tensor) -> Diagonal:
        """The Gaussians of what is seen of images, [B, n]."""
        return of_numbers(self.image(seen))

    def vectors(self, labels: Tensor) -> Tensor:
        """The input vectors of sets of labels: the sum of those that are present, float32 [B, D].

        Args:
            labels: int8 [B, L]; the labels of an image are those that are +1.
        """
        return (labels > 0).to(self.inputs.dtype) @ self.inputs

    def of_labels(self, vectors: Tensor) -> Diagonal:
        """The Gaussians of input vectors, [B, D]."""
        return of_numbers(self.label(vectors), LOW, HIGH)

    def of_both(self, seen: Tensor, vectors: Tensor) -> Diagonal:
        """The Gaussians of images and their labels at once."""
        if self.joint is None:
            raise TypeError("this network has no joint encoder")
        return of_numbers(self.joint(torch.cat([seen, vectors], dim=1)))


class ImageEncoder(nn.Module):
    """What encoding needs of a network: pixels to the numbers of a Gaussian.

    Args:
        network: Its parts are shared, not copied.
    """

    def __init__(self, network: VaeNetwork) -> None:
        super().__init__()
        self.seen, self.image = network.seen, network.image

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, 2d]."""
        numbers: Tensor = self.image(self.seen(pixels))
        return numbers


class FeatureEncoder(nn.Module):
    """The same where a trunk sees: its maps can be looked at on the way, see `observed.Observable`.

    Args:
        network: Its parts are shared, not copied.
    """

    def __init__(self, network: VaeNetwork) -> None:
        super().__init__()
        if not isinstance(network.seen, Features):
            raise TypeError("this network sees pixels")
        self.seen, self.image = network.seen, network.image
        self.normalise, self.trunk = network.seen.normalise, network.seen.trunk

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W], 0–255 → float32 [B, 2d]."""
        return self.answer(self.trunk(self.normalise(pixels)))

    def answer(self, maps: Tensor) -> Tensor:
        """The trunk's features [B, C, h, w] → float32 [B, 2d]."""
        numbers: Tensor = self.image(self.seen.pooled(maps))
        return numbers
