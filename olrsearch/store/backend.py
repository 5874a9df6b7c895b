"""A store: create it, open it, read a generation of it, write to it.

```python
with Backend.open(path) as store:
    snapshot = store.snapshot()
    with store.writer() as writer:
        writer.gallery.delete([17])
    assert 17 in snapshot.image_ids()             # a snapshot keeps its answer
    assert 17 not in store.snapshot().image_ids()
```
"""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import insert, text, update
from sqlalchemy.exc import SQLAlchemyError

from olrsearch._version import __version__
from olrsearch.core.errors import (
    OptionalDependencyError,
    StoreCorruptError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
    StoreReadOnlyError,
)
from olrsearch.core.files import is_free, whole_folder, writable
from olrsearch.store.files import DATABASE, INDEXES, MODELS, SEGMENTS, STORE_JSON, SUMS, StoreFile
from olrsearch.store.read.snapshot import Snapshot
from olrsearch.store.sql import schema
from olrsearch.store.sql.commit import Numbers, add_generation, current
from olrsearch.store.sql.database import (
    DATABASE_URL,
    postgres_engine,
    schema_name,
    translated,
    url_from_environment,
)
from olrsearch.store.sql.migrate import HEAD, check_revision, upgrade
from olrsearch.store.sql.sqlite import IMMEDIATE, copy_sqlite, sqlite_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from olrsearch.store.write.writer import Writer

SQLITE = "sqlite"
POSTGRESQL = "postgresql"


