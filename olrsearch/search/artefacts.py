"""What is kept beside a segment or a space: arrays that were derived from it, and a description in JSON.

All of it can be made again, so a description of something else is passed over, and what is damaged is an
error that asks for another build. It is there whole or not at all (`core.files`). Three forms:

* arrays and a description side by side, as label and word scores are;
* a folder of arrays whose description has the size, the first bytes' and the whole checksum of each, as KL
  features are;
* a folder with `index.json`, as built indexes are.

Descriptions have a checksum a block of every array, which is compared when the block is first read. Those of
older programs have none, and are taken as they are; `verify_payload` reads everything.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.arrays import digest, read_npy
from olrsearch.core.checked_arrays import checked as checked_array
from olrsearch.core.checksums import KEY, FileBlocks, block_sums, checking, sums_of
from olrsearch.core.errors import IndexBuildError
from olrsearch.core.files import file_sha256, sha256_hex, whole_file, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from olrsearch.core.arrays import I64

_log = logging.getLogger(__name__)

DESCRIPTION: Final = "index.json"
IDS: Final = "ids.npy"
"""Of a built index: what it is, and int64 [n], the images indexed."""

_HEAD: Final = 1 << 12
"""Bytes compared at opening: the array's header and its first numbers."""

_FILES: Final = "files"

Form = tuple["DTypeLike", tuple[int, ...]]
"""Type and shape of an array."""


# -- arrays with a description -------------------------------------------------------------


def keep_arrays(described: Path, arrays: Mapping[str, NDArray[Any]], description: Mapping[str, Any]) -> None:
    """Write arrays beside their description, in place of what there is.

    Args:
        described: The description's file.
        arrays: By the names of their files beside it.
        description: What they are of; equal descriptions mean equal arrays.

    Raises:
        OSError: the folder cannot be written to.
    """
    described.unlink(missing_ok=True)  # a crash between the files leaves arrays nobody trusts
    for name, array in arrays.items():
        with whole_file(described.with_name(name)) as temporary:
            np.save(temporary, array)
    files = {name: _checksums(described.with_name(name)) for name in arrays}
    write_whole(described, (json.dumps({**description, _FILES: files}) + "\n").encode())


def describe_files(described: Path, names: Iterable[str], description: Mapping[str, Any]) -> None:
    """Write the description of finished files beside it, with the checksums of each."""
    files = {name: _checksums(described.with_name(name)) for name in names}
    described.write_text(json.dumps({**description, _FILES: files}, indent=1) + "\n", encoding="utf-8")


def kept_arrays(
    described: Path,
    forms: Mapping[str, Form],
    description: Mapping[str, Any],
    *,
    complete: bool = False,
    error: type[Exception] = IndexBuildError,
) -> list[NDArray[Any]] | None:
    """Arrays that were kept, memory-mapped, in the order of `forms`.

    Args:
        described: The description's file.
        forms: What each array must be, by the name of its file beside it.
        description: What they must be of.
        complete: Whether every array is read as a whole, and the description of old has its size: it is
            then compared now. Otherwise blocks are compared as they are read.
        error: What to raise.

    Returns:
        None where there are none, or they are of something else: they are derived, and computing them again
        is always right.

    Raises:
        IndexBuildError: the description fits, and an array is missing, cut, swapped or damaged; or the error
            that was asked for.
    """
    try:
        found = json.loads(described.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        found = None
    except OSError as failure:
        raise error(f"{described} cannot be read ({failure.strerror or failure})") from failure
    files: Any = found.pop(_FILES, None if complete else {}) if isinstance(found, dict) else None
    if found != description or not _are_entries(files):
        _log.warning("%s is not of this segment and encoder and is not used: run index build", described)
        return None
    return [
        _open_array(described.with_name(name), form, files.get(name), error, complete=complete)
        for name, form in forms.items()
    ]


def _are_entries(files: object) -> bool:
    return isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values())


def verify_payload(described: Path) -> None:
    """Read all files of a description with checksums.

    Raises:
        IndexBuildError: one is not what was written.
    """
    for name, written in json.loads(described.read_text(encoding="utf-8"))[_FILES].items():
        path = described.with_name(name)
        check_size(path, written["bytes"])
        if file_sha256(path) != written["sha256"]:
            raise _changed(path)


def map_array(path: Path) -> NDArray[Any]:
    """The array of a file, memory-mapped.

    Raises:
        IndexBuildError: it is missing, cut or no array.
    """
    return np.asarray(_map(path, IndexBuildError))  # slices of a memmap cost several times as much


