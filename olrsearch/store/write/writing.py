"""What the parts of the writer share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select

from olrsearch.core.errors import StoreLockedError, UnknownImageError
from olrsearch.store.sql import schema
from olrsearch.store.sql.commit import commit
from olrsearch.store.sql.database import translated
from olrsearch.store.write.importing import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from olrsearch.core.arrays import I64
    from olrsearch.store.sql.commit import Change


class WriterBase:
    """A connection that holds the store's lock, and changes made on it."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._session = connection.connection.dbapi_connection

    @contextmanager
    def _change(self, reason: str) -> Iterator[Change]:
        with translated(self._folder):
            # SQLAlchemy connects again when a server hung up, but the lock went with the old session.
            if self._connection.connection.dbapi_connection is not self._session:
                raise StoreLockedError(
                    f"{self._folder}: the connection to the database was lost, and the writer's lock with it:"
                    " nothing of this change was written; run the command again"
                )
            with commit(self._connection, reason) as change:
                yield change

    def _require_living(self, ids: I64) -> None:
        i = schema.image.c
        living: set[int] = set()
        for some in chunks(ids.tolist()):
            living.update(
                self._connection.scalars(select(i.id).where(i.id.in_(some), i.tombstone_version.is_(None)))
            )
        dead = [number for number in ids.tolist() if number not in living]
        if dead:
            raise UnknownImageError(
                f"image {dead[0]} is not a living image of {self._folder} ({len(dead)} such among {ids.size})"
            )
