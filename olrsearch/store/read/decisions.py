"""Reading decisions: the history, and what of it is in force, as one label revision has it.

Notation: n images asked for, L labels of the store's vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

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
    o, i, d = schema.override.c, schema.image.c, schema.dataset.c
    said = (o.verdict, o.given, o.value, o.who, o.created_at, o.why, o.run)
    statement = (
        select(o.image_id, d.name, i.key, o.position, *said)
        .join_from(schema.override, schema.image, o.image_id == i.id)
        .join(schema.dataset, i.dataset_id == d.id)
        .where(o.revision <= snapshot.label_revision)
        .order_by(o.id)
    )
    if labels is not None:
        statement = statement.where(o.position.in_(snapshot.label_positions(labels)))
    with snapshot.reading() as connection:
        if image_ids is None:
            rows = connection.execute(statement.where(snapshot.living())).all()
        else:
            rows = rows_of(connection, statement, o.image_id, as_ids(image_ids))
    return [
        Decision(image, dataset, key, snapshot.label_names[position], *others)
        for image, dataset, key, position, *others in rows
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
