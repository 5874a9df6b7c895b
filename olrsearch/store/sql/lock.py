"""One writer: a file lock beside SQLite, an advisory lock in PostgreSQL.

Both vanish with the process that holds them. Who holds it is written beside the lock, in
`LOCK.holder`, for the message the second writer gets; the file is information, not the lock.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from olrsearch.core.errors import StoreLockedError
from olrsearch.core.files import write_whole
from olrsearch.core.locks import held
from olrsearch.store.files import HOLDER, LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@contextmanager
def file_lock(folder: Path) -> Iterator[None]:
    """Holds a store's lock file; never waits.

    Raises:
        StoreLockedError: another writer, of this process or another, holds it; names the holder.
    """
    with held(folder / LOCK, lambda: StoreLockedError(_taken(folder))), _announced(folder):
        yield


@contextmanager
def advisory_lock(connection: Connection, store_id: str, folder: Path) -> Iterator[None]:
    """Holds a store's advisory lock on a PostgreSQL connection; never waits.

    The lock lives as long as the connection: whoever writes, writes on this one.

    Raises:
        StoreLockedError: another connection holds it; names the holder.
    """
    key = {"key": int(store_id[:16], 16) - (1 << 63)}
    taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key)
    connection.commit()
    if not taken:
        raise StoreLockedError(_taken(folder))
    try:
        with _announced(folder):
            yield
    finally:
        with suppress(SQLAlchemyError):  # a lost connection has taken its lock along
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
            connection.commit()


@contextmanager
def _announced(folder: Path) -> Iterator[None]:
    """Says in `LOCK.holder` who writes, for as long as the block runs."""
    since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    path = folder / HOLDER
    write_whole(path, (json.dumps(holder) + "\n").encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _taken(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_bytes())
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "a process that has not yet said its name"
    return f"{folder} is being written by {who}: wait until it has finished, or end it"
