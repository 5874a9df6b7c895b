"""A trained OLR encoder: model folder in, label embeddings out.

Notation: L labels, B images in a batch, k numbers a label.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from olrsearch.core.errors import ModelFileError, TrainingError
from olrsearch.encoders.engines.engine import Task, make_engine, run_all
from olrsearch.encoders.folder.model_files import read_config, read_tensors, save_model
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.network import OlrNetwork
from olrsearch.encoders.protocol import check_pixels
from olrsearch.encoders.trunks.trunk import channels_last
from olrsearch.maths.readout import Readout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, U8

_NETWORK = "network."
_SHAPE_KEYS = ("backbone", "width", "head", "label_kernel")
_EARLIER_NAMES = {"label_layer.": "head.maps."}
"""Models from before there was a choice of heads."""


class OlrEncoder:
    """See `LabelEncoder`; open one with `OlrEncoder.load`.

    Attributes:
        fingerprint: sha256 of configuration and weights.
        labels: The L label names.
        k: Numbers a label.
        input_size: (H, W), pixels.
        crop: 'none' or 'center'.
        readout: From label embeddings to raw logits.
        device: Where it computes: a GPU where there is one, unless told otherwise.
        engine: What computes, a name of `engines.ENGINES`.
    """

    kind: ClassVar[str] = "olr"

    def __init__(
        self,
        config: Mapping[str, Any],
        network: OlrNetwork,
        device: torch.device | str | None = None,
        *,
        engine: str | None = None,
        calibration: U8 | None = None,
    ) -> None:
        self.fingerprint = str(config["fingerprint"])
        self.labels: tuple[str, ...] = tuple(config["labels"])
        self.k = int(config["k"])
        self.input_size = (int(config["input_size"][0]), int(config["input_size"][1]))
        self.crop = str(config["crop"])
        self.readout = Readout(
            weight=network.readout.weight.detach().cpu().numpy().copy(),
            bias=network.readout.bias.detach().cpu().numpy().copy(),
        )
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(default if device is None else device)
        network = channels_last(network.to(self.device)).eval().requires_grad_(requires_grad=False)
        self._engine = make_engine(Task(network, self.device, self.input_size, calibration), engine)
        self.engine = self._engine.name

    @classmethod
    def load(
        cls,
        path: Path,
        device: torch.device | str | None = None,
        *,
        engine: str | None = None,
        calibration: U8 | None = None,
    ) -> OlrEncoder:
        """Open a model folder.

        Args:
            path: The folder with `config.json` and `weights.safetensors`.
            device: A torch device; a GPU where there is one when None.
            engine: What computes, a name of `engines.ENGINES`; see `engines.make_engine` when None.
            calibration: uint8 [n, H, W, 3], typical images; the engine `onnx-int8` needs them.

        Raises:
            ModelFileError: missing, damaged or unfitting files.
            EngineError: no engine has this name, or it cannot run the network here.
        """
        path = Path(path)
        config = read_config(path)
        tensors = read_tensors(path)
        try:
            # `training` holds what a run was configured with; the shape of the network is in the
            # model's own keys, checked by the same rules.
            network = OlrNetwork(_network_config(config), torch.zeros(3), torch.ones(3))
            network.load_state_dict(
                {_state_name(name): torch.tensor(array) for name, array in tensors.items()}
            )
        except (KeyError, TypeError, RuntimeError, TrainingError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(
                f"{path} is no OLR model of this version: {reason}; train or copy it again"
            ) from None
        return cls(config, network, device, engine=engine, calibration=calibration)

    def encode(self, pixels: U8) -> F32:
        """See `LabelEncoder.encode`: uint8 [B, H, W, 3] → float32 [L, B, k]."""
        check_pixels(pixels, self.input_size)
        out = np.empty((len(self.labels), len(pixels), self.k), np.float32)

        def keep(rows: slice, found: F32) -> None:
            out[:, rows] = found.transpose(1, 0, 2)

        run_all(self._engine, pixels, keep)
        return out


def load(path: Path) -> OlrEncoder:
    """The registry's entry: open a model folder of kind 'olr'."""
    return OlrEncoder.load(path)


def save(root: Path, config: OlrConfig, network: OlrNetwork) -> Path:
    """Write a network as a model folder `root/<fingerprint>/`.

    Args:
        root: The folder that holds models.
        config: What it was trained with; recorded, and its shape needed to open it.
        network: The network with its readout; not changed.

    Returns:
        The folder.
    """
    body = {
        "kind": OlrEncoder.kind,
        "labels": list(config.labels),
        "k": config.k,
        "input_size": list(config.image_size),
        "crop": config.crop,
        **{key: getattr(config, key) for key in _SHAPE_KEYS},
        "training": config.to_dict(),
    }
    state = network.state_dict()
    arrays = {_tensor_name(name): value.detach().cpu().numpy() for name, value in state.items()}
    return save_model(root, body, arrays)


def _network_config(config: Mapping[str, Any]) -> OlrConfig:
    """As much of a training configuration as decides the network's shape."""
    return OlrConfig.from_dict(
        {
            "labels": config["labels"],
            "k": config["k"],
            "image_size": config["input_size"],
            "crop": config["crop"],
            **{key: config[key] for key in _SHAPE_KEYS if key in config},
        }
    )


def _tensor_name(state_name: str) -> str:
    """`readout.*` keep their names, which every encoder shares; the rest is the network's."""
    return state_name if state_name.startswith("readout.") else _NETWORK + state_name


def _state_name(tensor_name: str) -> str:
    name = tensor_name.removeprefix(_NETWORK)
    for earlier, now in _EARLIER_NAMES.items():
        if name.startswith(earlier):
            return now + name.removeprefix(earlier)
    return name
