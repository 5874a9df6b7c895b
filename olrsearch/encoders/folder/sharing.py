"""Models that have tensors in common: each is stored once, in the folder of one of them.

An encoder whose frozen trunk is another one's would ship it a second time. So a model folder may
lack tensors that lie in the folder of another model beside it, and says so:

```
<name>/shared.json   {"from": "faces", "of": the fingerprint of the model there,
                      "tensors": {name here: name there}}
```

Whoever reads the model (`model_files.read_tensors`) finds them there and holds them against this
model's own checksums: fingerprint and numbers are the same whether a model is whole or shares. A
store takes whole models only, so that nothing in it depends on a neighbour.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.numpy import save_file

from olrsearch.core.errors import ModelFileError
from olrsearch.core.files import whole_file, whole_folder
from olrsearch.encoders.folder.model_config import read_config, write_companion
from olrsearch.encoders.folder.model_files import (
    SHARED_NAME,
    WEIGHTS_NAME,
    read_shared,
    read_stored,
    tensor_names,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def share_tensors(folder: Path, other: Path) -> int:
    """Take the tensors out of a model's weights that another model has too, bit for bit.

    Networks name them differently, so they are told by type, shape and checksum.

    Args:
        folder: The model folder that is changed, whole or not at all. Its fingerprint stays.
        other: The folder of the other model, under the name it will have beside `folder` wherever
            the two are used. It is not changed.

    Returns:
        How many tensors lie in the other model now.

    Raises:
        ModelFileError: a model is damaged, the other is the same model or lacks tensors itself, this
            one shares already, or the two have no tensor in common.
    """
    folder, other = Path(folder), Path(other)
    config, theirs = read_config(folder), read_config(other)
    if config["fingerprint"] == theirs["fingerprint"]:
        raise ModelFileError(f"{folder} and {other} are one model: name another to share tensors with")
    for path in (folder, other):
        if (shared := read_shared(path)) is not None:
            raise ModelFileError(
                f"{path} takes tensors from {shared.folder} already: share with a model that is whole, "
                "and share once"
            )
    read_stored(other)  # before anything depends on it
    there = {_content(entry): name for name, entry in sorted(theirs["tensors"].items(), reverse=True)}
    names = {
        name: there[_content(entry)] for name, entry in config["tensors"].items() if _content(entry) in there
    }
    if not names:
        raise ModelFileError(
            f"{folder} has no tensor in common with {other}: publish it without sharing, or train it with "
            "the other's trunk frozen"
        )
    kept = {name: array for name, array in read_stored(folder).items() if name not in names}
    content = {"from": other.resolve().name, "of": theirs["fingerprint"], "tensors": names}
    # The weights go last: as long as they hold everything, nobody looks at what the companion says.
    described = write_companion(folder, SHARED_NAME, content)
    try:
        _replace_weights(folder, kept)
    except BaseException:
        described.unlink()
        raise
    return len(names)


def whole_model(folder: Path, target: Path) -> Path:
    """Copy a model folder so that it needs no other: the same fingerprint, all tensors in its weights.

    Args:
        folder: The model folder; one that is whole already is copied as it is.
        target: The copy, which must not exist; written whole or not at all.

    Returns:
        The copy.

    Raises:
        ModelFileError: the model is damaged, the tensors it shares are not there, or the target exists.
    """
    folder, target = Path(folder), Path(target)
    if target.exists():
        raise ModelFileError(f"{target} exists: name another folder for the copy of {folder}")
    tensors = read_stored(folder)
    with whole_folder(target) as staging:
        shutil.copytree(folder, staging, ignore=shutil.ignore_patterns(SHARED_NAME), dirs_exist_ok=True)
        if tensor_names(folder / WEIGHTS_NAME) != set(tensors):
            _replace_weights(staging, tensors)
    return target


def _content(entry: dict[str, Any]) -> tuple[str, tuple[int, ...], str]:
    """What two tensors have in common that are one."""
    return entry["dtype"], tuple(entry["shape"]), entry["sha256"]


def _replace_weights(folder: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """Other weights in place of a folder's, in one step."""
    with whole_file(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary)
