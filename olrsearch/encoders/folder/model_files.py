"""Model folders: configuration, weights and the fingerprint that ties them.

```
<fingerprint>/
  config.json           canonical JSON: kind, labels, k, input_size, crop, …, tensors, fingerprint
  weights.safetensors   the network; readout.weight [L, k] and readout.bias [L], or of an encoder of
                        posteriors words.vectors [W, d], and words.mean, words.matrix
  defaults.json, …      may stand beside them: facts about this model that name its fingerprint
  shared.json           of a model that lacks tensors: which other folder beside this one has them
```

The fingerprint is the sha256 of the canonical configuration (sorted keys, no
spaces; see `model_config`) without the key `fingerprint`. The configuration lists every tensor by name,
type, shape and sha256 of its bytes, so the fingerprint covers the weights, and one
tensor can be checked without reading the others. It is of what is stored: a model whose
matrices are rounded to float16 is an encoder of its own. Where a tensor is stored does not
matter to it: those that lie in another model's folder are held against the same checksums
(`sharing` takes them out and puts them back). Nothing here needs torch.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from olrsearch.core.errors import IncompatibleEncoderError, ModelFileError
from olrsearch.core.files import whole_folder
from olrsearch.encoders.folder.model_config import (
    CONFIG_NAME,
    FORMAT_VERSION,
    canonical_json,
    check_config,
    fingerprint,
    layout_of,
    read_companion,
    read_config,
    tensor_entry,
)
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.readout import Readout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

WEIGHTS_NAME = "weights.safetensors"
SHARED_NAME = "shared.json"

_EXACT = ("readout.", "words.")
"""Tensors that are never rounded: a rounded readout would move every score, a rounded word every prior."""


def halved(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The same tensors with matrices and convolution kernels rounded to float16.

    One-dimensional tensors (biases, batch-norm weights and statistics), the readout and the words'
    vectors keep their type: they are small, and rounding the latter would move every score.

    Args:
        tensors: By name; not changed.

    Raises:
        ModelFileError: a number is too large for float16.
    """
    out: dict[str, NDArray[Any]] = {}
    for name, array in tensors.items():
        if array.dtype != np.float32 or array.ndim < 2 or name.startswith(_EXACT):
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
        tensors: The weights by name, `readout.weight` and `readout.bias` among them, or
            `words.vectors` where the configuration says `"layout": "posterior"`.
        half: Store matrices and convolution kernels as float16, see `halved`.

    Returns:
        The folder. A model that is there already, intact, is left as it is.

    Raises:
        ModelFileError: a key, the readout or the words are missing, their shape does not fit L and k,
            or a number does not fit float16.
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
    check_config(body, root)
    target: Path = root / str(body["fingerprint"])
    if target.exists():
        try:
            read_tensors(target)
        except ModelFileError:
            shutil.rmtree(target)
        else:
            return target
    with whole_folder(target) as staging:
        save_file(arrays, staging / WEIGHTS_NAME)
        (staging / CONFIG_NAME).write_text(
            json.dumps(body, sort_keys=True, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return target


def read_tensors(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """A model's tensors, each checked against the configuration; float16 is widened to float32.

    Args:
        path: The model folder.
        names: The tensors wanted; all when None. Only these are read.

    Raises:
        ModelFileError: the configuration or the weights are missing, truncated or altered.
    """
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in read_stored(path, names).items()
    }


def read_stored(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """A model's tensors in the types they are stored in, each checked against the configuration.

    Args:
        path: The model folder.
        names: The tensors wanted; all when None. Only these are read.

    Raises:
        ModelFileError: the configuration or the weights are missing, truncated or altered, or tensors
            that lie in another model's folder are not there.
    """
    path = Path(path)
    entries: dict[str, Any] = read_config(path)["tensors"]
    weights = path / WEIGHTS_NAME
    held = tensor_names(weights)
    elsewhere = read_shared(path) if set(entries) - held else None
    if held - set(entries) or set(entries) - held - set(elsewhere.names if elsewhere else ()):
        raise ModelFileError(f"{weights} holds other tensors than {CONFIG_NAME} lists; copy the model again")
    wanted = sorted(entries) if names is None else list(names)
    tensors = _read_file(weights, {name: name for name in wanted if name in held or name not in entries})
    for name, array in tensors.items():
        if tensor_entry(array) != entries[name]:
            raise ModelFileError(
                f"tensor {name} in {weights} does not match its checksum; copy the model again"
            )
    if elsewhere is not None and (lacking := [name for name in wanted if name not in tensors]):
        tensors |= _read_elsewhere(path, elsewhere, {name: entries[name] for name in lacking})
    return {name: tensors[name] for name in wanted}


class Shared(NamedTuple):
    """What `shared.json` says: where the tensors lie that a model's own weights lack.

    Attributes:
        folder: The name of a model folder beside this one.
        fingerprint: Of the model in it, when they were taken out here.
        names: What a tensor of this model is called there.
    """

    folder: str
    fingerprint: str
    names: dict[str, str]


def read_shared(path: Path) -> Shared | None:
    """Where the tensors of a model lie that its own weights lack; None for a model that is whole.

    Raises:
        ModelFileError: `shared.json` is damaged, about another model, or names no folder beside this one.
    """
    content = read_companion(path, SHARED_NAME)
    if content is None:
        return None
    folder, fingerprint, names = (content.get(key) for key in ("from", "of", "tensors"))
    # A model that somebody gave away must not make a program read what lies elsewhere on a disk.
    if not (
        isinstance(folder, str)
        and folder not in {"", ".", ".."}
        and Path(folder).name == folder
        and isinstance(fingerprint, str)
        and isinstance(names, dict)
        and all(isinstance(name, str) for name in names.values())
    ):
        raise ModelFileError(
            f"{Path(path) / SHARED_NAME} does not name a folder beside the model and the tensors in it; "
            "copy the model again"
        )
    return Shared(folder, fingerprint, names)


def tensor_names(weights: Path) -> set[str]:
    """The names of the tensors in a file of weights.

    Raises:
        ModelFileError: it is missing or damaged.
    """
    with _opened(weights) as file:
        return set(file.keys())


def _read_file(weights: Path, names: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Tensors of a file as they are stored, by the names wanted for them."""
    with _opened(weights) as file:
        return {name: file.get_tensor(there) for name, there in names.items()}


@contextmanager
def _opened(weights: Path) -> Iterator[Any]:
    try:
        with safe_open(weights, framework="np") as file:
            yield file
    except FileNotFoundError:
        raise ModelFileError(f"{weights} is missing; copy the model again") from None
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{weights} cannot be read ({error}); copy the model again") from None


def _read_elsewhere(path: Path, shared: Shared, entries: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The tensors of some entries of a configuration, out of the folder beside it that has them."""
    neighbour = path.resolve().parent / shared.folder
    lacks = f"{path} takes {len(entries)} tensors from {neighbour}, the model {shared.fingerprint[:12]}, and "
    mend = f"copy the folder {shared.folder} of that model beside it, or a whole copy of this model"
    try:
        found = _read_file(neighbour / WEIGHTS_NAME, {name: shared.names[name] for name in entries})
    except ModelFileError as error:
        raise ModelFileError(f"{lacks}these cannot be read ({str(error).split(';')[0]}): {mend}") from None
    for name, array in found.items():
        if tensor_entry(array) != entries[name]:
            raise ModelFileError(f"{lacks}{shared.names[name]} is another there: {mend}")
    return found


def read_readout(path: Path) -> Readout:
    """A model's readout, without loading its network.

    Raises:
        ModelFileError: as `read_tensors`.
    """
    tensors = read_tensors(path, ("readout.weight", "readout.bias"))
    return Readout(weight=tensors["readout.weight"], bias=tensors["readout.bias"])


def read_vocabulary(path: Path) -> Vocabulary:
    """The words of an encoder of posteriors, without loading its network.

    Raises:
        ModelFileError: as `read_tensors`, or words that do not fit the model.
        IncompatibleEncoderError: an encoder of another layout, which has no words.
    """
    config = read_config(path)
    if layout_of(config) != "posterior":
        raise IncompatibleEncoderError(
            f"the encoder in {path} ({config['kind']}) has labels but no words: expected one of posteriors"
        )
    words = config.get("words")
    if not isinstance(words, dict):
        raise ModelFileError(f"the model configuration in {path} lacks words; copy the model again")
    tensors = read_tensors(path, [name for name in config["tensors"] if name.startswith("words.")])
    return Vocabulary.from_model(words, config["labels"], tensors)
