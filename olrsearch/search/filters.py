"""`--where` conditions as SQL expressions with bound parameters, and as masks.

A condition on recorded columns is answered by the database, one on stored labels by an array, and a pattern
here, so that every database answers alike; a condition that mixes them is cut at the highest parts that
the database can answer whole. The tree was parsed against the same columns, so nothing of the user's text is
ever SQL.

Notation: N images (rows of a view), L labels.
"""

from __future__ import annotations

import datetime as dt
from functools import partial, reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import BigInteger, DateTime, Double, String, and_, bindparam, false, func, literal, not_, or_

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.search.query.like import alike
from olrsearch.search.query.where import (
    COMPARISONS,
    Comparison,
    IsNull,
    LabelIs,
    Like,
    Membership,
    WhereAnd,
    WhereNot,
    WhereOr,
    tests_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import UnionType

    from numpy.typing import NDArray
    from sqlalchemy import ColumnElement
    from sqlalchemy.types import TypeEngine

    from olrsearch.core.arrays import F32, I8, I64, Bool
    from olrsearch.search.query.where import Value, Where


_SQL_TYPES: dict[type, TypeEngine[Any]] = {
    str: String(),
    int: BigInteger(),
    float: Double(),
    dt.datetime: DateTime(),
}
"""Of bound values. 64 bits for integers: a driver may cast to the column's 32 and overflow."""


def column_types(columns: Mapping[str, ColumnElement[Any]]) -> dict[str, type]:
    """The type of every column's values, as `parse_where` wants them: int, float, str or datetime."""
    return {name: column.type.python_type for name, column in columns.items()}


def compile_where(node: Where, columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """A condition on columns as one SQL expression, never NULL.

    Args:
        node: From `parse_where`, without tests of labels.
        columns: The columns it was parsed with.

    Raises:
        QueryError: it tests a label or a pattern (see `allowed_rows`), or an unknown column.
    """
    if isinstance(node, WhereNot):
        return not_(compile_where(node.child, columns))
    if isinstance(node, WhereAnd):
        return and_(*(compile_where(child, columns) for child in node.children))
    if isinstance(node, WhereOr):
        return or_(*(compile_where(child, columns) for child in node.children))
    if isinstance(node, LabelIs):
        raise QueryError(f"the stored label {node.label} is no column of the database: filter by rows")
    if isinstance(node, Like):
        raise QueryError(f"a pattern for {node.column} is not matched by the database: filter by rows")
    column = columns.get(node.column)
    if column is None:
        raise QueryError(f"no column {shown(node.column)}: expected one of {', '.join(columns)}")
    if isinstance(node, IsNull):
        return column.is_(None)
    # SQL's third truth value ends here: a test of a missing value is false, and `not` turns it round.
    return func.coalesce(_test(node, column), false())


def _test(node: Comparison | Membership, column: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(node, Comparison):
        found: ColumnElement[bool] = COMPARISONS[node.operator](column, _bound(node.value))
        return found
    # Numbers with and without fraction are bound apart: one list has one type.
    kinds: dict[type, list[Value]] = {}
    for value in node.values:
        kinds.setdefault(type(value), []).append(value)
    return or_(
        *(
            column.in_(bindparam(None, values, type_=_SQL_TYPES[kind], expanding=True, unique=True))
            for kind, values in kinds.items()
        )
    )


def _bound(value: Value) -> ColumnElement[Any]:
    return literal(value, _SQL_TYPES[type(value)])


def allowed_rows(
    node: Where,
    ids: I64,
    *,
    columns: Mapping[str, ColumnElement[Any]],
    select_ids: Callable[[ColumnElement[bool]], I64],
    texts: Callable[[str], NDArray[np.str_]],
    stored: I8 | None = None,
    label_names: Sequence[str] = (),
    measured: Mapping[str, F32] = MappingProxyType({}),
) -> Bool:
    """Which images satisfy a condition.

    Args:
        node: From `parse_where` with these columns and labels.
        ids: int64 [N], the images asked about.
        columns: The columns that may be named.
        select_ids: Ids of all images that satisfy an SQL expression over these columns.
        texts: The values of a column of text, str [N], '' where there is none.
        stored: Stored labels with overrides applied, int8 [N, L]; needed where labels are tested.
        label_names: Their L names.
        measured: Columns that no database has, float32 [N] each; NaN where nothing was measured.

    Returns:
        bool [N].

    Raises:
        QueryError: labels are tested and there are none.
    """
    if not _is_beyond(node, measured):
        return np.isin(ids, select_ids(compile_where(node, columns)))
    if isinstance(node, LabelIs):
        if stored is None or node.label not in label_names:
            raise QueryError(f"no stored label {shown(node.label)} to filter by: import labels first")
        kept: Bool = stored[:, list(label_names).index(node.label)] == node.value
        return kept

    if isinstance(node, Like):
        return alike(node.pattern, texts(node.column))
    if isinstance(node, Comparison | Membership | IsNull):  # others were answered above
        return _test_measured(node, measured[node.column])

    inner = partial(
        allowed_rows,
        ids=ids,
        columns=columns,
        select_ids=select_ids,
        texts=texts,
        stored=stored,
        label_names=label_names,
        measured=measured,
    )
    if isinstance(node, WhereNot):
        return ~inner(node.child)
    if not isinstance(node, WhereAnd | WhereOr):  # all else is a test of a column
        raise QueryError(f"a condition of kind {type(node).__name__} is for the database")
    # What the database answers is one statement instead of one each.
    beyond = [_is_beyond(child, measured) for child in node.children]
    plain = tuple(child for child, apart in zip(node.children, beyond, strict=True) if not apart)
    masks = [inner(child) for child, apart in zip(node.children, beyond, strict=True) if apart]
    if plain:
        masks.append(inner(plain[0] if len(plain) == 1 else type(node)(plain)))
    return reduce(np.logical_and if isinstance(node, WhereAnd) else np.logical_or, masks)


def _is_beyond(node: Where, measured: Mapping[str, F32]) -> bool:
    """Whether a condition holds a test that the database cannot answer."""
    return any(isinstance(test, Like | LabelIs) or test.column in measured for test in tests_of(node))


def _test_measured(node: Comparison | Membership | IsNull, values: F32) -> Bool:
    """A test of numbers, bool [N]; what was not measured passes none but `is null`."""
    if isinstance(node, IsNull):
        return np.isnan(values)
    if isinstance(node, Membership):
        return np.isin(values, np.asarray(node.values, np.float32))
    found: Bool = COMPARISONS[node.operator](values, np.asarray(node.value, np.float32))
    return found


def tests_column(node: Where, column: str) -> bool:
    """Whether a condition tests a column anywhere."""
    return any(not isinstance(test, LabelIs) and test.column == column for test in tests_of(node))


def tests_labels(node: Where) -> bool:
    """Whether a condition tests stored labels anywhere."""
    return _tests_beyond(node, LabelIs)


def _tests_beyond(node: Where, kinds: type | UnionType) -> bool:
    """Whether a condition holds a test of one of these kinds anywhere."""
    return any(isinstance(test, kinds) for test in tests_of(node))
