"""The one commit point: a SQL transaction that registers what was written and adds a generation.

    1. new files are written under temporary names, fsynced and renamed;
    2. one transaction registers them and inserts the next row of `generation`.

The newest row is the current generation, so there is no pointer to move. A crash before
the end of step 2 leaves the old state whole and some files nobody refers to, which
`verify` names.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select

from olrsearch.core.errors import StoreCorruptError
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import next_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Executable, Table

KEPT: Final = 2
"""Generations kept in SQL: the current one and its predecessor."""


@dataclass(slots=True)
class Numbers:
    """What bounds everything a generation's reader sees.

    Attributes:
        generation: Its number.
        label_revision: Grows when stored labels change.
        tombstone_version: Grows when images die.
        last_image_id: The highest id ever given.
        label_count: Size of the vocabulary.
    """

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
        now: The numbers of the generation that this change will make.
        touched: Whether anything was written; a change that writes nothing adds no generation.
    """

    connection: Connection
    now: Numbers
    touched: bool = False

    def write(self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Executes a statement that changes something, once for each row if there are any."""
        self.connection.execute(statement, rows)
        self.touched = True

    def add(self, table: Table, **values: Any) -> int:  # noqa: ANN401 - whatever its columns hold
        """Inserts a row under the next free number, and gives that."""
        number = next_id(self.connection, table.c.id)
        self.write(insert(table).values(id=number, **values))
        return number


@contextmanager
def commit(connection: Connection, reason: str) -> Iterator[Change]:
    """Runs the block in one transaction that ends in a new generation.

    Whatever is raised inside rolls all of it back.
    """
    with connection.begin():
        now = current(connection)
        now.generation += 1
        change = Change(connection, now)
        yield change
        if change.touched:
            add_generation(connection, now, reason)
            oldest = now.generation - KEPT + 1
            connection.execute(delete(schema.generation).where(schema.generation.c.id < oldest))
            # What ended before the oldest generation kept is seen by no reader.
            artefact = schema.artefact
            connection.execute(delete(artefact).where(artefact.c.removed_in <= oldest))


def add_generation(connection: Connection, now: Numbers, reason: str) -> None:
    """Makes these the newest generation's numbers."""
    values = asdict(now)
    number = values.pop("generation")
    connection.execute(
        insert(schema.generation).values(id=number, created_at=schema.utc_now(), reason=reason, **values)
    )


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
