"""What a model folder says of itself: its configuration, and the files beside it that are about it.

The folder and its fingerprint are described in `model_files`. Nothing here reads a tensor.

Notation: L labels, k numbers a label.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from olrsearch.core.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from olrsearch.core.arrays import Layout

CONFIG_NAME = "config.json"
DECODER_NAME = "decoder.json"
"""What a decoder of label embeddings is described by, where one lies beside a model."""

FORMAT_VERSION = 1
COMPANION_VERSION = 1
"""Of the files beside a model; see `write_companion`."""

_REQUIRED = ("format_version", "kind", "labels", "k", "input_size", "crop", "tensors", "fingerprint")


def canonical_json(value: object) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN, UTF-8 kept."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def tensor_entry(array: NDArray[Any]) -> dict[str, Any]:
    """A tensor's line in the configuration: type, shape and sha256 of its little-endian bytes."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(little.tobytes()).hexdigest(),
    }


def fingerprint(config: Mapping[str, Any]) -> str:
    """sha256 of a configuration that lists its tensors, 64 hexadecimal digits."""
    return _digest({key: value for key, value in config.items() if key != "fingerprint"})


def read_config(path: Path) -> dict[str, Any]:
    """A model's configuration, checked against its fingerprint.

    Args:
        path: The model folder.

    Raises:
        ModelFileError: no such folder, no readable configuration, one written by a newer
            version, or one that does not match its fingerprint.
    """
    path = Path(path)
    config = _read_object(path / CONFIG_NAME, FORMAT_VERSION)
    if config is None:
        raise ModelFileError(f"{path} holds no {CONFIG_NAME}: not a model folder; train or copy one")
    check_config(config, path)
    if fingerprint(config) != config["fingerprint"]:
        raise ModelFileError(f"{path / CONFIG_NAME} does not match its fingerprint; copy the model again")
    return config


def layout_of(config: Mapping[str, Any]) -> Layout:
    """What a model of this configuration makes of an image: `labels`, where it says nothing, or `posterior`.

    Args:
        config: As `read_config` returns it.
    """
    layout: Layout = config.get("layout", "labels")
    return layout


def write_companion(folder: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Write a JSON file beside a model that says something about this model and no other.

    It is no part of the fingerprint, but names it, and holds a checksum of itself.

    Args:
        folder: The model folder.
        name: Of the file.
        content: JSON-ready; the keys `fingerprint`, `format_version` and `sha256` are filled in.

    Raises:
        ModelFileError: the folder holds no model.
    """
    body = {
        **content,
        "format_version": COMPANION_VERSION,
        "fingerprint": read_config(folder)["fingerprint"],
    }
    path = Path(folder) / name
    path.write_text(canonical_json({**body, "sha256": _digest(body)}) + "\n", encoding="utf-8")
    return path


def read_companion(folder: Path, name: str) -> dict[str, Any] | None:
    """What a file beside a model says about it; None where there is no such file.

    Args:
        folder: The model folder.
        name: Of the file.

    Raises:
        ModelFileError: the file is damaged, of a newer version, or about another model.
    """
    path = Path(folder) / name
    body = _read_object(path, COMPANION_VERSION)
    if body is None:
        return None
    if body.pop("sha256", None) != _digest({"format_version": None, **body}):
        raise ModelFileError(f"{path} does not match its checksum; copy the model again")
    body.pop("format_version", None)
    wanted = read_config(folder)["fingerprint"]
    if body.pop("fingerprint", None) != wanted:
        raise ModelFileError(
            f"{path} is about another model than the one beside it, {wanted[:12]}; copy the model again"
        )
    return body


def _read_object(path: Path, newest: int) -> dict[str, Any] | None:
    """The JSON object in a file, of a format up to the newest one known; None where there is no file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read ({error}); copy the model again") from None
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} holds no JSON object; copy the model again")
    version = found.get("format_version")
    if isinstance(version, int) and version > newest:
        raise ModelFileError(
            f"{path} has format {version}, this program reads up to {newest}: install a newer olrsearch"
        )
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a configuration that lacks a key or whose readout, or words, do not fit L and k.

    Args:
        config: With its tensors listed.
        path: Where it is from, for the message.

    Raises:
        ModelFileError: it is such a one, or of a layout that this program does not know.
    """
    missing = [key for key in _REQUIRED if key not in config]
    if missing:
        raise ModelFileError(
            f"the model configuration in {path} lacks {', '.join(missing)}; copy the model again"
        )
    count, k = len(config["labels"]), config["k"]
    layout = layout_of(config)
    # What models of each layout answer with, without their network.
    needed: dict[str, dict[str, list[int]]] = {
        "labels": {"readout.weight": [count, k], "readout.bias": [count]},
        "posterior": {"words.vectors": [count, k]},
    }
    if layout not in needed:
        raise ModelFileError(
            f"the model in {path} has the layout {layout!r}, this program knows {', '.join(needed)}: "
            "install a newer olrsearch"
        )
    for name, shape in needed[layout].items():
        entry = config["tensors"].get(name)
        if entry is None or entry["shape"] != shape or entry["dtype"] != "float32":
            raise ModelFileError(
                f"the model in {path} has {name} {entry and (entry['dtype'], entry['shape'])}, "
                f"expected float32 {shape} for {count} labels × {k} numbers; copy the model again"
            )
