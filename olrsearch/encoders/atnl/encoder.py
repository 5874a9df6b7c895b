"""A trained auto-encoder: model folder in, points or Gaussians out, points decoded.

Notation: B images in a batch, d dimensions, T = d(d+1)/2, m points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import torch

from olrsearch.encoders.atnl.config import (
    AaeConfig,
    AcaiConfig,
    AeConfig,
    AtnlConfig,
    AutoEncoderConfig,
    VaeConfig,
    VaeTlConfig,
)
from olrsearch.encoders.atnl.network import AutoEncoder, PointNetwork, on_sphere, split_spread
from olrsearch.encoders.engines.torch_encoder import NETWORK, TorchEncoder, of_settings, state_of, to_settings
from olrsearch.encoders.folder.model_files import save_model
from olrsearch.encoders.protocol import Posteriors
from olrsearch.encoders.trunks.decoder import decoded
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.gaussian import SIGMA0
from olrsearch.maths.triangles import pack_diagonal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.trunks.decoder import Decoder, PlainDecoder

_SHAPE_KEYS: Final = ("size", "width", "hidden", "decoder_width", "grey")
_CRITIC: Final = "critic."

SPHERE: Final = "sphere"
"""The key of a model's configuration that says whether its points lie on the unit sphere."""

_SHRINKAGE: Final = 0.01
"""λ of priors of words without a Gaussian of their own, which these encoders do not have."""


class AutoEncoderModel(TorchEncoder):
    """See `PosteriorEncoder`, and `TorchEncoder` for how one is opened.

    A point is given the smallest covariance, σ₀² I: then divergences rank by squared distance, and on the
    sphere by angle.

    Attributes:
        vocabulary: Its words, with the Gaussians of images that show them.
        has_decoder: True.
    """

    configured: ClassVar[type[AutoEncoderConfig]]
    has_decoder: ClassVar[bool] = True

    vocabulary: Vocabulary
    _decoder: Decoder | PlainDecoder

    def _build(self, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> PointNetwork:
        self.vocabulary = Vocabulary.from_model(config["words"], config["labels"], tensors)
        network = AutoEncoder(
            of_settings(self.configured, config, _SHAPE_KEYS), torch.zeros(3), torch.ones(3)
        )
        network.load_state_dict(state_of(tensors, NETWORK))
        self._decoder = self._prepared(network.decoder)
        return network.encoder

    @property
    def numbers(self) -> int:
        """d; with a spread 2d."""
        return self.k * (2 if self.configured.spread else 1)

    def encode(self, pixels: U8) -> Posteriors:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [B, d] and [B, T]."""
        return self.encode_with_fit(pixels)[0]

    def encode_with_fit(self, pixels: U8) -> tuple[Posteriors, F32 | None]:
        """See `MeasuringEncoder.encode_with_fit`."""
        numbers = np.empty((len(pixels), self.numbers), np.float32)
        seen = self._run(pixels, numbers)
        return to_posteriors(self.configured, numbers), self._fits(seen)

    def decode(self, points: F32) -> U8:
        """See `PosteriorEncoder.decode`: expected images, float32 [m, d] → uint8 [m, H, W, 3]."""
        return decoded(self._decoder, points, self.k, self.device)


class AtnlEncoder(AutoEncoderModel):
    """ATNL: points of the unit sphere."""

    kind: ClassVar[str] = "atnl"
    title: ClassVar[str] = "ATNL"
    configured = AtnlConfig


class AeEncoder(AutoEncoderModel):
    """A plain auto-encoder."""

    kind: ClassVar[str] = "ae"
    title: ClassVar[str] = "AE"
    configured = AeConfig


class VaeEncoder(AutoEncoderModel):
    """A variational auto-encoder."""

    kind: ClassVar[str] = "vae"
    title: ClassVar[str] = "VAE"
    configured = VaeConfig


class AaeEncoder(AutoEncoderModel):
    """An adversarial auto-encoder."""

    kind: ClassVar[str] = "aae"
    title: ClassVar[str] = "AAE"
    configured = AaeConfig


class AcaiEncoder(AutoEncoderModel):
    """An adversarially constrained auto-encoder."""

    kind: ClassVar[str] = "acai"
    title: ClassVar[str] = "ACAI"
    configured = AcaiConfig


class VaeTlEncoder(AutoEncoderModel):
    """A variational auto-encoder with a triplet loss."""

    kind: ClassVar[str] = "vae-tl"
    title: ClassVar[str] = "VAE-TL"
    configured = VaeTlConfig


def to_posteriors(configured: type[AutoEncoderConfig], numbers: F32) -> Posteriors:
    """A network's output as Gaussians: means float32 [B, d] and packed factors float32 [B, T].

    Args:
        configured: The kind's configuration, which says what the numbers are.
        numbers: float32 [B, d], or [B, 2d] with a spread.
    """
    given = torch.from_numpy(numbers)
    if configured.spread:
        mean, variance = (part.numpy() for part in split_spread(given))
        deviation = np.sqrt(variance)
    else:
        mean = (on_sphere(given) if configured.on_sphere else given).numpy()
        deviation = np.full_like(mean, SIGMA0)
    return Posteriors(mean, pack_diagonal(deviation))


def save(root: Path, config: AutoEncoderConfig, network: AutoEncoder, vocabulary: Vocabulary) -> Path:
    """Write a network as a model folder `root/<fingerprint>/`; its critic stays behind.

    Args:
        root: The folder that holds models.
        config: What it was trained with; recorded, and its shape needed to open it.
        network: The network; not changed.
        vocabulary: Its words.

    Returns:
        The folder.
    """
    state = {name: value for name, value in network.state_dict().items() if not name.startswith(_CRITIC)}
    arrays = {NETWORK + name: value.detach().cpu().numpy() for name, value in state.items()}
    return save_model(
        root,
        {
            **to_settings(config, config.size, _SHAPE_KEYS),
            "layout": "posterior",
            SPHERE: config.on_sphere,
            "shrinkage": _SHRINKAGE,
            "words": vocabulary.to_config(),
        },
        {**arrays, **vocabulary.to_tensors()},
    )