class Backend:
    """An open store.

    Attributes:
        path: Its folder.
        about: Which store it is: its id, what keeps its metadata, who made it.
        engine: Connections to the metadata.
        read_only: Whether changes are refused.
    """

    def __init__(self, path: Path, about: StoreFile, engine: Engine, *, read_only: bool) -> None:
        self.path = path
        self.about = about
        self.engine = engine
        self.read_only = read_only
        self._compared = False

    @classmethod
    def create(cls, path: Path, *, database_url: str | None = None) -> Self:
        """Makes an empty store and opens it.

        It is built beside its place under a temporary name and moved there at the end: a
        crash leaves nothing that looks like a store.

        Args:
            path: A folder that does not exist, or is empty.
            database_url: `postgresql://…` to keep the metadata in PostgreSQL; the
                environment variable OLRSEARCH_DATABASE_URL when None; SQLite without either.

        Raises:
            StoreExistsError: there is something at this path.
            StoreError: the database cannot be used.
        """
        if not is_free(path):
            raise StoreExistsError(_taken(path))
        url = database_url or url_from_environment()
        about = StoreFile.new(POSTGRESQL if url else SQLITE)
        path = path.absolute()
        try:
            with whole_folder(path) as building:
                for folder in (SEGMENTS, MODELS, INDEXES):
                    (building / folder).mkdir()
                about.write(building)
                with translated(path):
                    _create_tables(building, about, url)
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR} and path.exists():
                raise StoreExistsError(_taken(path)) from error
            raise StoreError(f"{path} cannot be made a store: {error.strerror or error}") from error
        finally:
            if url is not None and not _is_there(path, about):
                _drop_schema(url, about.store_id)
        return cls.open(path, database_url=url)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, database_url: str | None = None) -> Self:
        """Opens a store.

        Args:
            path: Its folder.
            read_only: Refuse changes; works on unwritable media.
            database_url: Where a PostgreSQL store's metadata is; the environment variable
                OLRSEARCH_DATABASE_URL when None.

        Raises:
            StoreNotFoundError: there is no store.
            StoreVersionError: a newer program wrote it.
            StoreCorruptError: its files are damaged, missing or another store's.
            StoreReadOnlyError: it lies where nothing can be written; open it with `read_only`.
            StoreError: the database cannot be reached.
        """
        about = StoreFile.read(path)
        if not read_only and not writable(path):
            raise StoreReadOnlyError(f"{path} cannot be written by this user; open it read-only")
        engine = _engine(path, about, database_url, read_only=read_only)
        try:
            with translated(path), engine.begin() as connection:  # plain SELECTs
                revision, migrated_by = _read_revision(connection, path, about)
            check_revision(revision, where=str(path), migrated_by=migrated_by)
        except BaseException:
            engine.dispose()
            raise
        return cls(path, about, engine, read_only=read_only)

    @classmethod
    def migrate(cls, path: Path, *, database_url: str | None = None) -> tuple[str, str]:
        """Brings an older store's tables to this program's revision.

        A SQLite database is copied to `metadata.db.before-<revision>` first.

        Args:
            path: The store's folder.
            database_url: As for `open`.

        Returns:
            The revisions before and after; equal when there was nothing to do.

        Raises:
            StoreNotFoundError: there is no store.
            StoreVersionError: a newer program wrote it.
            StoreCorruptError: its files are damaged, missing or another store's.
            StoreLockedError: another writer is at work.
        """
        about = StoreFile.read(path)
        if not writable(path):
            raise StoreReadOnlyError(f"{path} cannot be written by this user")
        engine = _engine(path, about, database_url, read_only=False)
        try:
            with translated(path), engine.connect() as connection, _lock(connection, path, about):
                with connection.begin():
                    before, migrated_by = _read_revision(connection, path, about)
                if before >= HEAD:
                    check_revision(before, where=str(path), migrated_by=migrated_by)
                    return before, HEAD
                if about.backend == SQLITE:
                    copy_sqlite(path, before)
                with connection.begin():
                    upgrade(connection)
                    connection.execute(update(schema.store).values(migrated_by=__version__))
                _seal(connection, path, about)
                return before, HEAD
        finally:
            engine.dispose()

    @classmethod
    def discard_empty(cls, path: Path, *, database_url: str | None = None) -> bool:
        """Removes a store that nothing was ever put into: no image, no space.

        Args:
            path: Its folder.
            database_url: As for `open`.

        Returns:
            Whether it was removed; a store that somebody writes to, or that cannot be opened, is left alone.
        """
        url = database_url or url_from_environment()
        with (
            suppress(StoreError),
            cls.open(path, database_url=url) as store,
            store.engine.connect() as connection,
            _lock(connection, path, store.about),  # not `writer`, which leaves checksums behind
        ):
            snapshot = store.snapshot()
            if snapshot.last_image_id or snapshot.spaces():
                return False
            if store.about.backend == POSTGRESQL and url is not None:
                _drop_schema(url, store.about.store_id)
            shutil.rmtree(path, ignore_errors=True)
        return not path.exists()

    def snapshot(self) -> Snapshot:
        """The current generation, for as long as it is needed.

        Raises:
            StoreCorruptError: the metadata are damaged.
        """
        self._compare()
        return Snapshot(self.engine, self.path)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Takes the lock and changes the store; readers are not disturbed.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
            StoreLockedError: another writer is at work; the message names it.
        """
        if self.read_only:
            raise StoreReadOnlyError(f"{self.path} was opened read-only; open it for writing")
        from olrsearch.store.write.writer import Writer  # readers, who must start fast, do without

        with translated(self.path):
            connection = self.engine.connect()
        with connection, _lock(connection, self.path, self.about):
            self._compare()
            before = self._generation()
            try:
                yield Writer(connection, self.path)
            finally:
                if self._generation() != before or not (self.path / SUMS).exists():
                    _seal(connection, self.path, self.about)

    def _compare(self) -> None:
        """Compares the metadata with their checksums, once."""
        if self.about.backend == SQLITE and not self._compared:
            from olrsearch.store.sql import seal

            seal.check(self.path, self._generation)
            self._compared = True

    def _generation(self) -> int:
        """The newest generation's number."""
        with translated(self.path), self.engine.begin() as connection:
            return current(connection).generation

    def close(self) -> None:
        """Closes the connections; snapshots of this store can read no more."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _taken(path: Path) -> str:
    if (path / STORE_JSON).exists():
        return f"{path} is a store already: import into it (olrsearch import --help), or name another folder"
    return f"{path} exists and is not empty: name another folder, or remove it first"


def _lock(connection: Connection, path: Path, about: StoreFile) -> AbstractContextManager[None]:
    """Holds the store's lock while this connection writes."""
    from olrsearch.store.sql.lock import advisory_lock, file_lock  # likewise

    if about.backend == SQLITE:
        connection.execution_options(**{IMMEDIATE: True})
        return file_lock(path)
    return advisory_lock(connection, about.store_id, path)


