"""Trained variational encoders: model folder in, posteriors out, points decoded.

Notation: B images in a batch, d dimensions, T = d(d+1)/2, m points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from olrsearch.core.errors import EncoderError
from olrsearch.encoders.engines.torch_encoder import NETWORK, TorchEncoder, of_settings, state_of, to_settings
from olrsearch.encoders.folder.model_files import save_model
from olrsearch.encoders.protocol import Posteriors
from olrsearch.encoders.trunks.decoder import decoded
from olrsearch.encoders.vae.config import (
    JmvaeConfig,
    PseConfig,
    PseStarConfig,
    ScanConfig,
    TrelboConfig,
    VaeConfig,
)
from olrsearch.encoders.vae.gaussians import of_numbers
from olrsearch.encoders.vae.network import FeatureEncoder, ImageEncoder, VaeNetwork
from olrsearch.encoders.vae.objectives import OBJECTIVES
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.triangles import pack_diagonal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from olrsearch.core.arrays import F32, U8

_SHAPE_KEYS = ("size", "hidden", "grey", "backbone", "width", "start_from")


class PixelDecoder(nn.Module):
    """A point to an image by a network's decoder.

    Args:
        network: Its decoder is shared, not copied.
        image_size: (H, W).

    Attributes:
        height: H of decoded images.
        width: W of them.
    """

    def __init__(self, network: VaeNetwork, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = image_size
        self.layers = network.decoder

    def forward(self, points: Tensor) -> Tensor:
        """[B, d] → logits float32 [B, 1 or 3, H, W]."""
        logits: Tensor = self.layers(points)
        return logits.reshape(len(points), -1, self.height, self.width).float()


class VaeEncoder(TorchEncoder):
    """See `PosteriorEncoder`, and `TorchEncoder` for how one is opened.

    Attributes:
        vocabulary: Its words, with the Gaussians that it learned for them.
        has_decoder: Whether points are decoded to images: not where a trunk's features are seen.
    """

    of_kind: ClassVar[type[VaeConfig]]

    vocabulary: Vocabulary
    has_decoder: bool
    _decoder: PixelDecoder | None

    def _build(self, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> nn.Module:
        self.vocabulary = Vocabulary.from_model(config["words"], config["labels"], tensors)
        network = open_network(self.of_kind, config, tensors)
        self.has_decoder = network.bernoulli
        self._decoder = self._prepared(PixelDecoder(network, self.input_size)) if network.bernoulli else None
        return ImageEncoder(network) if network.bernoulli else FeatureEncoder(network)

    @property
    def numbers(self) -> int:
        """Those of means and logarithms of variances: 2d."""
        return 2 * self.k

    def encode(self, pixels: U8) -> Posteriors:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [B, d] and [B, T]."""
        return self.encode_with_fit(pixels)[0]

    def encode_with_fit(self, pixels: U8) -> tuple[Posteriors, F32 | None]:
        """See `MeasuringEncoder.encode_with_fit`."""
        numbers = np.empty((len(pixels), self.numbers), np.float32)
        seen = self._run(pixels, numbers)
        found = of_numbers(torch.from_numpy(numbers))
        factor = pack_diagonal(found.variance.sqrt().numpy())
        return Posteriors(found.mean.numpy(), factor), self._fits(seen)

    def decode(self, points: F32) -> U8:
        """See `PosteriorEncoder.decode`: expected images, float32 [m, d] → uint8 [m, H, W, 3]."""
        if self._decoder is None:
            raise EncoderError(
                "this encoder has no decoder of pictures, since it sees the features of a trunk: train one "
                "without start_from to see pictures"
            )
        return decoded(self._decoder, points, self.k, self.device)


class PseEncoder(VaeEncoder):
    """PSE."""

    kind: ClassVar[str] = "pse"
    title: ClassVar[str] = "PSE"
    of_kind: ClassVar[type[VaeConfig]] = PseConfig


class PseStarEncoder(VaeEncoder):
    """PSE*."""

    kind: ClassVar[str] = "pse-star"
    title: ClassVar[str] = "PSE*"
    of_kind: ClassVar[type[VaeConfig]] = PseStarConfig


class JmvaeEncoder(VaeEncoder):
    """JMVAE."""

    kind: ClassVar[str] = "jmvae"
    title: ClassVar[str] = "JMVAE"
    of_kind: ClassVar[type[VaeConfig]] = JmvaeConfig


class TrelboEncoder(VaeEncoder):
    """TrELBO."""

    kind: ClassVar[str] = "trelbo"
    title: ClassVar[str] = "TrELBO"
    of_kind: ClassVar[type[VaeConfig]] = TrelboConfig


class ScanEncoder(VaeEncoder):
    """SCAN."""

    kind: ClassVar[str] = "scan"
    title: ClassVar[str] = "SCAN"
    of_kind: ClassVar[type[VaeConfig]] = ScanConfig


def open_network(
    of_kind: type[VaeConfig], config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> VaeNetwork:
    """The whole network of a model folder: both encoders, the decoder and what else its objective needs.

    Args:
        of_kind: The class of its configuration.
        config: As `read_config` returns it.
        tensors: As `read_tensors` returns them.

    Raises:
        KeyError, TypeError, RuntimeError, TrainingError: it is none, or of another shape.
    """
    shape = of_settings(of_kind, config, _SHAPE_KEYS)
    inputs = torch.tensor(tensors[f"{NETWORK}inputs"])
    network = VaeNetwork(shape, inputs, OBJECTIVES[of_kind.kind].parts)
    network.load_state_dict(state_of(tensors, NETWORK))
    return network


def save(root: Path, config: VaeConfig, network: VaeNetwork, vocabulary: Vocabulary) -> Path:
    """Write a network as a model folder `root/<fingerprint>/`.

    Args:
        root: The folder that holds models.
        config: What it was trained with; recorded, and its shape needed to open it.
        network: The network; not changed.
        vocabulary: Its words, with what it learned of them.

    Returns:
        The folder.
    """
    settings = to_settings(config, vocabulary.size, _SHAPE_KEYS)
    state = network.state_dict()
    arrays = {NETWORK + name: value.detach().cpu().numpy() for name, value in state.items()}
    return save_model(
        root,
        {**settings, "layout": "posterior", "words": vocabulary.to_config()},
        {**arrays, **vocabulary.to_tensors()},
    )
