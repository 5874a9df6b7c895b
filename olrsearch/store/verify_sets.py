"""Whether values of the metadata are of the sets they belong to: verdicts, labels, partitions, sizes, names.

A store writes no others. Somebody who changes the metadata by hand may, and what reads them would then
stop, or answer with nonsense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, func, or_, select
from sqlalchemy.exc import DBAPIError

from olrsearch.core.label_values import VALUE_NAMES
from olrsearch.core.names import unfit_character
from olrsearch.core.shown import shown
from olrsearch.datasets.base import PARTITIONS
from olrsearch.store.decision_rules import VERDICTS
from olrsearch.store.problems import Problem
from olrsearch.store.read.stored_json import RESTORE
from olrsearch.store.sql import schema
from olrsearch.store.write.imports import Cause
from olrsearch.store.write.persons import MOST_GIVEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXAMPLES: Final = 5
"""Rows of one fault that are named; of more their number is said."""

_ARTEFACTS: Final = ("metric", "calibration", "index")
_ROWS: Final = 10_000


class _Wrong(NamedTuple):
    """Values that no row should have.

    Attributes:
        column: Which column.
        where: Picks the rows that are wrong.
        expected: What the others hold, in words.
    """

    column: Column[Any]
    where: ColumnElement[bool]
    expected: str


def check_sets(connection: Connection) -> Iterator[Problem]:
    """Names the values that are outside their sets, by table and row.

    Args:
        connection: Inside a transaction.
    """
    for wrong in _all_wrong():
        table = wrong.column.table
        rows = connection.execute(select(*table.primary_key.columns, wrong.column).where(wrong.where)).all()
        yield from _told(wrong.column, [(row[:-1], row[-1]) for row in rows], wrong.expected)
    for column in (
        schema.dataset.c.name,
        schema.dataset.c.kind,
        schema.source.c.uri,
        schema.image.c.key,
        schema.label.c.name,
        schema.person.c.name,
        schema.annotator.c.name,
    ):
        try:
            unfit = list(_unfit(connection, select(*column.table.primary_key.columns, column)))
        except DBAPIError:
            continue  # no text at all, which the check of the database names
        yield from _told(column, unfit, "a name on one line, without control characters")


def _unfit(connection: Connection, names: Select[Any]) -> Iterator[tuple[Sequence[Any], Any]]:
    for *key, name in connection.execution_options(yield_per=_ROWS).execute(names):
        if isinstance(name, str) and (not name.strip() or unfit_character(name)):
            yield key, name


def _told(column: Column[Any], rows: Sequence[tuple[Sequence[Any], Any]], expected: str) -> Iterator[Problem]:
    table = column.table.name
    for key, value in rows[:EXAMPLES]:
        said = shown(value) if isinstance(value, str) else "nothing" if value is None else str(value)
        row = ", ".join(str(part) for part in key)
        yield Problem(
            "metadata",
            f"metadata: {column.name} of row {row} of {table} is {said}; expected {expected}: {RESTORE}",
        )
    if len(rows) > EXAMPLES:
        yield Problem(
            "metadata", f"metadata: {column.name} of {len(rows) - EXAMPLES} more rows of {table} is as wrong"
        )


def _all_wrong() -> Iterator[_Wrong]:
    o, i, s, a = schema.override.c, schema.image.c, schema.source.c, schema.audit_suspect.c
    now = schema.generation.c
    revision, version, labels = (
        select(func.max(column)).scalar_subquery()
        for column in (now.label_revision, now.tombstone_version, now.label_count)
    )
    yield _one_of(o.verdict, VERDICTS)
    for column in (o.value, o.given, a.given):
        yield _one_of(column, sorted(VALUE_NAMES))
    yield _one_of(i.partition, PARTITIONS)
    yield _one_of(i.cause, get_args(Cause))
    yield _one_of(schema.artefact.c.kind, _ARTEFACTS)
    yield _one_of(s.orientation, range(1, 9))
    for column in (
        i.id,
        i.width,
        i.height,
        s.size_bytes,
        schema.space.c.k,
        schema.segment.c["count"],
        a.rank,
    ):
        yield _Wrong(column, column < 1, "1 or more")
    for column in (schema.annotation.c.revision, o.revision):
        yield _Wrong(column, or_(column < 0, column > revision), "a label revision up to the present one")
    tombstone = i.tombstone_version
    yield _Wrong(tombstone, or_(tombstone < 0, tombstone > version), "a version up to the present one")
    position = schema.label.c.position
    yield _Wrong(position, or_(position < 0, position >= labels), "a place in the vocabulary")
    for share in (a.score, a.present):
        yield _Wrong(share, or_(share < 0, share > 1), "a probability, 0 to 1")
    people = select(schema.person.c.id)
    nobody = and_(i.identity >= MOST_GIVEN, i.identity.not_in(people))
    yield _Wrong(i.identity, or_(i.identity < 0, nobody), "a number below 10¹⁸, or that of a person's name")
    yield _Wrong(s.sha256, func.length(s.sha256) != 32, "the 32 bytes of a SHA-256")


def _one_of(column: Column[Any], values: Sequence[Any]) -> _Wrong:
    *most, last = [str(value) for value in values]
    return _Wrong(column, column.not_in(values), f"{', '.join(most)} or {last}")
