"""A trained informed-prior encoder: model folder in, posteriors out, points decoded.

Notation: B images in a batch, d dimensions, T = d(d+1)/2, m points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from olrsearch.core.errors import EncoderError
from olrsearch.encoders.engines.torch_encoder import NETWORK, TorchEncoder, of_settings, state_of, to_settings
from olrsearch.encoders.folder.model_files import save_model
from olrsearch.encoders.informed_prior.config import InformedPriorConfig
from olrsearch.encoders.informed_prior.network import InformedPriorNetwork, PosteriorNetwork, to_gaussian
from olrsearch.encoders.protocol import Posteriors
from olrsearch.encoders.trunks.decoder import decoded
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.triangles import pack, triangle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.trunks.decoder import Decoder

_SHAPE_KEYS = (
    "shrinkage", "backbone", "width", "pooling", "hidden", "decoder", "decoder_width", "decoder_size", "grey",
)  # fmt: skip


class InformedPriorEncoder(TorchEncoder):
    """See `PosteriorEncoder`, and `TorchEncoder` for how one is opened.

    Attributes:
        vocabulary: Its words' vectors, and the way for others.
        shrinkage: λ of the priors it was trained with.
        has_decoder: Whether it decodes.
    """

    kind: ClassVar[str] = "informed-prior"
    title: ClassVar[str] = "informed-prior"

    vocabulary: Vocabulary
    shrinkage: float
    has_decoder: bool
    _decoder: Decoder | None

    def _build(self, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> PosteriorNetwork:
        self.vocabulary = Vocabulary.from_model(config["words"], config["labels"], tensors)
        shape = of_settings(InformedPriorConfig, config, _SHAPE_KEYS)
        network = InformedPriorNetwork(shape, self.k, torch.zeros(3), torch.ones(3))
        network.load_state_dict(state_of(tensors, NETWORK))
        self.shrinkage = shape.shrinkage
        self._decoder = None if network.decoder is None else self._prepared(network.decoder)
        self.has_decoder = self._decoder is not None
        return network.encoder

    @property
    def numbers(self) -> int:
        """Those of a mean and a packed factor: d + T."""
        return self.k + triangle(self.k)

    def encode(self, pixels: U8) -> Posteriors:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [B, d] and [B, T]."""
        return self.encode_with_fit(pixels)[0]

    def encode_with_fit(self, pixels: U8) -> tuple[Posteriors, F32 | None]:
        """See `MeasuringEncoder.encode_with_fit`."""
        numbers = np.empty((len(pixels), self.numbers), np.float32)
        seen = self._run(pixels, numbers)
        mean, factor = to_gaussian(torch.from_numpy(numbers), self.k)
        return Posteriors(mean.numpy(), pack(factor.numpy())), self._fits(seen)

    def decode(self, points: F32) -> U8:
        """See `PosteriorEncoder.decode`: expected images, float32 [m, d] → uint8 [m, H, W, 3]."""
        if self._decoder is None:
            raise EncoderError(
                "this encoder has no decoder: train one with --set decoder=true to see pictures"
            )
        return decoded(self._decoder, points, self.k, self.device)


def save(
    root: Path, config: InformedPriorConfig, network: InformedPriorNetwork, vocabulary: Vocabulary
) -> Path:
    """Write a network as a model folder `root/<fingerprint>/`.

    Args:
        root: The folder that holds models.
        config: What it was trained with; recorded, and its shape needed to open it.
        network: The network; not changed.
        vocabulary: Its words.

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
