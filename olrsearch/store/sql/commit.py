"""The one commit point: a SQL transaction that registers what was written and adds a generation.

    1. new files are written under temporary names, fsynced and renamed;
    2. one transaction registers them and inserts the next row of `generation`.

The newest row is the current generation, so there is no pointer to move. A crash before
the end of step 2 leaves the old state whole and some files nobody refers to, which
`verify` names.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, insert, select

from olrsearch.core.errors import StoreCorruptError
from olrsearch.store.sql import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

KEPT: Final = 2
"""Generations kept in SQL: the current one and its predecessor."""


class Numbers(NamedTuple):
    """What bounds everything a generation's reader sees; `Change` says what each is."""

    generation: int
    label_revision: int
    tombstone_version: int
    last_image_id: int
    label_count: int


@dataclass(slots=True)
class Change:
    """A transaction in progress.

    Attributes:
        connection: Where its statements go.
        generation: The number this change will have.
        reason: What the generation's row will say.
        label_revision: Grows when stored labels change.
        tombstone_version: Grows when images die.
        last_image_id: The highest id ever given.
        label_count: Size of the vocabulary.
        touched: Whether anything was written; a change that writes nothing adds no generation.
    """

    connection: Connection
    generation: int
    reason: str
    label_revision: int
    tombstone_version: int
    last_image_id: int
    label_count: int
    touched: bool = False


@contextmanager
def commit(connection: Connection, reason: str) -> Iterator[Change]:
    """Runs the block in one transaction that ends in a new generation.

    Whatever is raised inside rolls all of it back.
    """
    with connection.begin():
        now = current(connection)
        change = Change(connection, now.generation + 1, reason, *now[1:])
        yield change
        if change.touched:
            _finish(change)


def first_generation(connection: Connection) -> None:
    """Gives an empty store its generation 0."""
    _add_generation(connection, Numbers(0, 0, 0, 0, 0), "created")


def current(connection: Connection) -> Numbers:
    """The newest generation's numbers.

    Raises:
        StoreCorruptError: there is no generation.
    """
    g = schema.generation.c
    row = connection.execute(
        select(g.id, g.label_revision, g.tombstone_version, g.last_image_id, g.label_count)
        .order_by(g.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise StoreCorruptError("the store's metadata has no generation; restore it from a backup")
    return Numbers(*row)


def _finish(change: Change) -> None:
    connection = change.connection
    _add_generation(connection, Numbers(*(getattr(change, name) for name in Numbers._fields)), change.reason)
    oldest = change.generation - KEPT + 1
    connection.execute(delete(schema.generation).where(schema.generation.c.id < oldest))
    # What ended before the oldest generation kept is seen by no reader.
    artefact = schema.artefact
    connection.execute(delete(artefact).where(artefact.c.removed_in <= oldest))


def _add_generation(connection: Connection, now: Numbers, reason: str) -> None:
    number, *others = now
    values = dict(zip(Numbers._fields[1:], others, strict=True))
    connection.execute(
        insert(schema.generation).values(id=number, created_at=schema.utc_now(), reason=reason, **values)
    )
