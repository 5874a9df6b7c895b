"""The decoder of label embeddings, as it lies beside a model: embeddings in, pictures out.

The pictures are made, not found: nobody took them.

Notation: L labels, k numbers a label, D = L · k, m embeddings, H × W pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from olrsearch.core.errors import IncompatibleEncoderError, ModelFileError
from olrsearch.encoders.folder.model_config import DECODER_NAME
from olrsearch.encoders.olr.decoder_file import read_decoder
from olrsearch.encoders.olr.decoder_network import ComponentsNetwork, DecoderNetwork, shown
from olrsearch.encoders.trunks.trunk import channels_last

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.olr.decoder_file import DecoderFile


class LabelDecoder:
    """Pictures of label embeddings.

    Attributes:
        labels: The encoder's L labels.
        k: Numbers a label.
        size: (H, W) of the pictures.
        crop: Which part of images they show: `none` or `center`.
        images: How many images it was trained on.
        metrics: Figures on the images that chose its weights.

    Source: paper 000, section 4.4.
    """

    def __init__(self, found: DecoderFile) -> None:
        config = found.config
        self.labels, self.k = config.labels, config.k
        self.size, self.crop = config.image_size, config.crop
        self.images, self.metrics = found.images, found.metrics
        self._rescale = config.rescale
        network = DecoderNetwork(config, len(self.labels) * self.k, len(found.tensors["linear.axes"]))
        network.load_state_dict(
            {name: torch.tensor(array.astype(np.float32)) for name, array in found.tensors.items()}
        )
        self._network = channels_last(network).eval().requires_grad_(requires_grad=False)
        if isinstance(network.network, ComponentsNetwork):
            network.network.keep(network.linear)

    def decode(self, embeddings: F32) -> U8:
        """Pictures of embeddings, uint8 [m, H, W, 3].

        Each is computed by itself, so that none depends on what else is decoded.

        Args:
            embeddings: float32 [m, L, k]; images' own, or changed ones.

        Raises:
            IncompatibleEncoderError: embeddings of another shape or type, or that hold NaN or infinity.
        """
        return self._pictures(embeddings, self._network, rescale=self._rescale)

    def linear(self, embeddings: F32) -> U8:
        """Linear reconstructions, by ridge regression to pixels: float32 [m, L, k] → uint8 [m, H, W, 3].

        Raises:
            IncompatibleEncoderError: as `decode`.
        """
        return self._pictures(embeddings, self._network.linear, rescale=False)

    def _pictures(self, embeddings: F32, made_by: Callable[[Tensor], Tensor], *, rescale: bool) -> U8:
        numbers = self._checked(embeddings)
        out = np.empty((len(numbers), *self.size, 3), np.uint8)
        with torch.inference_mode():
            for row, one in enumerate(numbers):
                picture = shown(made_by(torch.from_numpy(one[None])), rescale=rescale)[0]
                out[row] = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return out

    def _checked(self, embeddings: F32) -> F32:
        found = np.asarray(embeddings)
        if found.dtype != np.float32 or found.shape[1:] != (len(self.labels), self.k):
            raise IncompatibleEncoderError(
                f"the decoder takes embeddings float32 [m, {len(self.labels)}, {self.k}], not {found.dtype} "
                f"{list(found.shape)}: give those of its own encoder"
            )
        if not np.isfinite(found).all():
            raise IncompatibleEncoderError(
                "an embedding to decode holds NaN or infinity: give finite numbers"
            )
        return np.ascontiguousarray(found.reshape(len(found), len(self.labels) * self.k))


def open_decoder(folder: Path) -> LabelDecoder | None:
    """The decoder beside a model; None where none has been trained.

    Args:
        folder: The model folder.

    Raises:
        ModelFileError: its files are damaged, or of another encoder.
    """
    found = read_decoder(Path(folder))
    if found is None:
        return None
    try:
        return LabelDecoder(found)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(
            f"{Path(folder) / DECODER_NAME} is no decoder of this version: {reason}; train it again with "
            "olrsearch train decoder"
        ) from None
