"""Finished audits in the metadata: who they are, what they suspect.

A run's arrays lie in `runs/<name>` (`olrsearch.store.audit_runs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, func, select

from olrsearch.core.errors import StoreCorruptError
from olrsearch.store.files import RUNS
from olrsearch.store.read.stored_json import RESTORE, Place
from olrsearch.store.sql import schema

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement

    from olrsearch.store.read.snapshot import Snapshot


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


def read_audits(
    snapshot: Snapshot, damaged: Callable[[StoreCorruptError], None] | None = None
) -> list[AuditInfo]:
    """Finished audits of a store, the oldest first; also those finished since the snapshot.

    Args:
        snapshot: Of the store.
        damaged: Takes note of an audit that cannot be read, which is then left out; raised when None.

    Raises:
        StoreCorruptError: settings or summary of an audit are not what they should be.
    """
    a, s = schema.audit_run.c, schema.space.c
    statement = (
        select(
            a.name, s.name, s.fingerprint, a.label_revision, a.created_at, a.finished_at, a.config, a.summary
        )
        .join_from(schema.audit_run, schema.space)
        .order_by(a.name)
    )
    found = []
    for name, *others, config, summary in snapshot.rows(statement):
        advice = f"`olrsearch audit delete {name}` and audit again, or {RESTORE}"
        places = [Place("audit_run", name, column, advice) for column in ("config", "summary")]
        try:
            said = [place.record(value) for place, value in zip(places, (config, summary), strict=True)]
        except StoreCorruptError as error:
            if damaged is None:
                raise
            damaged(error)
        else:
            found.append(AuditInfo(name, snapshot.folder / RUNS / name, *others, *said))
    return found


def read_suspects(
    snapshot: Snapshot,
    run: str,
    *,
    positions: Sequence[int] | None = None,
    given: int | None = None,
    after: int = 0,
    count: int,
) -> list[Suspect]:
    """Suspected entries of living images, most suspicious first.

    Args:
        snapshot: Says which images live.
        run: Name of the audit.
        positions: Only of these labels.
        given: Only entries that are stored so, −1 or +1.
        after: Only those of a higher rank.
        count: At most so many.
    """
    i, x = schema.image.c, schema.audit_suspect.c
    statement = (
        select(x.rank, x.image_id, i.key, x.position, x.given, x.score, x.present)
        .join_from(schema.audit_suspect, schema.image, x.image_id == i.id)
        .where(*_of(run, positions, given), x.rank > after, snapshot.living())
        .order_by(x.rank)
        .limit(count)
    )
    return [Suspect(*row) for row in snapshot.rows(statement)]


def count_suspects(
    snapshot: Snapshot, run: str, *, positions: Sequence[int] | None = None, given: int | None = None
) -> int:
    """How many suspected entries of living images there are; arguments as of `read_suspects`."""
    i, x = schema.image.c, schema.audit_suspect.c
    statement = (
        select(func.count(None, type_=Integer))
        .select_from(schema.audit_suspect.join(schema.image, x.image_id == i.id))
        .where(*_of(run, positions, given), snapshot.living())
    )
    return int(snapshot.rows(statement)[0][0])


def count_gone(
    snapshot: Snapshot,
    run: str,
    *,
    positions: Sequence[int] | None = None,
    given: int | None = None,
    suggested: int | None = None,
) -> int:
    """How many suspected entries are of images that were deleted or replaced.

    Args:
        snapshot: Says which images live.
        run: Name of the audit.
        positions: Only of these labels.
        given: Only entries that are stored so, −1 or +1.
        suggested: Only entries that the evidence finds so, −1 or +1.
    """
    i, x = schema.image.c, schema.audit_suspect.c
    conditions = _of(run, positions, given)
    if suggested is not None:
        conditions.append(x.present >= 0.5 if suggested > 0 else x.present < 0.5)
    statement = (
        select(func.count(None, type_=Integer))
        .select_from(schema.audit_suspect.join(schema.image, x.image_id == i.id))
        .where(*conditions, i.tombstone_version <= snapshot.tombstone_version)
    )
    return int(snapshot.rows(statement)[0][0])


def _of(run: str, positions: Sequence[int] | None, given: int | None) -> list[ColumnElement[bool]]:
    x = schema.audit_suspect.c
    number = select(schema.audit_run.c.id).where(schema.audit_run.c.name == run).scalar_subquery()
    conditions: list[ColumnElement[bool]] = [x.run_id == number]
    if positions is not None:
        conditions.append(x.position.in_(positions))
    if given is not None:
        conditions.append(x.given == given)
    return conditions
