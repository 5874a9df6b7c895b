"""Numbers of rows: the next free one, and statements about many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from sqlalchemy import func, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Row, Select

    from olrsearch.core.arrays import I64

    AnySelect: TypeAlias = Select[*tuple[Any, ...]]
    AnyRow: TypeAlias = Row[*tuple[Any, ...]]

MANY: Final = 1000
"""Ids up to which a statement lists them; more are fetched by range and picked out."""


def next_id(connection: Connection, column: Any) -> int:  # noqa: ANN401 - a column of any table
    """One more than the largest number in a column; the writer's lock makes it ours."""
    return int(connection.scalar(select(func.coalesce(func.max(column), 0))) or 0) + 1


def chunks(items: Sequence[Any], size: int = MANY) -> Iterator[Sequence[Any]]:
    """Runs of at most `size` items: statements have a limit on parameters."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def as_ids(ids: Iterable[int] | I64) -> I64:
    """Image ids as int64 [n]."""
    if isinstance(ids, np.ndarray):
        return ids.astype(np.int64, copy=False)
    return np.fromiter(ids, np.int64)


def one_of(column: Column[int], ids: I64) -> ColumnElement[bool]:
    """A condition that holds for these ids; when they are many, for others in their range too."""
    if ids.size <= MANY:
        return column.in_(ids.tolist())
    return column.between(int(ids.min()), int(ids.max()))


def rows_of(connection: Connection, statement: AnySelect, column: Column[int], ids: I64) -> list[AnyRow]:
    """Rows of a SELECT that belong to these ids, in its order.

    Args:
        connection: Inside a transaction.
        statement: Its first column is `column`.
        column: The ids.
        ids: int64 [n].
    """
    if not ids.size:
        return []
    wanted = set(ids.tolist())
    return [row for row in connection.execute(statement.where(one_of(column, ids))) if row[0] in wanted]
