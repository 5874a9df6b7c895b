"""Connections to a store's metadata: SQLite in WAL mode, or a schema of its own in PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from olrsearch.core.errors import (
    OptionalDependencyError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
)
from olrsearch.core.files import whole_file, writable
from olrsearch.store.files import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASE_URL: Final = "OLRSEARCH_DATABASE_URL"
"""Environment variable with the URL of a PostgreSQL database; never stored."""

BUSY_SECONDS: Final = 30.0
IMMEDIATE: Final = "olrsearch_immediate"
"""Execution option of a writer's connection: its SQLite transactions take the write lock at once."""


def sqlite_engine(folder: Path, *, read_only: bool) -> Engine:
    """An engine on a store's `metadata.db`.

    Read-only, no content changes. Where the folder can be written, SQLite keeps its
    shared memory file beside the database while it is open (readers see a writer's
    commits) and refuses every change. On unwritable media the database is taken as it
    lies: nothing can change it while it is open.

    Raises:
        StoreReadOnlyError: changes of an interrupted writer wait in the write-ahead log and
            the medium does not let SQLite read it.
    """
    path = folder / DATABASE
    options = "mode=rw"
    if read_only and not (writable(folder) and writable(path)):
        log, shared = (folder / f"{DATABASE}{suffix}" for suffix in ("-wal", "-shm"))
        pending = log.exists() and log.stat().st_size > 0
        if pending and not shared.exists():
            raise StoreReadOnlyError(
                f"{folder} has changes in {log.name} that cannot be read on an unwritable medium: open the"
                " store once where it can be written, then copy it again"
            )
        options = "mode=ro" if pending else "mode=ro&immutable=1"
    uri = f"file:{quote(str(path.absolute()))}?{options}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
        except BaseException:  # a damaged database, of which nobody else will close the file
            connection.close()
            raise
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    event.listen(engine, "begin", _begin)
    return engine


def copy_sqlite(folder: Path, revision: str) -> None:
    """Copies `metadata.db`, write-ahead log included, to `metadata.db.before-<revision>`."""
    with (
        whole_file(folder / f"{DATABASE}.before-{revision}") as temporary,
        closing(sqlite3.connect(folder / DATABASE)) as here,
        closing(sqlite3.connect(temporary)) as there,
    ):
        here.backup(there)


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
    return create_engine(_postgres_url(url), connect_args=arguments, pool_pre_ping=True)


def schema_name(store_id: str) -> str:
    """The PostgreSQL schema that holds one store."""
    return f"olrsearch_{store_id}"


def url_from_environment() -> str | None:
    """The database URL the environment names, if it does."""
    return os.environ.get(DATABASE_URL) or None


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Turns the database's errors into ours, named and on one line.

    Raises:
        StoreLockedError: the database stayed busy.
        StoreReadOnlyError: it refuses changes.
        StoreCorruptError: it is damaged, or no database.
        StoreError: anything else it says.
    """
    try:
        yield
    except SQLAlchemyError as error:
        cause: Any = error.orig if isinstance(error, DBAPIError) else error
        said = " ".join(str(cause).split())
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise StoreLockedError(f"{where}: the database is busy ({said}); try again later") from error
        if code == sqlite3.SQLITE_READONLY:
            raise StoreReadOnlyError(f"{where}: the database cannot be written ({said})") from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}:
            raise StoreCorruptError(
                f"{where}: {DATABASE} is missing or damaged ({said}); restore it from a backup"
            ) from error
        raise StoreError(f"{where}: the database says: {said}") from error


def _begin(connection: Connection) -> None:
    # The driver's own transactions begin too late (at the first change) to give a reader
    # one state for several SELECTs; so it is told to stay out of it and BEGIN is said here.
    immediate = connection.get_execution_options().get(IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


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