def _seal(connection: Connection, path: Path, about: StoreFile) -> None:
    """Makes the checksums of a store's metadata, for which a transaction left by an error is ended."""
    if about.backend == SQLITE and not connection.closed:
        from olrsearch.store.sql.seal import seal

        connection.rollback()
        opened: Any = connection.connection.dbapi_connection
        seal(opened, path)


def _engine(path: Path, about: StoreFile, database_url: str | None, *, read_only: bool) -> Engine:
    if about.backend == SQLITE:
        if not (path / DATABASE).exists():
            raise StoreCorruptError(f"{path / DATABASE} is missing; restore it from a backup")
        return sqlite_engine(path, read_only=read_only)
    if about.backend == POSTGRESQL:
        url = database_url or url_from_environment()
        if url is None:
            raise StoreError(f"{path} keeps its metadata in PostgreSQL: set {DATABASE_URL} to its URL")
        return postgres_engine(url, about.store_id, read_only=read_only)
    raise StoreCorruptError(f"{path} names the backend {about.backend!r}; expected {SQLITE} or {POSTGRESQL}")


def _create_tables(folder: Path, about: StoreFile, url: str | None) -> None:
    """Brings an empty database to the newest revision, in one transaction."""
    if url is None:
        (folder / DATABASE).touch(exist_ok=False)
    engine = _engine(folder, about, url, read_only=False)
    try:
        with engine.begin() as connection:
            if url is not None:
                connection.execute(text(f"CREATE SCHEMA {schema_name(about.store_id)}"))
            upgrade(connection)
            connection.execute(
                insert(schema.store).values(
                    store_id=about.store_id,
                    created_by=__version__,
                    migrated_by=__version__,
                    created_at=schema.utc_now(),
                )
            )
            add_generation(connection, Numbers(0, 0, 0, 0, 0), "created")
        with engine.connect() as connection:
            _seal(connection, folder, about)
    finally:
        engine.dispose()


def _is_there(path: Path, about: StoreFile) -> bool:
    with suppress(StoreError):
        return StoreFile.read(path) == about
    return False


def _drop_schema(url: str, store_id: str) -> None:
    """Takes back the tables of a store that was not finished; a store that never began has none."""
    with suppress(StoreError, OptionalDependencyError, SQLAlchemyError):
        engine = postgres_engine(url, None, read_only=False)
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {schema_name(store_id)} CASCADE"))
        engine.dispose()


def _read_revision(connection: Connection, path: Path, about: StoreFile) -> tuple[str, str]:
    """The tables' revision and the version of olrsearch that made them so.

    Raises:
        StoreNotFoundError: a PostgreSQL database without this store.
        StoreCorruptError: no rows, or those of another store.
    """
    if connection.dialect.name == POSTGRESQL:
        there = connection.scalar(text("SELECT to_regclass('alembic_version')"))
        if there is None:
            raise StoreNotFoundError(
                f"the database has no schema {schema_name(about.store_id)} of {path}: is {DATABASE_URL} that"
                " of another database?"
            )
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    row = connection.exec_driver_sql("SELECT store_id, migrated_by FROM store").one_or_none()
    if revision is None or row is None:
        raise StoreCorruptError(f"{path}: the metadata is empty; restore it from a backup")
    if row[0] != about.store_id:
        raise StoreCorruptError(
            f"{path / DATABASE} belongs to the store {row[0]}, {path} is {about.store_id}: files were"
            " swapped; restore it from a backup"
        )
    return str(revision), str(row[1])
