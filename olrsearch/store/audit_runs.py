"""Folders of audit runs: arrays that are kept as soon as they are there, and a record of them.

```
runs/<name>/run.json            kind, settings, what is finished; every array with its sha256
runs/<name>/ids.npy, …          arrays; what an interrupted run had not finished has no entry in the record
runs/<name>/LOCK                held by the process that works on the run
```

A run is begun under a temporary name and renamed when its first arrays are whole, so a folder that
looks like a run is one. An array is written and fsynced before the record names it: what the record
names is whole, or was damaged afterwards, which its checksum tells.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from olrsearch._version import __version__
from olrsearch.core.arrays import npy, read_npy
from olrsearch.core.checksums import checking
from olrsearch.core.errors import AuditError, StoreCorruptError
from olrsearch.core.files import (
    checked_json,
    file_sha256,
    parse_json,
    remove_leftovers,
    sha256_hex,
    whole_folder,
    write_whole,
)
from olrsearch.core.locks import held
from olrsearch.store.files import FORMAT_VERSION, LOCK, check_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


RECORD: Final = "run.json"
AUDIT: Final = "audit"
"""The kind of run that is an audit, and what its folder's name begins with."""

_ARRAYS: Final = "arrays"


class RunFolder:
    """One audit run on disk.

    Attributes:
        path: Its folder.
        record: What `run.json` says; change it with `note`.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record

    @property
    def name(self) -> str:
        """The folder's name, by which people call the run."""
        return self.path.name

    @classmethod
    def create(cls, path: Path, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> RunFolder:
        """Makes the folder of a new run, whole or not at all.

        Args:
            path: Where; nothing is there yet.
            arrays: What the run begins with, by name.
            record: What it says of itself, JSON-ready.
        """
        about = {"kind": AUDIT, "format_version": FORMAT_VERSION, "written_by": __version__}
        with whole_folder(path) as building:
            made = cls(building, {**about, **record, _ARRAYS: {}})
            for name, array in arrays.items():
                made.keep(name, array)
        return cls(path, made.record)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Reads a run's record; its arrays are read when asked for.

        Raises:
            StoreCorruptError: the record is missing or damaged.
            StoreVersionError: a newer program wrote it.
        """
        file = path / RECORD
        try:
            record = parse_json(file.read_bytes(), file)
        except OSError as error:
            raise StoreCorruptError(
                f"{file} cannot be read ({error.strerror}): delete the run with `olrsearch audit delete "
                f"{path.name}` and audit again"
            ) from error
        check_format(record, path)
        if record.get("kind") != AUDIT or not isinstance(record.get(_ARRAYS), dict):
            raise StoreCorruptError(f"{file} is damaged: no record of an audit; restore it from a backup")
        return cls(path, record)

    def note(self, **changes: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Changes the record, in one step on disk."""
        record = {**self.record, **changes}
        write_whole(self.path / RECORD, checked_json(record))
        self.record = record

    def keep(self, name: str, array: NDArray[Any]) -> None:
        """Writes an array, in place of one of this name, and then records it."""
        data = npy(array)
        write_whole(self._file(name), data)
        entry = {
            "sha256": sha256_hex(data),
            "bytes": len(data),
            "dtype": array.dtype.str,
            "shape": list(array.shape),
        }
        self.note(**{_ARRAYS: {**self.record[_ARRAYS], name: entry}})

    def drop(self, name: str) -> None:
        """Forgets an array and removes its file."""
        self.note(**{_ARRAYS: {key: entry for key, entry in self.record[_ARRAYS].items() if key != name}})
        self._file(name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether the record names an array."""
        return name in self.record[_ARRAYS]

    def load(self, name: str) -> NDArray[Any]:
        """Maps an array into memory, read-only, after it was compared with its checksum.

        Raises:
            StoreCorruptError: it is missing, cut, damaged or another array.
        """
        entry = self.record[_ARRAYS].get(name)
        file = self._file(name)
        if entry is None:
            raise StoreCorruptError(f"{self.path / RECORD} names no {file.name}: {self._advice}")
        try:
            size = file.stat().st_size
            if size != entry["bytes"]:
                raise StoreCorruptError(
                    f"{file} has {size} bytes, expected {entry['bytes']}: it was cut; {self._advice}"
                )
            array: NDArray[Any] = read_npy(file, mapped=True)
        except (OSError, ValueError) as error:
            raise StoreCorruptError(f"{file} cannot be read ({error}): {self._advice}") from error
        if array.dtype.str != entry["dtype"] or list(array.shape) != entry["shape"]:
            raise StoreCorruptError(
                f"{file} holds {array.dtype} of shape {array.shape}, expected {entry['dtype']} of "
                f"{tuple(entry['shape'])}: {self._advice}"
            )
        if checking() and not self.whole(name):
            raise StoreCorruptError(f"{file} does not match its checksum: {self._advice}")
        return array

    def whole(self, name: str) -> bool:
        """Whether an array is recorded and has the bytes that were written."""
        entry = self.record[_ARRAYS].get(name)
        try:
            return entry is not None and file_sha256(self._file(name)) == entry["sha256"]
        except OSError:
            return False

    def damaged(self) -> Iterator[Path]:
        """Yields the files of recorded arrays that are missing or have other bytes."""
        for name in self.record[_ARRAYS]:
            if not self.whole(name):
                yield self._file(name)

    def clean(self) -> None:
        """Removes what writes that were killed have left; call it under the lock."""
        remove_leftovers(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for this process; never waits.

        Raises:
            AuditError: another process works on it.
        """
        busy = f"another process works on {self.name}: wait until it has finished, or end it"
        with held(self.path / LOCK, lambda: AuditError(busy)):
            yield

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npy"

    @property
    def _advice(self) -> str:
        return f"restore it from a backup, or `olrsearch audit delete {self.name}` and audit again"


def audit_folders(runs: Path) -> list[Path]:
    """Folders of audit runs, the oldest first; [] where nothing was ever run."""
    return sorted(file.parent for file in runs.glob(f"{AUDIT}-*/{RECORD}"))
