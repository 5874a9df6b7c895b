"""Model folders: configuration, weights and the fingerprint that ties them.

```
<fingerprint>/
  config.json           canonical JSON: kind, labels, k, input_size, crop, …, tensors, fingerprint
  weights.safetensors   the network, readout.weight [L, k], readout.bias [L]
  defaults.json, …      may stand beside them: facts about this model that name its fingerprint
```

The fingerprint is the sha256 of the canonical configuration (sorted keys, no
spaces) without the key `fingerprint`. The configuration lists every tensor by name,
type, shape and sha256 of its bytes, so the fingerprint covers the weights, and one
tensor can be checked without reading the others. It is of what is stored: a model whose
matrices are rounded to float16 is an encoder of its own. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from olrsearch.errors import ModelFileError
from olrsearch.readout import Readout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "weights.safetensors"
FORMAT_VERSION = 1
ROUNDED_FROM = "rounded_from"
"""The key of a rounded model's configuration that names the model it was made of."""

COMPANION_VERSION = 1
"""Of the files beside a model; see `write_companion`."""

_READOUT = "readout."
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


def halved(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The same tensors with matrices and convolution kernels rounded to float16.

    One-dimensional tensors (biases, batch-norm weights and statistics) and the readout keep
    their type: they are small, and a rounded readout would move every score.

    Args:
        tensors: By name; not changed.

    Raises:
        ModelFileError: a number is too large for float16.
    """
    out: dict[str, NDArray[Any]] = {}
    for name, array in tensors.items():
        if array.dtype != np.float32 or array.ndim < 2 or name.startswith(_READOUT):
            out[name] = array
            continue
        if array.size and not float(np.abs(array).max()) <= float(np.finfo(np.float16).max):
            raise ModelFileError(
                f"tensor {name} holds numbers beyond {np.finfo(np.float16).max:g}, the largest of float16: "
                "store this model in full precision"
            )
        out[name] = array.astype(np.float16)
    return out


def save_model(
    root: Path, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], *, half: bool = False
) -> Path:
    """Write a model folder `root/<fingerprint>/`, whole or not at all.

    Args:
        root: The folder that holds models; created when absent.
        config: JSON-ready values with `kind`, `labels`, `k`, `input_size` and `crop`;
            `format_version`, `tensors` and `fingerprint` are filled in.
        tensors: The weights by name, `readout.weight` and `readout.bias` among them.
        half: Store matrices and convolution kernels as float16, see `halved`.

    Returns:
        The folder. A model that is there already, intact, is left as it is.

    Raises:
        ModelFileError: a key or the readout is missing, its shape does not fit L and k, or a number
            does not fit float16.
    """
    kept = halved(tensors) if half else tensors
    arrays = {name: np.ascontiguousarray(kept[name]) for name in sorted(kept)}
    body: dict[str, Any] = json.loads(
        canonical_json(
            {
                **config,
                "format_version": FORMAT_VERSION,
                "tensors": {name: tensor_entry(array) for name, array in arrays.items()},
            }
        )
    )
    body["fingerprint"] = fingerprint(body)
    _check_config(body, root)
    target: Path = root / str(body["fingerprint"])
    if target.exists():
        try:
            read_tensors(target)
        except ModelFileError:
            shutil.rmtree(target)
        else:
            return target
    root.mkdir(parents=True, exist_ok=True)
    staging = root / f".{uuid.uuid4().hex}.partial"
    staging.mkdir()
    try:
        save_file(arrays, staging / WEIGHTS_NAME)
        (staging / CONFIG_NAME).write_text(
            json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        for path in (staging / WEIGHTS_NAME, staging / CONFIG_NAME, staging):
            _fsync(path)
        staging.rename(target)
        _fsync(root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def read_config(path: Path) -> dict[str, Any]:
    """A model's configuration, checked against its fingerprint.

    Args:
        path: The model folder.

    Raises:
        ModelFileError: no such folder, no readable configuration, one written by a newer
            version, or one that does not match its fingerprint.
    """
    path = Path(path)
    try:
        config = json.loads((path / CONFIG_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelFileError(
            f"{path} holds no {CONFIG_NAME}: not a model folder; train or copy one"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path / CONFIG_NAME} cannot be read ({error}); copy the model again") from None
    if not isinstance(config, dict):
        raise ModelFileError(f"{path / CONFIG_NAME} holds no JSON object; copy the model again")
    version = config.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has model format {version}, this program reads up to {FORMAT_VERSION}: "
            "install a newer olrsearch"
        )
    _check_config(config, path)
    if fingerprint(config) != config["fingerprint"]:
        raise ModelFileError(f"{path / CONFIG_NAME} does not match its fingerprint; copy the model again")
    return config


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """A model's tensors, each checked against the configuration; float16 is widened to float32.

    Args:
        path: The model folder.
        names: The tensors wanted; all when None. Only these are read.

    Raises:
        ModelFileError: the configuration or the weights are missing, truncated or altered.
    """
    path = Path(path)
    entries: dict[str, Any] = read_config(path)["tensors"]
    weights = path / WEIGHTS_NAME
    try:
        with safe_open(weights, framework="np") as file:
            if sorted(file.keys()) != sorted(entries):
                raise ModelFileError(
                    f"{weights} holds other tensors than {CONFIG_NAME} lists; copy the model again"
                )
            tensors = {name: file.get_tensor(name) for name in (sorted(entries) if names is None else names)}
    except FileNotFoundError:
        raise ModelFileError(f"{weights} is missing; copy the model again") from None
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{weights} cannot be read ({error}); copy the model again") from None
    for name, array in tensors.items():
        if tensor_entry(array) != entries[name]:
            raise ModelFileError(
                f"tensor {name} in {weights} does not match its checksum; copy the model again"
            )
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in tensors.items()
    }


def read_readout(path: Path) -> Readout:
    """A model's readout, without loading its network.

    Raises:
        ModelFileError: as `read_tensors`.
    """
    tensors = read_tensors(path, ("readout.weight", "readout.bias"))
    return Readout(weight=tensors["readout.weight"], bias=tensors["readout.bias"])


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
    try:
        body = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read ({error}); copy the model again") from None
    if not isinstance(body, dict):
        raise ModelFileError(f"{path} holds no JSON object; copy the model again")
    version = body.pop("format_version", None)
    if isinstance(version, int) and version > COMPANION_VERSION:
        raise ModelFileError(
            f"{path} has format {version}, this program reads up to {COMPANION_VERSION}: "
            "install a newer olrsearch"
        )
    stated = body.pop("sha256", None)
    if stated != _digest({**body, "format_version": version}):
        raise ModelFileError(f"{path} does not match its checksum; copy the model again")
    wanted = read_config(folder)["fingerprint"]
    if body.pop("fingerprint", None) != wanted:
        raise ModelFileError(
            f"{path} is about another model than the one beside it, {wanted[:12]}; copy the model again"
        )
    return body


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a configuration that lacks a key or whose readout does not fit L and k."""
    missing = [key for key in _REQUIRED if key not in config]
    if missing:
        raise ModelFileError(
            f"the model configuration in {path} lacks {', '.join(missing)}; copy the model again"
        )
    count, k = len(config["labels"]), config["k"]
    for name, shape in (("readout.weight", [count, k]), ("readout.bias", [count])):
        entry = config["tensors"].get(name)
        if entry is None or entry["shape"] != shape or entry["dtype"] != "float32":
            raise ModelFileError(
                f"the model in {path} has {name} {entry and (entry['dtype'], entry['shape'])}, "
                f"expected float32 {shape} for {count} labels × {k} numbers; copy the model again"
            )


def _fsync(path: Path) -> None:
    """Make a file or a folder's entries last through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
