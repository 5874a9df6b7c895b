"""A trained informed-prior encoder: model folder in, posteriors out, points decoded.

Notation: B images in a batch, d dimensions, T = d(d+1)/2, m points.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from olrsearch.core.errors import EncoderError, ModelFileError, TrainingError, WordVectorsError
from olrsearch.encoders.engines.engine import Task, make_engine, run_all
from olrsearch.encoders.folder.model_files import read_config, read_tensors, save_model
from olrsearch.encoders.informed_prior.config import InformedPriorConfig
from olrsearch.encoders.informed_prior.network import InformedPriorNetwork, to_gaussian
from olrsearch.encoders.protocol import Posteriors, check_pixels
from olrsearch.encoders.trunks.trunk import channels_last
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.triangles import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, U8

_NETWORK = "network."
_SHAPE_KEYS = (
    "shrinkage", "backbone", "width", "pooling", "hidden", "decoder", "decoder_width", "decoder_size", "grey",
)  # fmt: skip
_DECODED = 64
"""Points decoded at once."""


class InformedPriorEncoder:
    """See `PosteriorEncoder`; open one with `InformedPriorEncoder.load`.

    Attributes:
        fingerprint: sha256 of configuration and weights.
        labels: The W words it was trained to name, as its data called them.
        k: d.
        input_size: (H, W), pixels.
        crop: 'none' or 'center'.
        vocabulary: Its words' vectors, and the way for others.
        shrinkage: λ of the priors it was trained with.
        has_decoder: Whether it decodes.
        device: Where it computes: a GPU where there is one, unless told otherwise.
        engine: What computes, a name of `engine.ENGINES`.
    """

    kind: ClassVar[str] = "informed-prior"

    def __init__(
        self,
        config: Mapping[str, Any],
        network: InformedPriorNetwork,
        vocabulary: Vocabulary,
        device: torch.device | str | None = None,
        *,
        engine: str | None = None,
    ) -> None:
        self.fingerprint = str(config["fingerprint"])
        self.labels: tuple[str, ...] = tuple(config["labels"])
        self.k = int(config["k"])
        self.input_size = (int(config["input_size"][0]), int(config["input_size"][1]))
        self.crop = str(config["crop"])
        self.shrinkage = float(config["shrinkage"])
        self.vocabulary = vocabulary
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(default if device is None else device)
        network = channels_last(network.to(self.device)).eval().requires_grad_(requires_grad=False)
        self._decoder = network.decoder
        self.has_decoder = network.decoder is not None
        self._engine = make_engine(Task(network.encoder, self.device, self.input_size), engine)
        self.engine = self._engine.name

    @classmethod
    def load(
        cls, path: Path, device: torch.device | str | None = None, *, engine: str | None = None
    ) -> InformedPriorEncoder:
        """Open a model folder.

        Args:
            path: The folder with `config.json` and `weights.safetensors`.
            device: A torch device; a GPU where there is one when None.
            engine: What computes, a name of `engine.ENGINES`; see `engine.make_engine` when None.

        Raises:
            ModelFileError: missing, damaged or unfitting files.
            EngineError: no engine has this name, or it cannot run the network here.
        """
        path = Path(path)
        config = read_config(path)
        tensors = read_tensors(path)
        try:
            vocabulary = Vocabulary.from_model(config["words"], config["labels"], tensors)
            network = InformedPriorNetwork(
                _network_config(config), int(config["k"]), torch.zeros(3), torch.ones(3)
            )
            state = {
                name.removeprefix(_NETWORK): torch.tensor(array)
                for name, array in tensors.items()
                if name.startswith(_NETWORK)
            }
            network.load_state_dict(state)
        except (KeyError, TypeError, RuntimeError, TrainingError, WordVectorsError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(
                f"{path} is no informed-prior model of this version: {reason}; train or copy it again"
            ) from None
        return cls(config, network, vocabulary, device, engine=engine)

    def encode(self, pixels: U8) -> Posteriors:
        """See `PosteriorEncoder.encode`: uint8 [B, H, W, 3] → float32 [B, d] and [B, T]."""
        check_pixels(pixels, self.input_size)
        numbers = np.empty((len(pixels), self.k + self.k * (self.k + 1) // 2), np.float32)

        def keep(rows: slice, found: F32) -> None:
            numbers[rows] = found

        run_all(self._engine, pixels, keep)
        mean, factor = to_gaussian(torch.from_numpy(numbers), self.k)
        return Posteriors(mean.numpy(), pack(factor.numpy()))

    def decode(self, points: F32) -> U8:
        """Expected images at points of the latent space.

        Args:
            points: float32 [m, d].

        Returns:
            uint8 [m, H, W, 3]; grey images have three equal channels.

        Raises:
            EncoderError: it was trained without a decoder, or points of another dimension.
        """
        if self._decoder is None:
            raise EncoderError(
                "this encoder has no decoder: train one with --set decoder=true to see pictures"
            )
        at = np.asarray(points, np.float32)
        if at.ndim != 2 or at.shape[1] != self.k:
            raise EncoderError(f"points of shape {at.shape}: this decoder takes [m, {self.k}]")
        parts: list[NDArray[np.uint8]] = []
        with torch.inference_mode():
            for start in range(0, len(at), _DECODED):
                chunk = torch.tensor(at[start : start + _DECODED]).to(self.device)
                planes = torch.sigmoid(self._decoder(chunk)).mul(255).round().to(torch.uint8)
                parts.append(planes.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy())
        height, width = self._decoder.height, self._decoder.width
        return np.concatenate(parts) if parts else np.empty((0, height, width, 3), np.uint8)


def load(path: Path) -> InformedPriorEncoder:
    """The registry's entry: open a model folder of kind 'informed-prior'."""
    return InformedPriorEncoder.load(path)


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
    body = {
        "kind": InformedPriorEncoder.kind,
        "layout": "posterior",
        "labels": list(config.labels),
        "k": vocabulary.size,
        "input_size": list(config.image_size),
        "crop": config.crop,
        "words": vocabulary.to_config(),
        **{key: config.to_dict()[key] for key in _SHAPE_KEYS},
        "training": config.to_dict(),
    }
    state = network.state_dict()
    arrays = {_NETWORK + name: value.detach().cpu().numpy() for name, value in state.items()}
    return save_model(root, body, {**arrays, **vocabulary.to_tensors()})


def _network_config(config: Mapping[str, Any]) -> InformedPriorConfig:
    """As much of a training configuration as decides the network's shape."""
    return InformedPriorConfig.from_dict(
        {
            "labels": config["labels"],
            "image_size": config["input_size"],
            "crop": config["crop"],
            **{key: config[key] for key in _SHAPE_KEYS},
        }
    )
