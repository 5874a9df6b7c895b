"""Packed labels: one int8 row an image and annotator, decisions laid over them.

Notation: n images asked for, L labels of the store's vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sqlalchemy import select

from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import one_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from olrsearch.core.arrays import I8, I64, Bool

    Row = tuple[tuple[int, int], str, int | None]


def unpack(rows: Sequence[bytes], count: int) -> I8:
    """Packed rows as int8 [n, count]; positions past a row's end are unknown.

    Rows may be longer than `count`: a vocabulary grows, an old snapshot sees its beginning.
    """
    joined = b"".join(row[:count].ljust(count, b"\0") for row in rows)
    return np.frombuffer(joined, np.int8).reshape(len(rows), count)


class StoredLabels(NamedTuple):
    """The labels of n images as one revision has them.

    Attributes:
        effective: int8 [n, L] of −1, 0, +1: annotations with decisions laid over them.
        annotated: int8 [n, L], the annotations alone.
        known: bool [n], who has stored labels at all: a row, or a decision that says a value.
    """

    effective: I8
    annotated: I8
    known: Bool


def read_labels(connection: Connection, ids: I64, count: int, revision: int) -> StoredLabels:
    """Labels of images as one revision has them.

    An annotator's newest row counts as a whole; where several annotators labelled an
    image, the known values of the later annotator count; decisions count most.

    Args:
        connection: Inside a transaction.
        ids: int64 [n], ascending, each once.
        count: L.
        revision: The label revision; what came later is not seen.
    """
    values = np.zeros((ids.size, count), np.int8)
    known = np.zeros(ids.size, np.bool_)
    if not ids.size:
        return StoredLabels(values, values, known)
    a = schema.annotation.c
    rows = connection.execute(
        select(a.annotator_id, a.image_id, a.packed)
        .where(a.revision <= revision, one_of(a.image_id, ids))
        .order_by(a.image_id, a.annotator_id, a.revision)  # as they lie
    ).all()
    annotators = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    images = np.fromiter((row[1] for row in rows), np.int64, len(rows))
    packed = unpack([row[2] for row in rows], count)
    places, wanted = _positions(ids, images)
    known[places[wanted]] = True
    for annotator in np.unique(annotators):
        mine = wanted & (annotators == annotator)
        own = np.zeros_like(values)
        # Rows come by revision, and of assignments to the same place the last one stays.
        own[places[mine]] = packed[mine]
        values = np.where(own != 0, own, values)
    effective = values.copy()
    for (image, position), value in read_overrides(connection, ids, revision).items():
        row = int(np.searchsorted(ids, image))
        effective[row, position] = value
        known[row] = True
    return StoredLabels(effective, values, known)


def read_overrides(connection: Connection, ids: I64, revision: int) -> dict[tuple[int, int], int]:
    """Decisions in force, `(image id, label position) → value`; arguments as of `read_rows`."""
    latest = {entry: value for entry, _, value in read_rows(connection, ids, revision)}
    return {entry: value for entry, value in latest.items() if value is not None}


def read_rows(connection: Connection, ids: I64, revision: int) -> list[Row]:
    """The history of images in its order: ((image id, label position), verdict, value) a row.

    Args:
        connection: Inside a transaction.
        ids: int64 [n].
        revision: The label revision; what came later is not seen.
    """
    o = schema.override.c
    statement = select(o.image_id, o.position, o.verdict, o.value).where(o.revision <= revision)
    rows = rows_of(connection, statement.order_by(o.id), o.image_id, ids)
    return [((image, position), verdict, value) for image, position, verdict, value in rows]


def _positions(ids: I64, images: I64) -> tuple[I64, Bool]:
    """Where each image stands in the ascending `ids`, and whether it does at all."""
    where = np.minimum(np.searchsorted(ids, images), ids.size - 1)
    return where.astype(np.int64, copy=False), ids[where] == images
