"""The files of a store: what they are called, and `store.json`."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from olrsearch._version import __version__
from olrsearch.core.errors import StoreCorruptError, StoreError, StoreNotFoundError, StoreVersionError
from olrsearch.core.files import checked_json, parse_json, what_system_said, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT_VERSION: Final = 1
"""Version of everything on disk that is not SQL; see indexes/README.md."""

STORE_JSON: Final = "store.json"
DATABASE: Final = "metadata.db"
SUMS: Final = "metadata.sums"
SEGMENTS: Final = "segments"
MODELS: Final = "models"
INDEXES: Final = "indexes"
RUNS: Final = "runs"
LOCK: Final = "LOCK"
HOLDER: Final = "LOCK.holder"


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
        """Writes `store.json`."""
        content = {name: getattr(self, name) for name in self.__slots__}
        write_whole(folder / STORE_JSON, checked_json(content))

    @classmethod
    def read(cls, folder: Path) -> StoreFile:
        """Reads and checks `store.json`.

        Raises:
            StoreNotFoundError: there is none.
            StoreVersionError: a newer program wrote it.
            StoreCorruptError: it is not what a program of ours writes.
            StoreError: the system does not let this user read it.
        """
        path = folder / STORE_JSON
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise StoreNotFoundError(
                f"no store at {folder} (no {STORE_JSON}): run `olrsearch --store {folder} import folder "
                "IMAGES` to make one, or name yours with --store or OLRSEARCH_STORE"
            ) from None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {what_system_said(error)}") from error
        content = parse_json(text, path)
        check_format(content, folder, maker="created_by")
        fields = ("store_id", "backend", "created_by", "created_at")
        if content.get("format_version") != FORMAT_VERSION or not all(
            isinstance(content.get(name), str) for name in fields
        ):
            raise StoreCorruptError(
                f"{path} is damaged: expected format_version {FORMAT_VERSION} and {', '.join(fields)};"
                " restore it from a backup"
            )
        return cls(**{name: content[name] for name in fields})


def check_format(content: Mapping[str, Any], path: Path, *, maker: str = "written_by") -> None:
    """Refuses files of a later program.

    Args:
        content: What a file says of itself, `format_version` among it.
        path: What is of this format.
        maker: The key of the version of olrsearch that wrote it.

    Raises:
        StoreVersionError: with the version to install.
    """
    version, by = content.get("format_version"), content.get(maker, "?")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise StoreVersionError(
            f"{path} has format {version}, written by olrsearch {by}; olrsearch {__version__} reads up to"
            f" {FORMAT_VERSION}: install olrsearch {by} or newer"
        )
