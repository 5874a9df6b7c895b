"""Reading decisions: the history, and what of it is in force, as one label revision has it.

Notation: n images asked for, L labels of the store's vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import func, or_, select

from olrsearch.core.errors import UnknownImageError
from olrsearch.store.decision_rules import VERDICT_CODES, Decision, replay
from olrsearch.store.read.labels import read_rows
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import as_ids, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.core.arrays import I8, I64
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRef


def read_history(
    snapshot: Snapshot, image_ids: Iterable[int] | I64 | None = None, labels: Sequence[str] | None = None
) -> list[Decision]:
    """The history of decisions, oldest first.

    Args:
        snapshot: What came later is not seen.
        image_ids: Of which images, dead ones too; of all that live when None. Where both an image and the
            one that took its decisions over are asked for, they are told once.
        labels: Of which labels, in any spelling; of all when None.

    Raises:
        UnknownLabelError: no such label; carries the nearest names.
    """
    o, i, d, s = schema.override.c, schema.image.c, schema.dataset.c, schema.source.c
    # A row that was taken over from an image of the same key says where it was decided first.
    first, seen, bytes_seen = (table.alias() for table in (schema.override, schema.image, schema.source))
    first_row = func.coalesce(o.copy_of, o.id)
    said = (o.verdict, o.given, o.value, o.who, o.created_at, o.why, o.run)
    statement = (
        select(o.image_id, d.name, i.key, o.position, *said, bytes_seen.c.sha256, s.sha256, first_row)
        .join_from(schema.override, schema.image, o.image_id == i.id)
        .join(schema.dataset, i.dataset_id == d.id)
        .join(schema.source, i.source_id == s.id)
        .outerjoin(first, o.copy_of == first.c.id)
        .join(seen, seen.c.id == func.coalesce(first.c.image_id, o.image_id))
        .join(bytes_seen, seen.c.source_id == bytes_seen.c.id)
        .where(o.revision <= snapshot.label_revision)
        .order_by(first_row, o.id)
    )
    if labels is not None:
        statement = statement.where(o.position.in_(snapshot.label_positions(labels)))
    if image_ids is None:
        rows = snapshot.rows(statement.where(snapshot.living()))
    else:
        ids = as_ids(image_ids)
        rows = snapshot.read(statement, lambda connection, asked: rows_of(connection, asked, o.image_id, ids))
    # The newest of the rows that repeat each other under one key.
    told = {(row[13], row[1], row[2]): row for row in rows}
    return [
        Decision(
            image_id=row[0],
            dataset=row[1],
            key=row[2],
            label=snapshot.label_names[row[3]],
            verdict=row[4],
            given=row[5],
            value=row[6],
            who=row[7],
            when=row[8],
            why=row[9],
            run=row[10],
            sha256=row[11].hex(),
            replaced=row[11] != row[12],
        )
        for row in told.values()
    ]


def read_history_of_key(
    snapshot: Snapshot, image: ImageRef, labels: Sequence[str] | None = None
) -> list[Decision]:
    """Everything that was ever decided for the key of an image, whichever image had it, oldest first.

    Args:
        snapshot: What came later is not seen.
        image: A living image, as `Snapshot.resolve` finds it, or the key of dead ones.
        labels: Of which labels, in any spelling; of all when None.

    Raises:
        UnknownImageError: no image ever had this key, or those of several data sets had it.
        UnknownLabelError: no such label; carries the nearest names.
    """
    i, d = schema.image.c, schema.dataset.c
    images = select(i.id, d.id).join_from(schema.image, schema.dataset)
    statement = images.where(i.id <= snapshot.last_image_id)
    try:
        (row,) = snapshot.images([snapshot.resolve(image)])
    except UnknownImageError:
        name, _, key = str(image).partition("/")
        dead = snapshot.rows(statement.where(or_(i.key == str(image), (d.name == name) & (i.key == key))))
        if len({dataset for _, dataset in dead}) != 1:
            raise
        return read_history(snapshot, [number for number, _ in dead], labels)
    same = snapshot.rows(statement.where(d.name == row.dataset, i.key == row.key))
    # What the image that has the key now did not take over is history alone.
    return [
        item if item.image_id == row.id else replace(item, replaced=True)
        for item in read_history(snapshot, [number for number, _ in same], labels)
    ]


def read_verdicts(
    snapshot: Snapshot, image_ids: Iterable[int] | I64, labels: Sequence[str] | None = None
) -> I8:
    """The verdicts in force, as `decision_rules.VERDICT_CODES`; 0 where nobody has judged.

    Args:
        snapshot: What came later is not seen.
        image_ids: Images, in any order.
        labels: Labels wanted, in this order; the whole vocabulary when None.

    Returns:
        int8 [n, len(labels)].

    Raises:
        UnknownLabelError: no such label; carries the nearest names.
    """
    unique, inverse = np.unique(as_ids(image_ids), return_inverse=True)
    with snapshot.reading() as connection:
        standings = replay(read_rows(connection, unique, snapshot.label_revision))
    codes = np.zeros((unique.size, len(snapshot.label_names)), np.int8)
    for (image, position), standing in standings.items():
        if standing.reviewed:
            codes[np.searchsorted(unique, image), position] = VERDICT_CODES[standing.verdict]
    if labels is not None:
        codes = codes[:, snapshot.label_positions(labels)]
    return codes[inverse]
