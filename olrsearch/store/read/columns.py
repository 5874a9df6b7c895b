"""What is known of an image, by the columns that a filter may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from sqlalchemy import Column, ColumnElement, Integer
from sqlalchemy.sql.sqltypes import DateTime

from olrsearch.store.sql import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from olrsearch.store.sql.ids import AnySelect

SqlFilter: TypeAlias = ColumnElement[bool]
"""A condition over `FILTER_COLUMNS`."""

FILTER_COLUMNS: Final[Mapping[str, Column[Any]]] = {
    "id": schema.image.c.id,
    "key": schema.image.c.key,
    "dataset": schema.dataset.c.name,
    "uri": schema.source.c.uri,
    "partition": schema.image.c.partition,
    "identity": schema.image.c.identity,
    "person": schema.person.c.name,
    "width": schema.image.c.width,
    "height": schema.image.c.height,
    "size_bytes": schema.source.c.size_bytes,
    "created_at": schema.image.c.created_at,
}
"""The columns a filter may name and `Snapshot.columns` reads."""


def with_source(statement: AnySelect) -> AnySelect:
    """A SELECT from `image`, joined with each image's source and data set, and the person if it is named."""
    i, s, d, p = schema.image.c, schema.source.c, schema.dataset.c, schema.person.c
    return (
        statement.join_from(schema.image, schema.source, i.source_id == s.id)
        .join(schema.dataset, i.dataset_id == d.id)
        .outerjoin(schema.person, i.identity == p.id)
    )


def as_array(values: list[Any], column: Column[Any]) -> NDArray[Any]:
    """Values of a column as `Snapshot.columns` gives them; −1 and '' stand for none."""
    if isinstance(column.type, DateTime):
        return np.array(values, "datetime64[us]")
    if isinstance(column.type, Integer):
        return np.fromiter((-1 if value is None else value for value in values), np.int64, len(values))
    return np.array(["" if value is None else value for value in values], np.str_)
