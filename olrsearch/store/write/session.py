"""What the parts of the writer share: the connection that holds the store's lock."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select

from olrsearch.core.errors import StoreError, StoreLockedError, UnknownImageError
from olrsearch.store.read.snapshot import Snapshot
from olrsearch.store.sql import schema
from olrsearch.store.sql.commit import commit
from olrsearch.store.sql.database import translated
from olrsearch.store.sql.ids import chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from olrsearch.core.arrays import I64
    from olrsearch.store.sql.commit import Change
    from olrsearch.store.values import ImageRef


class WriteSession:
    """A connection that holds the store's lock, and changes made on it.

    Attributes:
        connection: Where statements go.
        folder: The store's.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        self._session = connection.connection.dbapi_connection

    @contextmanager
    def change(self, reason: str) -> Iterator[Change]:
        """One transaction that ends in one generation; whatever is raised inside takes all of it back."""
        with translated(self.folder):
            # SQLAlchemy connects again when a server hung up, but the lock went with the old session.
            if self.connection.connection.dbapi_connection is not self._session:
                raise StoreLockedError(
                    f"{self.folder}: the connection to the database was lost, and the writer's lock with it:"
                    " nothing of this change was written; run the command again"
                )
            with commit(self.connection, reason) as change:
                yield change

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The connection inside a transaction that changes nothing."""
        with translated(self.folder), self.connection.begin():
            yield self.connection

    def snapshot(self) -> Snapshot:
        """The newest generation, which nobody else can change while the lock is held."""
        return Snapshot(self.connection.engine, self.folder)

    def ids_of(self, images: Iterable[ImageRef]) -> I64:
        """Images by what people call them, looked up under the lock: no import or deletion comes between.

        Returns:
            int64, ascending, each once. Those given as numbers are not looked up: see `require_living`.

        Raises:
            UnknownImageError: no living image is meant by a key, or several are.
        """
        snapshot = self.snapshot()
        found = (
            int(image) if isinstance(image, int | np.integer) else snapshot.resolve(image) for image in images
        )
        return np.unique(np.fromiter(found, np.int64))

    def require_living(self, ids: I64) -> None:
        """Raises `UnknownImageError` unless all images live; inside a transaction."""
        i = schema.image.c
        living: set[int] = set()
        for some in chunks(ids.tolist()):
            living.update(
                self.connection.scalars(select(i.id).where(i.id.in_(some), i.tombstone_version.is_(None)))
            )
        dead = [number for number in ids.tolist() if number not in living]
        if dead:
            raise UnknownImageError(
                f"image {dead[0]} is not a living image of {self.folder} ({len(dead)} such among {ids.size})"
            )


def plain_json(payload: dict[str, Any], what: str) -> dict[str, Any]:
    """The payload as it will be read back.

    Raises:
        StoreError: it is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} must be plain JSON: {error}") from error
    return content
