"""Checksums of `metadata.db`, in `metadata.sums` beside it: SQLite has none of its own.

A writer that is done folds its log into the database and notes one checksum a block of the file, with the
generation it is of. A reader compares them once, when it first looks at the store. Nothing may be concluded
where the store is at a later generation, because a writer is at work, was killed, or is an older program;
the next writer makes that good. An earlier generation than that of the checksums means an older copy of the
database, which no writer leaves.

Source of what a checkpoint promises: https://www.sqlite.org/wal.html.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from olrsearch.core.checksums import BLOCK, KEY, block_sums_of, checking
from olrsearch.core.errors import StoreCorruptError
from olrsearch.core.files import write_whole
from olrsearch.store.files import DATABASE, SUMS
from olrsearch.store.sql.beside import file_sums
from olrsearch.store.sql.sqlite import log_waits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

AT_OPENING: Final = 1 << 28
"""Bytes of a database up to which opening reads it; of a larger one `store verify` does."""

_ACCEPT: Final = f"restore it from a backup; if the change was meant, remove {SUMS}"


@dataclass(frozen=True, slots=True)
class Seal:
    """What `metadata.sums` says.

    Attributes:
        generation: The store's, when the checksums were made.
        size: Of the database, bytes.
        sums: One checksum a block.
    """

    generation: int
    size: int
    sums: list[str]

    @classmethod
    def read(cls, folder: Path) -> Seal | None:
        """Of a store; None where there is none.

        Raises:
            StoreCorruptError: it cannot be read.
        """
        path = folder / SUMS
        try:
            found = json.loads(path.read_bytes())
            return cls(int(found["generation"]), int(found["bytes"]), [str(item) for item in found[KEY]])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreCorruptError(
                f"{path} is damaged ({error!r}): remove it, the next change writes it anew"
            ) from error

    def changed(self, path: Path) -> str | None:
        """What differs between a database's file and the checksums, in words; None where nothing does."""
        size = path.stat().st_size
        if size != self.size:
            return f"it has {size} bytes, expected {self.size}"
        return self._differs(file_sums(path))

    def changed_image(self, image: bytes) -> str | None:
        """As `changed`, of what a connection sees, its log included."""
        if len(image) != self.size:
            return f"it has {len(image)} bytes, expected {self.size}"
        return self._differs(block_sums_of(image))

    def _differs(self, sums: list[str]) -> str | None:
        other = [number for number, (one, two) in enumerate(zip(sums, self.sums, strict=False)) if one != two]
        if len(sums) != len(self.sums):
            return f"{SUMS} has {len(self.sums)} checksums, expected {len(sums)}"
        if not other:
            return None
        more = f" and in {len(other) - 1} more" if len(other) > 1 else ""
        return f"it differs from its checksums in block {other[0]} (bytes from {other[0] * BLOCK}){more}"


def seal(connection: sqlite3.Connection, folder: Path) -> None:
    """Makes the checksums of a database; call it under the store's lock and outside of a transaction.

    Left undone where a reader keeps the log from being folded in, or they cannot be written.
    """
    path = folder / DATABASE
    try:
        _, frames, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames != folded:
            _log.debug("%s is being read: the next change makes its checksums", path)
            return
        (generation,) = connection.execute("SELECT max(id) FROM generation").fetchone()
        content = {"generation": generation, "bytes": path.stat().st_size, KEY: file_sums(path)}
        write_whole(folder / SUMS, (json.dumps(content) + "\n").encode())
    except (OSError, sqlite3.Error) as error:  # what was to be written is
        _log.warning("the checksums of %s cannot be written (%s): the next change makes them", path, error)


def check(folder: Path, generation: Callable[[], int]) -> None:
    """Compares a database with its checksums.

    Args:
        folder: The store's.
        generation: Reads the newest generation's number.

    Raises:
        StoreCorruptError: the database is damaged, was changed by another program, or is an older copy.
    """
    if not checking() or (found := Seal.read(folder)) is None:
        return
    now = generation()
    if now < found.generation:
        raise StoreCorruptError(older(folder, now, found.generation))
    path = folder / DATABASE
    if now > found.generation or path.stat().st_size > AT_OPENING:
        return
    fault = found.changed(path)
    # A writer may have come meanwhile: then a later generation is there before the file changes.
    if fault is not None and generation() == found.generation:
        raise StoreCorruptError(f"{path} is damaged: {fault}; `olrsearch store verify` says more, {_ACCEPT}")


def faults(connection: sqlite3.Connection, folder: Path, generation: int) -> list[str]:
    """What a whole check finds, a line each; inside a transaction that sees a generation.

    Args:
        connection: To the database.
        folder: The store's.
        generation: The number that the transaction sees.
    """
    try:
        found = Seal.read(folder)
    except StoreCorruptError as error:
        return [str(error)]
    if found is None or generation > found.generation:
        return []
    if generation < found.generation:
        return [older(folder, generation, found.generation)]
    path = folder / DATABASE
    fault = found.changed_image(connection.serialize()) if log_waits(folder) else found.changed(path)
    return [] if fault is None else [f"{path} was damaged, or changed by another program: {fault}; {_ACCEPT}"]


def unsealed(folder: Path, generation: int) -> str | None:
    """Why the metadata cannot be compared with checksums, for people; None where they can."""
    try:
        found = Seal.read(folder)
    except StoreCorruptError:
        return None  # which is named as damage
    if found is None:
        return f"{folder / SUMS} is not there: the next change writes the checksums of the metadata"
    if generation > found.generation:
        return (
            f"{folder / SUMS} is of generation {found.generation}, the metadata are at {generation}: a writer"
            " is at work or was interrupted, the next change writes them anew"
        )
    return None


def older(folder: Path, now: int, sealed: int) -> str:
    """Says that a database is an older copy than its checksums are of."""
    return (
        f"{folder / DATABASE} is of generation {now}, and this store was at generation {sealed}: it is an"
        " older copy, and what came later is not in it; restore the newest copy, or remove"
        f" {SUMS} to go on from here"
    )
