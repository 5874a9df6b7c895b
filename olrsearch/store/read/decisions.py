"""Reading decisions: the history, and what of it is in force, as one label revision has it.

Notation: n images asked for, L labels of the store's vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import func, or_, select

from olrsearch.store.decision_rules import VERDICT_CODES, Decision, replay
from olrsearch.store.read.labels import read_rows
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import as_ids, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.core.arrays import I8, I64
    from olrsearch.store.read.snapshot import Snapshot


def read_history(
    snapshot: Snapshot, image_ids: Iterable[int] | I64 | None = None, labels: Sequence[str] | None = None
) -> list[Decision]:
    """The history of decisions, oldest first.

    Args:
        snapshot: What came later is not seen.
        image_ids: Of which images, dead ones too; of all that live when None.
        labels: Of which labels, in any spelling; of all when None.

    Raises:
        UnknownLabelError: no such label; carries the nearest names.
    """
    o, i, d, s = schema.override.c, schema.image.c, schema.dataset.c, schema.source.c
    # A row that was taken over from an image of the same key says where it was decided first.
    first, seen, bytes_seen = (table.alias() for table in (schema.override, schema.image, schema.source))
    said = (o.verdict, o.given, o.value, o.who, o.created_at, o.why, o.run)
    statement = (
        select(o.image_id, d.name, i.key, o.position, *said, bytes_seen.c.sha256, s.sha256)
        .join_from(schema.override, schema.image, o.image_id == i.id)
        .join(schema.dataset, i.dataset_id == d.id)
        .join(schema.source, i.source_id == s.id)
        .outerjoin(first, o.copy_of == first.c.id)
        .join(seen, seen.c.id == func.coalesce(first.c.image_id, o.image_id))
        .join(bytes_seen, seen.c.source_id == bytes_seen.c.id)
        .where(o.revision <= snapshot.label_revision)
        .order_by(func.coalesce(o.copy_of, o.id), o.id)
    )
    if labels is not None:
        statement = statement.where(o.position.in_(snapshot.label_positions(labels)))
    if image_ids is None:
        rows = snapshot.rows(statement.where(snapshot.living()))
    else:
        ids = as_ids(image_ids)
        rows = snapshot.read(statement, lambda connection, asked: rows_of(connection, asked, o.image_id, ids))
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
        for row in rows
    ]


def last_of_key(snapshot: Snapshot, ref: str) -> int | None:
    """The image that had a key last, dead or alive; None where none ever had, or several data sets have it.

    Args:
        snapshot: What came later is not seen.
        ref: `key` or `dataset/key`.
    """
    i, d = schema.image.c, schema.dataset.c
    name, _, key = ref.partition("/")
    statement = (
        select(i.id, d.id)
        .join_from(schema.image, schema.dataset)
        .where(or_(i.key == ref, (d.name == name) & (i.key == key)), i.id <= snapshot.last_image_id)
        .order_by(i.tombstone_version.desc(), i.id.desc())
    )
    rows = snapshot.rows(statement)
    return int(rows[0][0]) if len({dataset for _, dataset in rows}) == 1 else None


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
