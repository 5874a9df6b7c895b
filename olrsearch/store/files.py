"""The files of a store: where they lie, `store.json`, and writing that survives a crash."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from olrsearch._version import __version__
from olrsearch.core.errors import StoreCorruptError, StoreNotFoundError, StoreVersionError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION: Final = 1
"""Version of everything on disk that is not SQL; see indexes/README.md."""

STORE_JSON: Final = "store.json"
DATABASE: Final = "metadata.db"
SEGMENTS: Final = "segments"
MODELS: Final = "models"
INDEXES: Final = "indexes"
LOCK: Final = "LOCK"
HOLDER: Final = "LOCK.holder"
TEMPORARY: Final = ".tmp-"
"""What the names of unfinished files and folders begin with."""


@dataclass(frozen=True, slots=True)
class StoreFile:
    """The content of `store.json`, which never changes after creation.

    Attributes:
        store_id: 32 hexadecimal digits.
        backend: `sqlite` or `postgresql`. A database's URL is never written here.
        created_by: The version of olrsearch that made the store.
        created_at: ISO 8601, UTC.
        format_version: Of the files.
    """

    store_id: str
    backend: str
    created_by: str
    created_at: str
    format_version: int = FORMAT_VERSION

    @classmethod
    def new(cls, backend: str) -> StoreFile:
        """For a store made now by this program."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return cls(uuid.uuid4().hex, backend, __version__, now)

    def write(self, folder: Path) -> None:
        """Writes and fsyncs `store.json`."""
        content = {name: getattr(self, name) for name in self.__slots__}
        write_durably(folder / STORE_JSON, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> StoreFile:
        """Reads and checks `store.json`.

        Raises:
            StoreNotFoundError: there is none.
            StoreVersionError: a newer program wrote it.
            StoreCorruptError: it is not what a program of ours writes.
        """
        path = folder / STORE_JSON
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(
                f"no store at {folder} (no {STORE_JSON}): run `olrsearch --store {folder} store create`"
                " or name another with --store"
            ) from None
        except OSError as error:
            raise StoreCorruptError(f"{path} cannot be read: {error.strerror}") from error
        content = parse_json(text, path)
        version = content.get("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            maker = content.get("created_by", "?")
            raise StoreVersionError(
                f"{folder} has files of format {version}, written by olrsearch {maker}; olrsearch"
                f" {__version__} reads up to {FORMAT_VERSION}: install olrsearch {maker} or newer"
            )
        fields = ("store_id", "backend", "created_by", "created_at")
        if version != FORMAT_VERSION or not all(isinstance(content.get(name), str) for name in fields):
            raise StoreCorruptError(
                f"{path} is damaged: expected format_version {FORMAT_VERSION} and {', '.join(fields)};"
                " restore it from a backup"
            )
        store_id, backend, created_by, created_at = (str(content[name]) for name in fields)
        return cls(store_id, backend, created_by, created_at)


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """A JSON object from a file's bytes.

    Raises:
        StoreCorruptError: it is none.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise StoreCorruptError(f"{path} is damaged: not JSON ({error}); restore it from a backup") from error
    if not isinstance(content, dict):
        raise StoreCorruptError(f"{path} is damaged: not a JSON object; restore it from a backup")
    return content


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file and waits until the disk has it; the folder's entry is the caller's to sync."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Writes a file under a temporary name and puts it in place in one step."""
    temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
    try:
        write_durably(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames and new entries of a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Fsyncs every file and folder below, then the folder itself."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            sync_tree(entry)
        else:
            descriptor = os.open(entry, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(folder)


def remove_tree(folder: Path) -> None:
    """Removes a folder of ours if it is there; what cannot be removed stays for `verify` to name."""
    shutil.rmtree(folder, ignore_errors=True)


def sha256_hex(data: bytes) -> str:
    """The hash of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def writable(path: Path) -> bool:
    """Whether this process may write there (read-only media say no to root as well)."""
    return os.access(path, os.W_OK)
