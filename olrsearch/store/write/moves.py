"""Images whose files have other names now, or are gone: keys change, ids and all that hangs on them stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select, update

from olrsearch.core.errors import UnknownImageError
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import chunks, next_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.store.sql.commit import Change
    from olrsearch.store.values import Move


def rename(change: Change, moves: Sequence[Move]) -> None:
    """Gives images other keys and sources, all at once: names may be swapped.

    A generation before this one keeps the keys it knows (`read.keys`).

    Args:
        change: The transaction.
        moves: Images, each once; no other living image of the data set has one of the new keys.

    Raises:
        UnknownImageError: one of them is not there.
    """
    if not moves:
        return
    i, f = schema.image, schema.former_key
    before = {
        row.id: row
        for some in chunks([move.id for move in moves])
        for row in change.connection.execute(
            select(i.c.id, i.c.key, i.c.dataset_id, i.c.source_id).where(i.c.id.in_(some))
        )
    }
    strange = [move.id for move in moves if move.id not in before]
    if strange:
        raise UnknownImageError(f"no image has the id {strange[0]}: nothing is renamed")
    change.write(
        insert(f),
        [{"image_id": move.id, "until": change.now.generation, "key": before[move.id].key} for move in moves],
    )
    by_number = update(i).where(i.c.id == bindparam("number"))
    # Living keys are unique at every moment, and no key has a line's end.
    change.write(
        by_number.values(key=bindparam("new_key")),
        [{"number": move.id, "new_key": f"\n{move.id}"} for move in moves],
    )
    sources = _sources(change, {move.id: before[move.id].source_id for move in moves}, moves)
    change.write(
        by_number.values(key=bindparam("new_key"), source_id=bindparam("new_source")),
        [{"number": move.id, "new_key": move.key, "new_source": sources[move.id]} for move in moves],
    )


def _sources(change: Change, held: dict[int, int], moves: Sequence[Move]) -> dict[int, int]:
    """The source of every image that moves: the same bytes under another uri; added where there is none."""
    s = schema.source
    rows = {
        row.id: row
        for some in chunks(sorted(set(held.values())))
        for row in change.connection.execute(select(s).where(s.c.id.in_(some)))
    }
    there = {
        (row.dataset_id, row.uri, row.sha256): row.id
        for some in chunks(sorted({move.uri for move in moves}))
        for row in change.connection.execute(select(s).where(s.c.uri.in_(some)))
    }
    new: list[dict[str, object]] = []
    number = next_id(change.connection, s.c.id)
    found: dict[int, int] = {}
    for move in moves:
        was = rows[held[move.id]]
        place = (was.dataset_id, move.uri, was.sha256)
        if place not in there:
            there[place] = number + len(new)
            new.append({**was._asdict(), "id": there[place], "uri": move.uri})
        found[move.id] = there[place]
    if new:
        change.write(insert(s), new)
    return found
