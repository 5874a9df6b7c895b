"""A trained OLR encoder: model folder in, label embeddings out.

Notation: L labels, B images in a batch, k numbers a label.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from olrsearch.encoders.engines.torch_encoder import NETWORK, TorchEncoder, of_settings, to_settings
from olrsearch.encoders.folder.model_files import save_model
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.network import OlrNetwork
from olrsearch.maths.readout import Readout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, U8

_SHAPE_KEYS = ("backbone", "width", "head", "label_kernel")


class OlrEncoder(TorchEncoder):
    """See `LabelEncoder`, and `TorchEncoder` for how one is opened.

    Attributes:
        readout: From label embeddings to raw logits.
    """

    kind: ClassVar[str] = "olr"
    title: ClassVar[str] = "OLR"

    readout: Readout

    def _build(self, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> OlrNetwork:
        # Models from before there was a choice lack its key.
        known = tuple(key for key in (*_SHAPE_KEYS, "k") if key in config)
        shape = of_settings(OlrConfig, config, known)
        network = OlrNetwork(shape, torch.zeros(3), torch.ones(3))
        network.load_state_dict({_state_name(name): torch.tensor(array) for name, array in tensors.items()})
        self.readout = Readout(weight=tensors["readout.weight"], bias=tensors["readout.bias"])
        return network

    @property
    def numbers(self) -> int:
        """L · k."""
        return len(self.labels) * self.k

    def encode(self, pixels: U8) -> F32:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [L, B, k]."""
        return self.encode_with_fit(pixels)[0]

    def encode_with_fit(self, pixels: U8) -> tuple[F32, F32 | None]:
        """See `MeasuringEncoder.encode_with_fit`."""
        out = np.empty((len(self.labels), len(pixels), self.k), np.float32)
        seen = self._run(pixels, out.transpose(1, 0, 2))
        return out, self._fits(seen)


def save(root: Path, config: OlrConfig, network: OlrNetwork) -> Path:
    """Write a network as a model folder `root/<fingerprint>/`.

    Args:
        root: The folder that holds models.
        config: What it was trained with; recorded, and its shape needed to open it.
        network: The network with its readout; not changed.

    Returns:
        The folder.
    """
    arrays = {
        _tensor_name(name): value.detach().cpu().numpy() for name, value in network.state_dict().items()
    }
    return save_model(root, to_settings(config, config.k, _SHAPE_KEYS), arrays)


def _tensor_name(state_name: str) -> str:
    """`readout.*` keep their names, which every encoder shares; the rest is the network's."""
    return state_name if state_name.startswith("readout.") else NETWORK + state_name


def _state_name(tensor_name: str) -> str:
    """Models from before there was a choice of heads call the maps of the only one `label_layer`."""
    return re.sub(r"^label_layer\.", "head.maps.", tensor_name.removeprefix(NETWORK))
