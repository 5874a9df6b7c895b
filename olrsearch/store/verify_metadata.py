"""Whether a store's metadata are what programs of ours write: the file, every value, and what they say."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Table,
    func,
    select,
    text,
)

from olrsearch.store.files import DATABASE, MODELS, SEGMENTS
from olrsearch.store.problems import Problem
from olrsearch.store.read.stored_json import RESTORE
from olrsearch.store.sql import schema, seal
from olrsearch.store.sql.commit import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch.store.files import StoreFile

_ROWS: Final = 10_000
_EXAMPLES: Final = 5
_PACKED_VALUES: Final = b"\x00\x01\xff"
"""The bytes of 0, +1 and −1 as int8."""

_damaged = partial(Problem, "metadata")


def check_database(connection: Connection, folder: Path) -> Iterator[Problem]:
    """Faults of the database itself; of SQLite alone, PostgreSQL's server looks after its own."""
    if connection.dialect.name != "sqlite":
        return
    opened: Any = connection.connection.dbapi_connection
    for fault in seal.faults(opened, folder, current(connection).generation):
        yield _damaged(fault)
    for (said,) in connection.execute(text("PRAGMA integrity_check(10)")):
        if said != "ok":
            yield _damaged(f"{DATABASE}: {' '.join(str(said).split())}; {RESTORE}")
    for table, row, other, _ in connection.execute(text("PRAGMA foreign_key_check")):
        yield _damaged(f"{DATABASE}: row {row} of {table} points to no row of {other}")
    for table in schema.metadata.sorted_tables:
        try:
            yield from _check_values(opened, table)
        except sqlite3.Error as error:
            yield _damaged(f"{DATABASE}: {table.name} cannot be read ({error}); {RESTORE}")


def check_numbers(connection: Connection, folder: Path, about: StoreFile) -> Iterator[Problem]:
    """Whether what the metadata say fits together, and what `store.json` and the folder say."""
    now = current(connection)
    highest = connection.scalar(select(func.max(schema.image.c.id))) or 0
    if highest > now.last_image_id:
        yield _damaged(f"image {highest} lies beyond the last id given, {now.last_image_id}")
    labels = connection.scalar(select(func.count()).select_from(schema.label)) or 0
    if labels != now.label_count:
        yield _damaged(f"the vocabulary has {labels} labels; expected {now.label_count}")
    made_by = connection.scalar(select(schema.store.c.created_by))
    if made_by != about.created_by:
        yield _damaged(f"store.json says created_by {about.created_by!r}, the metadata {made_by!r}")
    for name in (SEGMENTS, MODELS):
        if not (folder / name).is_dir():
            yield _damaged(f"{folder / name} is missing")


def check_labels(connection: Connection, count: int) -> Iterator[Problem]:
    """Packed rows that are none.

    Args:
        connection: Inside a transaction.
        count: Size of the vocabulary.
    """
    a = schema.annotation.c
    rows = connection.execution_options(yield_per=_ROWS).execute(select(a.image_id, a.packed))
    for image, packed in rows:
        if len(packed) > count or packed.strip(_PACKED_VALUES):
            yield Problem(
                "labels", f"the labels of image {image} are no row of at most {count} values −1, 0, 1"
            )


def _check_values(opened: sqlite3.Connection, table: Table) -> Iterator[Problem]:
    """Values of another type than their column's, texts that are none, and JSON that is none."""
    key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    before = opened.text_factory
    opened.text_factory = bytes  # so that texts that are none are seen, and stop nothing
    try:
        for column in table.columns:
            name = f'"{column.name}"'
            wrong = opened.execute(
                f'SELECT {key}, {name} FROM "{table.name}" WHERE {_is_wrong(column)}'  # noqa: S608 - our names
            )
            rows = _unreadable(wrong, column)
            for place in rows[:_EXAMPLES]:
                where = f"{DATABASE}: {column.name} of row {place} of {table.name}"
                yield _damaged(f"{where} holds no {_called(column)}; {RESTORE}")
            if len(rows) > _EXAMPLES:
                more = len(rows) - _EXAMPLES
                yield _damaged(f"{DATABASE}: {column.name} of {more} more rows of {table.name} is so damaged")
    finally:
        opened.text_factory = before


def _is_wrong(column: Column[Any]) -> str:
    """A condition that picks what may be damaged; of texts, which only Python can judge, all of them."""
    name = f'"{column.name}"'
    there = f"typeof({name}) <> 'null'" if column.nullable else "TRUE"
    kind = column.type
    if isinstance(kind, Integer):
        return f"{there} AND typeof({name}) <> 'integer'"
    if isinstance(kind, Float):
        return f"{there} AND typeof({name}) NOT IN ('real', 'integer')"
    if isinstance(kind, LargeBinary):
        return f"{there} AND typeof({name}) <> 'blob'"
    if isinstance(kind, DateTime):
        return f"{there} AND (typeof({name}) <> 'text' OR julianday({name}) IS NULL)"
    return there


def _unreadable(rows: sqlite3.Cursor, column: Column[Any]) -> list[str]:
    """The keys of the rows whose value is damaged, in words."""
    is_text = not isinstance(column.type, Integer | Float | LargeBinary | DateTime)
    found = []
    for *key, value in rows:
        if is_text and isinstance(value, bytes) and _reads(value, as_json=isinstance(column.type, JSON)):
            continue
        shown = (part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for part in key)
        found.append(", ".join(shown))
    return found


def _reads(value: bytes, *, as_json: bool) -> bool:
    try:
        content = value.decode()
        if as_json:
            json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _called(column: Column[Any]) -> str:
    kind = column.type
    for known, called in ((JSON, "JSON"), (Integer, "integer"), (Float, "number"), (DateTime, "time")):
        if isinstance(kind, known):
            return called
    return "bytes" if isinstance(kind, LargeBinary) else "text"
