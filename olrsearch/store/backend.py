"""A store: create it, open it, read a generation of it, write to it.

```python
with Backend.open(path) as store:
    snapshot = store.snapshot()
    with store.writer() as writer:
        writer.delete([17])
    assert 17 in snapshot.image_ids()             # a snapshot keeps its answer
    assert 17 not in store.snapshot().image_ids()
```
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sqlalchemy import insert, text

from olrsearch._version import __version__
from olrsearch.errors import (
    StoreCorruptError,
    StoreError,
    StoreExistsError,
    StoreNotFoundError,
    StoreReadOnlyError,
)
from olrsearch.store import schema
from olrsearch.store.catalog import Snapshot
from olrsearch.store.commit import first_generation
from olrsearch.store.database import (
    DATABASE_URL,
    IMMEDIATE,
    create_sqlite,
    postgres_engine,
    schema_name,
    sqlite_engine,
    translated,
    url_from_environment,
)
from olrsearch.store.files import (
    DATABASE,
    INDEXES,
    MODELS,
    SEGMENTS,
    StoreFile,
    remove_tree,
    sync_folder,
    sync_tree,
    writable,
)
from olrsearch.store.lock import advisory_lock, file_lock
from olrsearch.store.migrate import check_revision, upgrade
from olrsearch.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from sqlalchemy import Engine

SQLITE = "sqlite"
POSTGRESQL = "postgresql"


class Backend:
    """An open store.

    Attributes:
        path: Its folder.
        store_id: 32 hexadecimal digits, given at creation.
        kind: `sqlite` or `postgresql`.
        created_by: The version of olrsearch that made it.
        read_only: Whether changes are refused.
    """

    def __init__(self, path: Path, about: StoreFile, engine: Engine, *, read_only: bool) -> None:
        self.path = path
        self.store_id = about.store_id
        self.kind = about.backend
        self.created_by = about.created_by
        self.read_only = read_only
        self._engine = engine

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
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreExistsError(f"{path} exists and is not empty: name another folder, or remove it first")
        url = database_url or url_from_environment()
        about = StoreFile.new(POSTGRESQL if url else SQLITE)
        path.parent.mkdir(parents=True, exist_ok=True)
        building = path.with_name(f".{path.name}.creating-{uuid.uuid4().hex}")
        building.mkdir()
        try:
            for folder in (SEGMENTS, MODELS, INDEXES):
                (building / folder).mkdir()
            about.write(building)
            with translated(path):
                _create_tables(building, about, url)
            sync_tree(building)
            building.rename(path)
        except OSError as error:
            raise StoreExistsError(f"{path} cannot be made a store: {error.strerror}") from error
        finally:
            remove_tree(building)
        sync_folder(path.parent)
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
            with translated(path):
                _check_database(engine, path, about)
        except BaseException:
            engine.dispose()
            raise
        return cls(path, about, engine, read_only=read_only)

    def snapshot(self) -> Snapshot:
        """The current generation, for as long as it is needed."""
        return Snapshot(self._engine, self.path)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Takes the lock and changes the store; readers are not disturbed.

        Raises:
            StoreReadOnlyError: the store was opened read-only.
            StoreLockedError: another writer is at work; the message names it.
        """
        if self.read_only:
            raise StoreReadOnlyError(f"{self.path} was opened read-only; open it for writing")
        if self.kind == SQLITE:
            with file_lock(self.path), self._engine.connect() as connection:
                yield Writer(connection.execution_options(**{IMMEDIATE: True}), self.path)
        else:
            with translated(self.path):
                connection = self._engine.connect()
            with connection, advisory_lock(connection, self.store_id, self.path):
                yield Writer(connection, self.path)

    def close(self) -> None:
        """Closes the connections; snapshots of this store can read no more."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        create_sqlite(folder)
        engine = sqlite_engine(folder, read_only=False)
    else:
        engine = postgres_engine(url, about.store_id, read_only=False)
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
            first_generation(connection)
    finally:
        engine.dispose()


def _check_database(engine: Engine, path: Path, about: StoreFile) -> None:
    """Two plain SELECTs: the tables are this store's, and of the revision this program knows."""
    with engine.begin() as connection:
        if engine.dialect.name == POSTGRESQL:
            there = connection.scalar(text("SELECT to_regclass('alembic_version')"))
            if there is None:
                raise StoreNotFoundError(
                    f"the database has no schema {schema_name(about.store_id)} of {path}: is {DATABASE_URL} that of"
                    " another database?"
                )
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        row = connection.exec_driver_sql("SELECT store_id, migrated_by FROM store").one_or_none()
    if revision is None or row is None:
        raise StoreCorruptError(f"{path}: the metadata is empty; restore it from a backup")
    check_revision(str(revision), where=str(path), migrated_by=row[1])
    if row[0] != about.store_id:
        raise StoreCorruptError(
            f"{path / DATABASE} belongs to the store {row[0]}, {path} is {about.store_id}: files were swapped;"
            " restore it from a backup"
        )
