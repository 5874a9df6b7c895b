"""Connections to `metadata.db`, also for readers who may not write beside it.

SQLite keeps what a writer has committed in a log, `metadata.db-wal`, and shares an index of it,
`metadata.db-shm`. Who reads needs that index, or has to make it. So a reader's connection is one of three:

* **shared**, where the folder can be written: SQLite makes the index, and refuses every change;
* **shared, unwritten**, where the index is there already, because a writer is at work or was killed: it is
  read as it is, and every commit is seen;
* **as it lies**, where there is no index and none can be made (another user's folder, a medium that cannot be
  written, a full disk): then no writer is at work, and the file alone is the whole state. Whether that is
  still so is asked before every transaction, and again at its end: once a writer has come, the next
  transaction has a connection of its own kind.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DisconnectionError

from olrsearch.core.errors import StoreLockedError, StoreReadOnlyError
from olrsearch.core.files import whole_file, writable
from olrsearch.store.files import DATABASE
from olrsearch.store.read.stored_json import decode
from olrsearch.store.sql.beside import watch

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

BUSY_SECONDS: Final = 30.0
IMMEDIATE: Final = "olrsearch_immediate"
"""Execution option of a writer's connection: its SQLite transactions take the write lock at once."""

_NO_INDEX: Final = frozenset(
    (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
)
"""What SQLite says where it cannot make the index of the log."""


class FileState(NamedTuple):
    """What tells one state of a database's files from another without reading them."""

    device: int
    inode: int
    size: int
    changed_ns: int
    log: bool
    shared: bool

    @classmethod
    def of(cls, folder: Path) -> FileState:
        """Of a store's database.

        Raises:
            OSError: it is not there, or cannot be looked at.
        """
        found = (folder / DATABASE).stat()
        return cls(
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            log=log_waits(folder),
            shared=all(_beside(folder, suffix).exists() for suffix in ("-wal", "-shm")),
        )


class _Opened(sqlite3.Connection):
    """A connection that knows in which state it found the files."""

    found: FileState
    as_it_lies = False


def log_waits(folder: Path) -> bool:
    """Whether the log holds anything."""
    log = _beside(folder, "-wal")
    return log.exists() and log.stat().st_size > 0


def sqlite_engine(folder: Path, *, read_only: bool) -> Engine:
    """An engine on a store's `metadata.db`.

    Read-only, no content changes; see above for how it is opened.

    Its connections raise:
        StoreReadOnlyError: changes of an interrupted writer wait in the log, and nothing lets SQLite read it.
        StoreLockedError: the files were written in the middle of a transaction that read them as they lay.
    """

    def connect() -> sqlite3.Connection:
        if not read_only:
            return _connect(folder, "mode=rw", read_only=False)
        found = FileState.of(folder)
        if writable(folder) and writable(folder / DATABASE):
            try:
                return _reading(folder, "mode=rw", found)
            except sqlite3.OperationalError as error:
                if _code(error) not in _NO_INDEX or found.log:
                    raise
                found = FileState.of(folder)  # a full disk has no room for the index, but for its empty file
        elif found.shared:
            return _reading(folder, "mode=ro", found)
        elif found.log:
            raise StoreReadOnlyError(
                f"{folder} has changes in {DATABASE}-wal that cannot be read where nothing can be written:"
                " open the store once where it can be written, then copy it again"
            )
        opened = _reading(folder, "mode=ro&immutable=1", found)
        opened.as_it_lies = True
        return opened

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, json_deserializer=decode)
    event.listen(engine, "begin", _begin)
    watch(engine, folder / DATABASE)
    if read_only:
        _follow(engine, folder)
    return engine


def copy_sqlite(folder: Path, revision: str) -> None:
    """Copies `metadata.db`, write-ahead log included, to `metadata.db.before-<revision>`."""
    with (
        whole_file(folder / f"{DATABASE}.before-{revision}") as temporary,
        closing(sqlite3.connect(folder / DATABASE)) as here,
        closing(sqlite3.connect(temporary)) as there,
    ):
        here.backup(there)


def _reading(folder: Path, options: str, found: FileState) -> _Opened:
    """A connection that changes nothing, once it has read the schema: SQLite opens the log only then."""
    opened = _connect(folder, options, read_only=True)
    opened.found = found
    try:
        opened.execute("PRAGMA schema_version").fetchall()
    except BaseException:
        opened.close()
        raise
    return opened


def _connect(folder: Path, options: str, *, read_only: bool) -> _Opened:
    connection = sqlite3.connect(
        f"file:{quote(str((folder / DATABASE).absolute()))}?{options}",
        uri=True,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
        isolation_level=None,
        factory=_Opened,
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


def _follow(engine: Engine, folder: Path) -> None:
    """Lets no transaction of an engine answer from files that others have changed or replaced since."""

    def check_out(
        connection: object, _: ConnectionPoolEntry | None = None, __: PoolProxiedConnection | None = None
    ) -> None:
        if isinstance(connection, _Opened) and not _holds(connection, folder):
            raise DisconnectionError  # the pool takes another connection

    def check_end(connection: Connection) -> None:
        opened: object = connection.connection.dbapi_connection
        if isinstance(opened, _Opened) and opened.as_it_lies and _rewritten(opened, folder):
            raise StoreLockedError(f"{folder} was written by somebody else while it was read: ask again")

    def check_error(context: ExceptionContext) -> None:
        # What was read across two states looks like damage.
        if context.connection is not None:
            check_end(context.connection)

    event.listen(engine, "checkout", check_out)
    event.listen(engine, "commit", check_end)
    event.listen(engine, "handle_error", check_error)


def _holds(opened: _Opened, folder: Path) -> bool:
    """Whether a connection still sees the newest state."""
    try:
        now = FileState.of(folder)
    except OSError:
        return False
    return now == opened.found if opened.as_it_lies else now[:2] == opened.found[:2]


def _rewritten(opened: _Opened, folder: Path) -> bool:
    """Whether the database's own file has changed under a connection; what waits in a log has not."""
    try:
        return FileState.of(folder)[:4] != opened.found[:4]
    except OSError:
        return True


def _beside(folder: Path, suffix: str) -> Path:
    return folder / f"{DATABASE}{suffix}"


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _begin(connection: Connection) -> None:
    # The driver's own transactions begin too late (at the first change) to give a reader
    # one state for several SELECTs; so it is told to stay out of it and BEGIN is said here.
    immediate = connection.get_execution_options().get(IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
