"""Writing decisions: all of a call in one transaction and one label revision, or none.

This is the one place where a decision is taken: under the writer's lock its image and its label are
found, what it comes to is settled, and the rows are written; or an error names everything that does not fit.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sqlalchemy import insert

from olrsearch.core.errors import AuditError, QueryError, StoreError, UnknownImageError
from olrsearch.core.names import LONGEST, LabelNames, is_storable, unfit_character
from olrsearch.store.decision_rules import DecisionRequest, settle, stacked
from olrsearch.store.read.columns import FILTER_COLUMNS
from olrsearch.store.read.labels import read_labels, read_rows
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import as_ids, chunks, next_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from olrsearch.store.decision_rules import Settled
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRef
    from olrsearch.store.write.session import WriteSession

    Fault = tuple[int, str]

_UNSTORABLE = "half a character, or the character NUL"
_MOST = {"who": LONGEST, "run": LONGEST, "why": 10_000}
"""Characters that texts of a decision may have."""
_ON_ONE_LINE = frozenset({"who", "run"})
_SHOWN = 10
"""Faults that an error tells in full; of more it says how many."""


class DecisionWriter:
    """The part of `Writer` that decides labels. Annotations, and earlier decisions, stay as they are."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def decide(
        self,
        requests: Sequence[DecisionRequest],
        *,
        who: str = "",
        run: str | None = None,
        faults: Sequence[Fault] = (),
        file: str = "",
    ) -> int:
        """Writes decisions, in their order: all of them, or none.

        Args:
            requests: Each sees what those before it did. An entry may stand again only in decisions that say
                when they were taken, as those of a history do.
            who: Who decided, where a decision does not say it.
            run: The audit run that led to them, likewise.
            faults: Lines of the file that are no decisions, with what is wrong: then nothing is written.
            file: What the error calls the file; empty where the decisions come from none.

        Returns:
            The new label revision; the present one where there is nothing to decide.

        Raises:
            AuditError: nobody is named who decides; or decisions that cannot be, all of them named: images
                or labels that are not there, accepting or flipping what is unknown, flipping again, undoing
                nothing, a `given` that is not what the store has.
            UnknownImageError: there is one decision, and no such living image.
            UnknownLabelError: there is one decision, and no such label; carries the nearest names.
        """
        if not who.strip() and any(not request.who for request in requests):
            raise AuditError("nobody is named who decides: say who")
        for what, text in (("who decides", who), ("the run", run or "")):
            if not is_storable(text):
                raise AuditError(f"{what} is {text!r}, which no store can keep: {_UNSTORABLE}")
        for name, text in (("who", who), ("run", run or "")):
            if fault := _unfit(name, text):
                raise AuditError(f"nothing was decided: the {name} {fault}")
        with self._session.change(f"{len(requests)} decisions") as change:
            if not requests and not faults:
                return change.now.label_revision
            # Read while the lock is held: nothing changes between the check and the writing.
            snapshot = self._session.snapshot()
            whole, broken = _storable(requests)
            entries, unfit = _find(snapshot, whole, alone=len(requests) == 1 and not faults)
            settled, cannot = _settle(change.connection, snapshot, entries)
            found = [*faults, *broken, *unfit, *cannot]
            if found:
                raise AuditError(_refusal(found, len(requests) + len(faults), file))
            change.now.label_revision += 1
            first, now = next_id(change.connection, schema.override.c.id), schema.utc_now()
            rows = [
                {
                    "id": first + index,
                    "image_id": entry.image,
                    "position": entry.position,
                    "verdict": entry.request.verdict,
                    "given": came.given,
                    "value": came.value,
                    "who": entry.request.who or who,
                    "why": entry.request.why,
                    "run": entry.request.run or run,
                    "created_at": entry.request.when or now,
                    "revision": change.now.label_revision,
                }
                for index, (entry, came) in enumerate(zip(entries, settled, strict=True))
            ]
            change.write(insert(schema.override), rows)
            return change.now.label_revision

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
        names = LabelNames(self._session.snapshot().label_names)
        name, ids = names.find(label), self._session.ids_of(images)
        with self._session.reading():
            self._session.require_living(ids)
        self.decide(
            [DecisionRequest(number, name, "set", value, why=why) for number in ids.tolist()], who=who
        )
        return len(ids)


def _storable(requests: Sequence[DecisionRequest]) -> tuple[list[DecisionRequest], list[Fault]]:
    """The decisions whose texts a database can hold, and what is wrong with the others."""
    whole: list[DecisionRequest] = []
    faults: list[Fault] = []
    for place, request in enumerate(requests, start=1):
        line = place if request.line is None else request.line
        texts = {name: getattr(request, name) for name in ("image", "label", "who", "why", "run")}
        broken = [
            f"the {name} {fault}"
            for name, text in texts.items()
            if isinstance(text, str) and (fault := _unfit(name, text))
        ]
        if broken:
            faults.append((line, broken[0]))
        else:
            whole.append(request)
    return whole, faults


def _unfit(name: str, text: str) -> str | None:
    """What keeps a text of a decision from being stored; None where nothing does."""
    if not is_storable(text):
        return f"holds {_UNSTORABLE}"
    most = _MOST.get(name)
    if most is not None and len(text) > most:
        return f"has {len(text):,} characters; expected at most {most:,}"
    if name in _ON_ONE_LINE and (unfit := unfit_character(text)):
        return f"holds {unfit}; expected a name on one line"
    return None


