"""Keys as a generation has them: an import that finds a file under another name renames its image.

A SELECT speaks of `image.key`, the newest. Where an image was renamed since a snapshot was taken, the
snapshot asks again with the key that holds for its generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import bindparam, func, select
from sqlalchemy.sql import visitors

from olrsearch.store.sql import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from olrsearch.store.sql.ids import AnySelect

_RENAMED = (
    select(schema.former_key.c.until).where(schema.former_key.c.until > bindparam("generation")).limit(1)
)
"""Made once: it is asked after every SELECT."""


def renamed_since(connection: Connection, generation: int) -> bool:
    """Whether any image was renamed after a generation.

    To be asked after a SELECT of keys, in its transaction: what the SELECT has seen is seen here too, even
    where each statement sees what was committed meanwhile.
    """
    return connection.execute(_RENAMED, {"generation": generation}).first() is not None


def with_keys_of(statement: AnySelect, generation: int) -> AnySelect:
    """A SELECT with the keys that images had in a generation, in place of their present ones."""
    f, key = schema.former_key.c, schema.image.c.key
    former = (
        select(f.key)
        .where(f.image_id == schema.image.c.id, f.until > generation)
        .order_by(f.until)
        .limit(1)
        .correlate(schema.image)
        .scalar_subquery()
    )
    held = func.coalesce(former, key)

    def replace(element: Any, **_: Any) -> Any:  # noqa: ANN401 - any part of a statement
        return held if element is key else None

    return cast("AnySelect", visitors.replacement_traverse(statement, {}, replace))
