"""Finished audits in the metadata: who they are, what they suspect; written and read.

A run's arrays lie in `runs/<name>` (`olrsearch.store.audit_runs`) and are whole before a row names the run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, delete, func, insert, select, update

from olrsearch.core.errors import StoreError
from olrsearch.store.audit_runs import RUNS
from olrsearch.store.sql import schema
from olrsearch.store.sql.database import translated
from olrsearch.store.write.importing import chunks, next_id
from olrsearch.store.write.writing import WriterBase

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from sqlalchemy import ColumnElement, Connection

    from olrsearch.core.arrays import F32, I8, I64
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot

_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class AuditInfo:
    """A finished audit.

    Attributes:
        name: Of its folder.
        path: Its folder.
        space: Name of the space it looked at.
        fingerprint: Of that space's encoder.
        label_revision: Of the labels it looked at.
        created_at: When it began, UTC.
        finished_at: When its ranking was made, UTC.
        config: Its settings.
        summary: What it came to.
    """

    name: str
    path: Path
    space: str
    fingerprint: str
    label_revision: int
    created_at: dt.datetime
    finished_at: dt.datetime
    config: dict[str, Any]
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Suspected entries as arrays, most suspicious first.

    Attributes:
        position: int64 [n], positions of labels in the store's vocabulary.
        image_id: int64 [n].
        given: int8 [n], −1 or +1.
        score: float32 [n], probability of what is given, ascending.
        present: float32 [n], probability that the label is present.
    """

    position: I64
    image_id: I64
    given: I8
    score: F32
    present: F32


@dataclass(frozen=True, slots=True)
class Suspect:
    """One suspected entry of a living image."""

    rank: int
    image_id: int
    key: str
    position: int
    given: int
    score: float
    present: float


class AuditWriter(WriterBase):
    """The part of `Writer` that registers audits."""

    def set_audit(
        self,
        name: str,
        *,
        space_id: int,
        label_revision: int,
        created_at: dt.datetime,
        config: dict[str, Any],
        summary: dict[str, Any],
        suspects: Suspects,
    ) -> None:
        """Registers an audit whose arrays are durable, in place of what was registered under its name.

        Args:
            name: Of its folder.
            space_id: The space it looked at.
            label_revision: Of the labels it looked at.
            created_at: When it began, UTC.
            config: Its settings, JSON-ready.
            summary: What it came to, JSON-ready.
            suspects: Its most suspicious entries.

        Raises:
            StoreError: settings or summary are not JSON.
        """
        try:
            plain = json.loads(json.dumps([config, summary], allow_nan=False))
        except (TypeError, ValueError) as error:
            raise StoreError(f"what an audit says must be plain JSON: {error}") from error
        a = schema.audit_run
        values = {
            "space_id": space_id,
            "label_revision": label_revision,
            "created_at": created_at,
            "finished_at": schema.utc_now(),
            "config": plain[0],
            "summary": plain[1],
        }
        with self._change(f"audit {name}") as change:
            connection = change.connection
            number = connection.scalar(select(a.c.id).where(a.c.name == name))
            if number is None:
                number = next_id(connection, a.c.id)
                connection.execute(insert(a).values(id=number, name=name, **values))
            else:
                connection.execute(update(a).where(a.c.id == number).values(**values))
                _forget_suspects(connection, number)
            _write_suspects(connection, number, suspects)
            change.touched = True

    def remove_audit(self, name: str) -> bool:
        """Forgets an audit; says whether there was one. Its folder is the caller's to remove."""
        a = schema.audit_run
        with self._change(f"audit {name} removed") as change:
            number = change.connection.scalar(select(a.c.id).where(a.c.name == name))
            if number is None:
                return False
            _forget_suspects(change.connection, number)
            change.connection.execute(delete(a).where(a.c.id == number))
            change.touched = True
            return True


def read_audits(store: Backend) -> list[AuditInfo]:
    """Finished audits, the oldest first."""
    a, s = schema.audit_run.c, schema.space.c
    statement = (
        select(
            a.name, s.name, s.fingerprint, a.label_revision, a.created_at, a.finished_at, a.config, a.summary
        )
        .join_from(schema.audit_run, schema.space)
        .order_by(a.name)
    )
    with translated(store.path), store.engine.begin() as connection:
        rows = connection.execute(statement).all()
    return [AuditInfo(row[0], store.path / RUNS / row[0], *row[1:]) for row in rows]


def read_suspects(
    store: Backend,
    snapshot: Snapshot,
    run: str,
    *,
    position: int | None = None,
    given: int | None = None,
    after: int = 0,
    count: int,
) -> list[Suspect]:
    """Suspected entries of living images, most suspicious first.

    Args:
        store: The store.
        snapshot: Says which images live.
        run: Name of the audit.
        position: Only of this label.
        given: Only entries that are stored so, −1 or +1.
        after: Only those of a higher rank.
        count: At most so many.
    """
    i, x = schema.image.c, schema.audit_suspect.c
    statement = (
        select(x.rank, x.image_id, i.key, x.position, x.given, x.score, x.present)
        .join_from(schema.audit_suspect, schema.image, x.image_id == i.id)
        .where(*_of(run, position, given), x.rank > after, snapshot.living())
        .order_by(x.rank)
        .limit(count)
    )
    with translated(store.path), store.engine.begin() as connection:
        return [Suspect(*row) for row in connection.execute(statement)]


def count_suspects(
    store: Backend, snapshot: Snapshot, run: str, *, position: int | None = None, given: int | None = None
) -> int:
    """How many suspected entries of living images there are; arguments as of `read_suspects`."""
    i, x = schema.image.c, schema.audit_suspect.c
    statement = (
        select(func.count(None, type_=Integer))
        .select_from(schema.audit_suspect.join(schema.image, x.image_id == i.id))
        .where(*_of(run, position, given), snapshot.living())
    )
    with translated(store.path), store.engine.begin() as connection:
        return int(connection.scalar(statement) or 0)


def _of(run: str, position: int | None, given: int | None) -> list[ColumnElement[bool]]:
    x = schema.audit_suspect.c
    number = select(schema.audit_run.c.id).where(schema.audit_run.c.name == run).scalar_subquery()
    conditions: list[ColumnElement[bool]] = [x.run_id == number]
    if position is not None:
        conditions.append(x.position == position)
    if given is not None:
        conditions.append(x.given == given)
    return conditions


def _forget_suspects(connection: Connection, number: int) -> None:
    connection.execute(delete(schema.audit_suspect).where(schema.audit_suspect.c.run_id == number))


def _write_suspects(connection: Connection, number: int, suspects: Suspects) -> None:
    columns = zip(
        suspects.position.tolist(),
        suspects.image_id.tolist(),
        suspects.given.tolist(),
        suspects.score.tolist(),
        suspects.present.tolist(),
        strict=True,
    )
    rows = [
        {
            "run_id": number,
            "rank": rank,
            "position": position,
            "image_id": image,
            "given": given,
            "score": score,
            "present": present,
        }
        for rank, (position, image, given, score, present) in enumerate(columns, 1)
    ]
    for some in chunks(rows, _ROWS):
        connection.execute(insert(schema.audit_suspect), some)