class _Entry(NamedTuple):
    """A decision whose image and label were found."""

    request: DecisionRequest
    line: int
    image: int
    position: int
    text: str
    """What an error calls the entry."""


def _find(
    snapshot: Snapshot, requests: Sequence[DecisionRequest], *, alone: bool
) -> tuple[list[_Entry], list[Fault]]:
    """The entries of decisions, and what is wrong with those that name none, or one that stands already.

    Args:
        snapshot: What holds under the lock.
        requests: The decisions.
        alone: Whether an error of a name is raised as it is, since nothing else can be wrong.
    """
    entries: list[_Entry] = []
    faults: list[Fault] = []
    images, names = _Images(snapshot, requests), LabelNames(snapshot.label_names)
    first: dict[tuple[int, int], tuple[int, bool]] = {}
    for place, request in enumerate(requests, start=1):
        line = place if request.line is None else request.line
        try:
            image, position = images.find(request.image), names.position(request.label)
        except QueryError as error:
            if alone:
                raise
            faults.append((line, str(error)))
            continue
        text = f"{request.image}, {names.names[position]}"
        before = first.setdefault((image, position), (line, request.when is not None))
        if before[0] != line and not (before[1] and request.when is not None):
            where = "is decided twice" if request.line is None else f"stands on line {before[0]} already"
            faults.append((line, f"{text}: {where}; keep one of them"))
            continue
        entries.append(_Entry(request, line, image, position, text))
    return entries, faults


def _settle(
    connection: Connection, snapshot: Snapshot, entries: Sequence[_Entry]
) -> tuple[list[Settled], list[Fault]]:
    """What decisions come to, one after another, and those that cannot be."""
    keys = [(entry.image, entry.position) for entry in entries]
    ids = np.unique(as_ids(image for image, _ in keys))
    values = read_labels(connection, ids, len(snapshot.label_names), snapshot.label_revision).annotated
    rows = np.searchsorted(ids, [image for image, _ in keys]).tolist()
    annotated = {key: int(values[row, key[1]]) for row, key in zip(rows, keys, strict=True)}
    stacks = stacked(read_rows(connection, ids, snapshot.label_revision))
    settled, faults = settle([entry.request for entry in entries], keys, annotated, stacks)
    return settled, [(entries[at].line, f"{entries[at].text}: {fault}") for at, fault in faults]


def _refusal(faults: list[Fault], total: int, where: str) -> str:
    """Every fault in one line, by their places in the file."""
    faults = sorted(faults)
    if not where:
        return f"nothing was decided: {'; '.join(fault for _, fault in faults[:_SHOWN])}" + (
            f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        )
    told = [f"line {line}: {fault}" for line, fault in faults[:_SHOWN]]
    rest = _ranges([line for line, _ in faults[_SHOWN:]])
    more = f"; and lines {rest}" if rest else ""
    refused = f"{where}: {len(faults)} of {total} decisions do not fit, and none was written"
    return f"{refused}: {'; '.join(told)}{more}"


def _ranges(lines: Sequence[int]) -> str:
    """Ascending line numbers as `3, 5–9, 12`."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line <= runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)


class _Images:
    """Finds images by what people call them, many at once."""

    def __init__(self, snapshot: Snapshot, requests: Sequence[DecisionRequest]) -> None:
        self._snapshot = snapshot
        self._datasets = {info.name for info in snapshot.datasets()}
        self._missing = 0
        self._found: dict[str, int] = {}
        # Ids, and plain keys of one image, are read in bulk; `resolve` says the rest, and what is wrong.
        numbers = [request.image for request in requests if not isinstance(request.image, str)]
        # What no database holds as an id is left to `resolve`, too.
        for some in chunks([number for number in numbers if 0 <= number < 1 << 63]):
            living = snapshot.image_ids(FILTER_COLUMNS["id"].in_(some)).tolist()
            self._found.update((f"id:{number}", number) for number in living)
        wanted = {request.image for request in requests if isinstance(request.image, str)}
        plain = sorted(ref for ref in wanted if not ref.startswith("id:"))
        counts: Counter[str] = Counter()
        for some in chunks(plain):
            ids = snapshot.image_ids(FILTER_COLUMNS["key"].in_(some))
            keys: list[str] = snapshot.columns(ids, ("key",))["key"].tolist()
            counts.update(keys)
            self._found.update(zip(keys, ids.tolist(), strict=True))
        self._shared = {key for key, count in counts.items() if count > 1}

    def find(self, ref: int | str) -> int:
        """The id of a living image.

        Raises:
            UnknownImageError: no living image is meant, or several are.
        """
        text = ref if isinstance(ref, str) else f"id:{ref}"
        if text in self._found and text not in self._shared:
            return self._found[text]
        otherwise = text in self._shared or text.startswith("id:") or text.isdecimal()
        if self._missing >= _SHOWN and not otherwise and text.partition("/")[0] not in self._datasets:
            # The nearest keys of each of many thousand lines of another data set would take an hour.
            raise UnknownImageError(f"no image {text!r} in {self._snapshot.folder}")
        try:
            return self._snapshot.resolve(text)
        except UnknownImageError:
            self._missing += 1
            raise
