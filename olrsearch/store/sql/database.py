"""What the databases of metadata say, in our words; connections to PostgreSQL, where a store has a schema."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from olrsearch.core.errors import (
    OptionalDependencyError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
)
from olrsearch.core.files import free_bytes, what_system_said
from olrsearch.core.shown import shown
from olrsearch.store.files import DATABASE
from olrsearch.store.read.stored_json import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE_URL: Final = "OLRSEARCH_DATABASE_URL"
"""Environment variable with the URL of a PostgreSQL database; never stored."""


def postgres_engine(url: str, store_id: str | None, *, read_only: bool) -> Engine:
    """An engine on a PostgreSQL database, inside one store's own schema.

    Args:
        url: `postgresql://…`; from the environment.
        store_id: Whose schema; None for the database itself.
        read_only: Whether the server shall refuse changes.

    Raises:
        OptionalDependencyError: psycopg is not installed.
        StoreError: the URL is none of PostgreSQL.
    """
    try:
        import psycopg  # noqa: F401 - only whether it is there; SQLAlchemy imports it by name
    except ImportError as error:
        raise OptionalDependencyError(
            "a PostgreSQL store needs psycopg: install olrsearch[postgres]"
        ) from error
    options = []
    if store_id is not None:
        options.append(f"-csearch_path={schema_name(store_id)}")
    if read_only:
        options.append("-cdefault_transaction_read_only=on")
    arguments = {"options": " ".join(options)} if options else {}
    return create_engine(
        _postgres_url(url), connect_args=arguments, pool_pre_ping=True, json_deserializer=decode
    )


def schema_name(store_id: str) -> str:
    """The PostgreSQL schema that holds one store."""
    return f"olrsearch_{store_id}"


def url_from_environment() -> str | None:
    """The database URL the environment names, if it does."""
    return os.environ.get(DATABASE_URL) or None


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turns the database's errors into ours, named and on one line.

    Args:
        folder: The store's.

    Raises:
        StoreLockedError: the database stayed busy.
        StoreReadOnlyError: it refuses changes.
        StoreCorruptError: it is damaged, or no database.
        StoreError: it cannot be opened by this user, the disk is full, it was asked for what is no text, or
            anything else it says.
    """
    try:
        yield
    except SQLAlchemyError as error:
        cause: Any = error.orig if isinstance(error, DBAPIError) else error
        raise _ours(folder, cause) from error
    except sqlite3.Error as error:  # of the driver itself
        raise _ours(folder, error) from error
    except UnicodeEncodeError as error:  # likewise: half a character, or a byte that is no UTF-8
        raise StoreError(f"no database can look for {shown(error.object)}: expected text") from error
    except OSError as error:
        if error.filename is not None and Path(error.filename).name.startswith(DATABASE):
            raise _unopened(folder, str(error.strerror or error)) from error
        raise


def _ours(folder: Path, cause: Any) -> StoreError:  # noqa: ANN401 - an error of some driver
    said = " ".join(str(cause).split())
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreLockedError(f"{folder}: the database is busy ({said}); try again later")
    if code == sqlite3.SQLITE_FULL:
        return StoreError(
            f"{folder}: the disk is full ({said}): nothing of this was written; free some space, then run the"
            " command again"
        )
    if code == sqlite3.SQLITE_READONLY:
        return StoreReadOnlyError(f"{folder}: the database cannot be written ({said})")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}:
        return _unopened(folder, said)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "decode to UTF-8" in said:
        return StoreCorruptError(f"{folder}: {DATABASE} is damaged ({said}); restore it from a backup")
    return StoreError(f"{folder}: the database says: {said}")


def _unopened(folder: Path, said: str) -> StoreError:
    """Why a database cannot be opened or read, as the system says it of the file at fault."""
    try:
        for suffix in ("", "-wal", "-shm"):
            path = folder / f"{DATABASE}{suffix}"
            if not suffix or path.exists():
                with path.open("rb") as file:
                    file.read(1)
    except PermissionError as error:
        return StoreError(
            f"{error.filename} cannot be read by this user: ask its owner for the right to read it"
        )
    except (FileNotFoundError, NotADirectoryError):
        return StoreCorruptError(f"{folder / DATABASE} is missing; restore it from a backup")
    except OSError as error:
        return StoreError(f"{folder / DATABASE} cannot be opened: {what_system_said(error)}")
    if not free_bytes(folder):
        return StoreError(f"{folder}: the disk is full ({said}): free some space, then run the command again")
    return StoreError(
        f"{folder / DATABASE} cannot be opened or read ({said}): look at the disk and its rights"
    )


def _postgres_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(
            f"the database URL is not understood: expected postgresql://… in {DATABASE_URL}"
        ) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise StoreError(
            f"the database URL is for {parsed.get_backend_name()!r}: expected postgresql://… in"
            f" {DATABASE_URL} (without it, a store uses SQLite)"
        )
    return parsed.set(drivername="postgresql+psycopg")
