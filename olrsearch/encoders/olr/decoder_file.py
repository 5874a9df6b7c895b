"""What a model folder holds of a decoder: `decoder.json` and `decoder.safetensors`.

It is about the model and bound to it like every companion, but no part of its fingerprint: what the encoder
makes of images stays as it is. Nothing here needs torch.

Notation: L labels, k numbers a label, H × W pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from olrsearch.core.errors import ModelFileError, TrainingError
from olrsearch.core.files import whole_file
from olrsearch.encoders.folder.model_config import (
    DECODER_NAME,
    canonical_json,
    read_companion,
    read_config,
    tensor_entry,
    write_companion,
)
from olrsearch.encoders.folder.model_files import halved
from olrsearch.encoders.olr.decoder_config import DecoderConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DECODER_TENSORS: Final = "decoder.safetensors"
_AGAIN: Final = "train it again with olrsearch train decoder, or copy the model again"


@dataclass(frozen=True, slots=True, eq=False)
class DecoderFile:
    """A decoder as its files hold it.

    Attributes:
        config: What it was trained with; its labels and k are the encoder's.
        tensors: Of its network, by name.
        images: How many images it was trained on.
        selection: How many others chose its weights.
        metrics: The figures on these.
    """

    config: DecoderConfig
    tensors: dict[str, NDArray[Any]]
    images: int
    selection: int
    metrics: dict[str, float]

    @property
    def fingerprint(self) -> str:
        """sha256 over configuration and tensors, 64 hexadecimal digits."""
        told = {"config": self.config.to_dict(), "tensors": _entries(self.tensors)}
        return hashlib.sha256(canonical_json(told).encode()).hexdigest()


def write_decoder(folder: Path, decoder: DecoderFile) -> None:
    """Write both files beside a model, in place of earlier ones.

    Raises:
        ModelFileError: the folder holds no model, or one of other labels or sizes.
    """
    _check_fits(folder, decoder.config)
    with whole_file(Path(folder) / DECODER_TENSORS) as temporary:
        save_file(decoder.tensors, temporary)
    write_companion(
        folder,
        DECODER_NAME,
        {
            "config": decoder.config.to_dict(),
            "tensors": _entries(decoder.tensors),
            "images": decoder.images,
            "selection": decoder.selection,
            "metrics": decoder.metrics,
        },
    )


def has_decoder(folder: Path) -> bool:
    """Whether a decoder lies beside a model, whole or damaged."""
    return (Path(folder) / DECODER_NAME).is_file()


def decoder_facts(folder: Path) -> dict[str, Any] | None:
    """What the decoder beside a model says of itself, JSON-ready, its tensors unread; None without one.

    Raises:
        ModelFileError: `decoder.json` is damaged, or about another model.
    """
    try:
        content = read_companion(folder, DECODER_NAME)
    except ModelFileError as error:
        raise ModelFileError(f"{_fault(error)}; {_AGAIN}") from None
    if content is None:
        return None
    try:
        return {key: content[key] for key in ("config", "images", "selection", "metrics")}
    except KeyError as error:
        raise ModelFileError(f"{Path(folder) / DECODER_NAME} lacks {error}; {_AGAIN}") from None


def read_decoder(folder: Path) -> DecoderFile | None:
    """The decoder beside a model; None where it has none.

    Raises:
        ModelFileError: one of the files is damaged, missing, or about another model.
    """
    facts = decoder_facts(folder)
    if facts is None:
        return None
    path = Path(folder) / DECODER_TENSORS
    try:
        config = DecoderConfig.from_dict(facts["config"])
        tensors = load_file(path)
        if _entries(tensors) != (read_companion(folder, DECODER_NAME) or {}).get("tensors"):
            raise ModelFileError(f"{path} does not match its checksums; {_AGAIN}")
        decoder = DecoderFile(
            config,
            tensors,
            int(facts["images"]),
            int(facts["selection"]),
            {str(name): float(value) for name, value in facts["metrics"].items()},
        )
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing; {_AGAIN}") from None
    except (AttributeError, TypeError, ValueError, OSError, SafetensorError, TrainingError) as error:
        raise ModelFileError(f"{path} cannot be read ({_fault(error)}); {_AGAIN}") from None
    _check_fits(folder, config)
    return decoder


def copy_decoder(source: Path, target: Path) -> None:
    """Take a model's decoder over into a copy of the model, or into one rounded from it.

    Raises:
        ModelFileError: that of the source is damaged, or the target holds no model.
    """
    decoder = read_decoder(source)
    if decoder is not None:
        write_decoder(target, decoder)


def stored(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Tensors as they are kept: matrices and kernels as float16, which no pixel shows."""
    return {name: np.ascontiguousarray(array) for name, array in halved(tensors).items()}


def _entries(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {name: tensor_entry(tensors[name]) for name in sorted(tensors)}


def _check_fits(folder: Path, config: DecoderConfig) -> None:
    """Refuse a decoder of other labels or of another number of numbers than the model's."""
    model = read_config(folder)
    if list(config.labels) != list(model["labels"]) or config.k != model["k"]:
        raise ModelFileError(
            f"the decoder takes {config.k} numbers for each of {len(config.labels)} labels, the encoder in "
            f"{folder} makes {model['k']} for each of {len(model['labels'])}; {_AGAIN}"
        )


def _fault(error: Exception) -> str:
    """What is wrong, without what to do about it."""
    return str(error).split(";", maxsplit=1)[0]
