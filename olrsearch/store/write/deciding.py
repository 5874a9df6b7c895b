"""Writing decisions: all of a call in one transaction and one label revision, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import insert, select

from olrsearch.core.errors import AuditError, StoreError
from olrsearch.core.names import LabelNames
from olrsearch.store.decisions import NewDecision, settle
from olrsearch.store.read.decisions import read_stacks
from olrsearch.store.read.labels import read_labels
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import as_ids, next_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from olrsearch.store.decisions import Settled
    from olrsearch.store.values import ImageRef
    from olrsearch.store.write.session import WriteSession

SHOWN = 20
"""Faults that an error tells in full; of more it says how many."""


class DecisionWriter:
    """The part of `Writer` that decides labels. Annotations, and earlier decisions, stay as they are."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def decide(
        self,
        decisions: Sequence[NewDecision],
        refuse: Callable[[Sequence[tuple[int, str]]], None] | None = None,
    ) -> int:
        """Writes decisions, in their order; nothing is written when anything is raised.

        Args:
            decisions: Each sees what those before it did; an entry may occur several times.
            refuse: Is given what is wrong with decisions, as their positions with a text each, and raises
                if that, or what else its caller knows, is a reason to write none. Called once, also where
                nothing is wrong. When None any fault is a reason.

        Returns:
            The new label revision; the present one where there is nothing to decide.

        Raises:
            AuditError: decisions that cannot be, all of them named: accepting or flipping what is unknown,
                flipping again, undoing nothing, a `given` that is not what the store has.
            UnknownImageError: an id is no living image.
            UnknownLabelError: no such label; carries the nearest names.
        """
        with self._session.change(f"{len(decisions)} decisions") as change:
            entries, settled, faults = _settled(
                change.connection, decisions, self._names(), change.label_revision
            )
            self._session.require_living(np.unique(as_ids(image for image, _ in entries)))
            if refuse is not None:
                refuse(faults)
            elif faults:
                raise AuditError(
                    f"{len(faults)} of {len(decisions)} decisions cannot be, and none was written: "
                    + listed([f"{_place(decisions[index])}: {fault}" for index, fault in faults])
                )
            if not decisions:
                return change.label_revision
            change.label_revision += 1
            first, now = next_id(change.connection, schema.override.c.id), schema.utc_now()
            rows = [
                {
                    "id": first + index,
                    "image_id": image,
                    "position": position,
                    "verdict": decision.verdict,
                    "given": came.given,
                    "value": came.value,
                    "who": decision.who,
                    "why": decision.why,
                    "run": decision.run,
                    "created_at": decision.when or now,
                    "revision": change.label_revision,
                }
                for index, (decision, (image, position), came) in enumerate(
                    zip(decisions, entries, settled, strict=True)
                )
            ]
            change.connection.execute(insert(schema.override), rows)
            change.touched = True
            return change.label_revision

    def set(self, images: Iterable[ImageRef], label: str, value: int | None, *, who: str, why: str) -> int:
        """Decides a label of images by setting it.

        Args:
            images: Living images, by ids or keys; one may stand twice.
            label: A label of the vocabulary, in any spelling.
            value: −1, 0 or +1; None puts the annotation in force again.
            who: Who decided.
            why: For what reason.

        Returns:
            How many images they are.

        Raises:
            UnknownImageError: no living image is meant, or several are.
            UnknownLabelError: no such label; carries the nearest names.
            StoreError: another value.
        """
        if value not in {-1, 0, 1, None}:
            raise StoreError(f"a label cannot be set to {value!r}: expected −1, 0, 1 or None")
        with self._session.reading():
            name = self._names().find(label)
        ids = self._session.ids_of(images).tolist()
        self.decide([NewDecision(number, name, "set", who, why, value=value) for number in ids])
        return len(ids)

    def _names(self) -> LabelNames:
        """The vocabulary; inside a transaction."""
        column = schema.label.c
        return LabelNames(
            tuple(self._session.connection.scalars(select(column.name).order_by(column.position)))
        )


def _settled(
    connection: Connection, decisions: Sequence[NewDecision], names: LabelNames, revision: int
) -> tuple[list[tuple[int, int]], list[Settled], list[tuple[int, str]]]:
    """The entries of decisions, what they come to, and their faults."""
    spelt = {label: names.position(label) for label in {decision.label for decision in decisions}}
    entries = [(decision.image_id, spelt[decision.label]) for decision in decisions]
    ids = np.unique(as_ids(image for image, _ in entries))
    values, _ = read_labels(connection, ids, len(names.names), revision, overrides=False)
    annotated = {
        (image, position): int(values[np.searchsorted(ids, image), position]) for image, position in entries
    }
    return entries, *settle(decisions, entries, annotated, read_stacks(connection, ids, revision))


def _place(decision: NewDecision) -> str:
    return decision.place or f"image {decision.image_id}, {decision.label}"


def listed(faults: Sequence[str]) -> str:
    """Faults in one line, the first `SHOWN` in full."""
    more = len(faults) - SHOWN
    return "; ".join(faults[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