def _map(path: Path, error: type[Exception]) -> NDArray[Any]:
    try:
        found: NDArray[Any] = read_npy(path, mapped=True)
    except (OSError, ValueError, EOFError) as failure:
        raise error(f"{path} is damaged ({failure}): run index build again") from failure
    return found


def _open_array(
    path: Path, form: Form, file: Mapping[str, Any] | None, error: type[Exception], *, complete: bool
) -> NDArray[Any]:
    found = _map(path, error)
    if file is None and complete:
        raise error(f"{path} is not named beside its checksums: run index build again")
    if file is not None:
        length, head = path.stat().st_size, _head(path)
        if (length, head) != (file.get("bytes"), file.get("head")):
            raise error(f"{path} was cut, swapped or damaged ({length} bytes): run index build again")
    if found.dtype != form[0] or found.shape != form[1]:
        raise error(
            f"{path} holds {found.dtype} {found.shape}, expected {np.dtype(form[0])} {form[1]}: run index "
            "build again"
        )
    sums = sums_of(file) if file is not None and checking() else None
    if sums is None:
        return np.asarray(found)
    blocks = FileBlocks(path, sums, lambda path, fault: error(f"{path}: {fault}: run index build again"))
    if complete:
        blocks.check_all()
        return np.asarray(found)
    return checked_array(found, blocks)


def _checksums(path: Path) -> dict[str, Any]:
    return {
        "bytes": path.stat().st_size,
        "head": _head(path),
        "sha256": file_sha256(path),
        KEY: block_sums(path),
    }


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_hex(file.read(_HEAD))


# -- built indexes -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One file of a built index.

    Attributes:
        name: Of the file.
        bytes: Its size.
        sha256: Of the array's numbers, or of any other file as it is.
    """

    name: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> KeptFile:
        """Of a finished file."""
        sha256 = digest(map_array(path)) if path.suffix == ".npy" else file_sha256(path)
        return cls(path.name, path.stat().st_size, sha256)

    def open(self, folder: Path) -> NDArray[Any]:
        """The array, memory-mapped, after it was compared with its checksum.

        Raises:
            IndexBuildError: it is missing, cut or damaged.
        """
        path = folder / self.name
        check_size(path, self.bytes)
        found = map_array(path)
        if digest(found) != self.sha256:
            raise _changed(path)
        return found

    def verify(self, folder: Path) -> None:
        """Read the file as a whole.

        Raises:
            IndexBuildError: it is missing, cut or damaged.
        """
        path = folder / self.name
        if path.suffix == ".npy":
            self.open(folder)
            return
        check_size(path, self.bytes)
        if file_sha256(path) != self.sha256:
            raise _changed(path)


def _changed(path: Path) -> IndexBuildError:
    return IndexBuildError(f"{path} does not match its checksum: run index build again")


def check_size(path: Path, expected: int) -> None:
    """Refuse a file that is missing or cut.

    Raises:
        IndexBuildError: it is.
    """
    try:
        length = path.stat().st_size
    except OSError as error:
        raise IndexBuildError(f"{path} is missing ({error.strerror}): run index build again") from error
    if length != expected:
        raise IndexBuildError(
            f"{path} has {length} bytes, expected the {expected} that were written: run index build again"
        )


def write_index_json(folder: Path, description: Mapping[str, Any]) -> None:
    """Write what a built index is."""
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def read_index_json(folder: Path, newest: int, registered: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a built index is.

    Args:
        folder: Of the index.
        newest: The newest format that is known.
        registered: What the store's metadata say of it; not compared when None.

    Raises:
        IndexBuildError: it is missing, no JSON object, of a newer format, or not what was registered.
    """
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IndexBuildError(f"{folder} holds no usable index ({error}): run index build again") from error
    if not isinstance(found, dict):
        raise IndexBuildError(f"{folder / DESCRIPTION} is damaged: run index build again")
    version = found.get("format_version")
    if isinstance(version, int) and version > newest:
        raise IndexBuildError(
            f"{folder} has format {version}, this program reads up to {newest}: run index build again, or "
            "use a newer program"
        )
    if registered is not None and found != registered and checking():
        raise IndexBuildError(
            f"{folder / DESCRIPTION} is not what was registered with the index: run index build again"
        )
    return found


def check_ids(folder: Path, ids: I64, expected: str) -> None:
    """Refuse ids that are not those of an index.

    Raises:
        IndexBuildError: they are not.
    """
    if digest(ids) != expected:
        raise IndexBuildError(f"{folder / IDS} is not of this index: run index build again")
