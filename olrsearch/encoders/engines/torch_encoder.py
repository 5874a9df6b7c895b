"""What encoders have in common whose network is one of torch: files, facts, device, engine.

Notation: H × W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch

from olrsearch.core.errors import ModelFileError, TrainingError, WordVectorsError
from olrsearch.encoders.engines.engine import Task, make_engine, run_all
from olrsearch.encoders.engines.observed import ObservedNetwork, features_of
from olrsearch.encoders.folder.fit_file import read_fit
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.folder.model_files import read_tensors
from olrsearch.encoders.protocol import check_pixels
from olrsearch.encoders.trainer.config import TrainerConfig
from olrsearch.encoders.trunks.trunk import channels_last

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from olrsearch.core.arrays import F32, U8

NETWORK = "network."
"""What the names of a network's tensors begin with in a model folder."""

C = TypeVar("C", bound=TrainerConfig)
N = TypeVar("N", bound="nn.Module")


class TorchEncoder(ABC):
    """An encoder of a model folder; see `Encoder` for what every one offers.

    Args:
        path: The folder with `config.json` and `weights.safetensors`.
        device: A torch device; a GPU where there is one when None.
        engine: What computes, a name of `engine.ENGINES`; see `engine.make_engine` when None.
        calibration: uint8 [n, H, W, 3], typical images; the engine `onnx-int8` needs them.

    Attributes:
        device: Where it computes.
        engine: What computes, a name of `engine.ENGINES`.
        training_fit: How well images fit its training; None where that is not known.

    Raises:
        ModelFileError: missing, damaged or unfitting files.
        EngineError: no engine has this name, or it cannot run the network here.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    """The kind, in words."""

    def __init__(
        self,
        path: Path,
        device: torch.device | str | None = None,
        *,
        engine: str | None = None,
        calibration: U8 | None = None,
    ) -> None:
        config, tensors = read_config(Path(path)), read_tensors(Path(path))
        self.fingerprint = str(config["fingerprint"])
        self.labels: tuple[str, ...] = tuple(config["labels"])
        self.k = int(config["k"])
        self.input_size = (int(config["input_size"][0]), int(config["input_size"][1]))
        self.crop = str(config["crop"])
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(default if device is None else device)
        try:
            network = self._build(config, tensors)
        except (KeyError, TypeError, RuntimeError, TrainingError, WordVectorsError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(
                f"{path} is no {self.title} model of this version: {reason}; train or copy it again"
            ) from None
        self.training_fit = read_fit(Path(path))
        self._seen = features_of(network)
        prepared = self._prepared(ObservedNetwork(network) if self._seen else network)
        task = Task(prepared, self.device, self.input_size, calibration)
        self._engine = make_engine(task, engine)
        self.engine = self._engine.name

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers the network makes of an image."""

    @abstractmethod
    def _build(self, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> nn.Module:
        """The network that encodes; what else a kind of encoder offers is set here.

        What does not fit is said by KeyError, TypeError, RuntimeError or an error of ours.
        """

    def _prepared(self, network: N) -> N:
        """A network ready to compute on the device."""
        return channels_last(network.to(self.device)).eval().requires_grad_(requires_grad=False)

    def features(self, pixels: U8) -> F32 | None:
        """What the network sees of images, float32 [B, D]; None for a network that cannot be looked into."""
        return self._run(pixels, np.empty((len(pixels), self.numbers), np.float32))

    def _fits(self, features: F32 | None) -> F32 | None:
        """How well images fit the training, float32 [B]; None where that is not known."""
        if features is None or self.training_fit is None:
            return None
        return self.training_fit.model.fits(features)

    def _run(self, pixels: U8, out: F32) -> F32 | None:
        """Check pixels and run the network on them; see `engine.run_all`.

        Args:
            pixels: uint8 [B, H, W, 3].
            out: float32 [B, …], perhaps a view: what the network makes of the images is written to it.

        Returns:
            What it sees of them, float32 [B, D]; None where it cannot be looked into.
        """
        check_pixels(pixels, self.input_size)
        if not self._seen:
            run_all(self._engine, pixels, out)
            return None
        both = np.empty((len(pixels), self.numbers + self._seen), np.float32)
        run_all(self._engine, pixels, both)
        out[...] = both[:, : self.numbers].reshape(out.shape)
        return both[:, self.numbers :]


def state_of(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    """The state of the network, or the part of one, whose tensors' names begin with a prefix."""
    return {
        name.removeprefix(prefix): torch.tensor(array)
        for name, array in tensors.items()
        if name.startswith(prefix)
    }


def to_settings(config: TrainerConfig, k: int, shape: tuple[str, ...]) -> dict[str, Any]:
    """What `config.json` of a model says of how it was trained.

    Args:
        config: What it was trained with.
        k: Numbers a label, or dimensions.
        shape: The keys that decide the network's shape, which opening it needs.
    """
    training = config.to_dict()
    return {
        "kind": config.kind,
        "labels": training["labels"],
        "k": k,
        "input_size": training["image_size"],
        "crop": config.crop,
        **{key: training[key] for key in shape},
        "training": training,
    }


def of_settings(of_kind: type[C], config: Mapping[str, Any], shape: tuple[str, ...]) -> C:
    """As much of a training configuration as decides the network's shape, by the rules of training.

    Args:
        of_kind: The class of configuration.
        config: What `config.json` says.
        shape: The keys beside labels, size and crop.

    Raises:
        KeyError: one is missing.
    """
    return of_kind.from_dict(
        {
            "labels": config["labels"],
            "image_size": config["input_size"],
            "crop": config["crop"],
            **{key: config[key] for key in shape},
        }
    )
