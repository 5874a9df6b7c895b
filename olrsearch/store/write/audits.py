"""Registering finished audits: who they are, what they suspect.

A run's arrays lie in `runs/<name>` (`olrsearch.store.audit_runs`) and are whole before a row names the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import chunks
from olrsearch.store.write.session import plain_json

if TYPE_CHECKING:
    import datetime as dt

    from olrsearch.core.arrays import F32, I8, I64
    from olrsearch.store.sql.commit import Change
    from olrsearch.store.write.session import WriteSession

_ROWS = 10_000


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


class AuditWriter:
    """The part of `Writer` that registers audits."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def set(
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
        a = schema.audit_run
        values = {
            "space_id": space_id,
            "label_revision": label_revision,
            "created_at": created_at,
            "finished_at": schema.utc_now(),
            "config": plain_json(config, "what an audit says"),
            "summary": plain_json(summary, "what an audit says"),
        }
        with self._session.change(f"audit {name}") as change:
            number = change.connection.scalar(select(a.c.id).where(a.c.name == name))
            if number is None:
                number = change.add(a, name=name, **values)
            else:
                change.write(update(a).where(a.c.id == number).values(**values))
                _forget_suspects(change, number)
            _write_suspects(change, number, suspects)

    def remove(self, name: str) -> bool:
        """Forgets an audit; says whether there was one. Its folder is the caller's to remove."""
        a = schema.audit_run
        with self._session.change(f"audit {name} removed") as change:
            number = change.connection.scalar(select(a.c.id).where(a.c.name == name))
            if number is not None:
                _forget_suspects(change, number)
                change.write(delete(a).where(a.c.id == number))
            return number is not None


def _forget_suspects(change: Change, number: int) -> None:
    change.write(delete(schema.audit_suspect).where(schema.audit_suspect.c.run_id == number))


def _write_suspects(change: Change, number: int, suspects: Suspects) -> None:
    names = ("position", "image_id", "given", "score", "present")
    columns = zip(*(getattr(suspects, name).tolist() for name in names), strict=True)
    rows = [
        {"run_id": number, "rank": rank, **dict(zip(names, values, strict=True))}
        for rank, values in enumerate(columns, 1)
    ]
    for some in chunks(rows, _ROWS):
        change.write(insert(schema.audit_suspect), some)
