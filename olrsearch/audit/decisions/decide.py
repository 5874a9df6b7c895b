"""Decisions on a store's labels: taken one by one or from a file, taken back, written out.

Names are looked up, every decision is checked, and then all of them are written in one
transaction, or none: an error names each one that does not fit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from olrsearch.audit.decisions.export_labels import check_free, write_new
from olrsearch.audit.decisions.files import (
    HISTORY_SUFFIXES,
    DecisionRequest,
    format_history,
    parse_decisions,
    read_decisions,
)
from olrsearch.core.errors import AuditError, OlrsearchError, QueryError, UnknownImageError
from olrsearch.core.names import LabelNames
from olrsearch.store.decisions import NewDecision
from olrsearch.store.read.columns import FILTER_COLUMNS
from olrsearch.store.read.decisions import read_history
from olrsearch.store.sql.ids import chunks
from olrsearch.store.write.deciding import SHOWN, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRow

__all__ = [
    "Decided",
    "DecisionRequest",
    "decide",
    "decide_file",
    "export_decisions",
    "read_decisions",
    "undo",
]


@dataclass(frozen=True, slots=True)
class Decided:
    """What was written.

    Attributes:
        decisions: How many decisions.
        verdicts: How many of each verdict, by its name.
        undecided: Lines of the file that said nothing.
        label_revision: Of the labels from now on.
    """

    decisions: int
    verdicts: dict[str, int]
    undecided: int
    label_revision: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: getattr(self, name) for name in self.__slots__}


def decide(
    backend: Backend, decisions: Iterable[DecisionRequest], *, who: str, run: str | None = None
) -> Decided:
    """Decide entries, all or none.

    Args:
        backend: The store.
        decisions: An entry may stand again only in decisions that say when they were taken, as those of
            a history do.
        who: Who decided, where a decision does not say it.
        run: The audit run that led to them, likewise.

    Raises:
        AuditError: decisions that do not fit the store, all of them named.
        UnknownImageError: there is one decision, and no such image.
        UnknownLabelError: there is one decision, and no such label.
    """
    return _decide(backend, list(decisions), [], who=who, run=run, where="", undecided=0)


def decide_file(backend: Backend, path: Path, *, who: str, run: str | None = None) -> Decided:
    """Decide what a file says, all or nothing; `olrsearch.audit.decisions.files` says what it may hold.

    Args:
        backend: The store.
        path: CSV, or JSON lines such as `export_decisions` writes.
        who: Who decided, where a line does not say it.
        run: The audit run that led to them, likewise.

    Raises:
        AuditError: no such file, or lines that are bad or do not fit the store: all of them are named.
    """
    found = parse_decisions(path)
    if not found.requests and not found.faults:
        raise AuditError(
            f"{path.name} has no decision on any of its {found.undecided} lines; expected accept, flip or "
            "unsure"
        )
    return _decide(
        backend,
        list(found.requests),
        list(found.faults),
        who=who,
        run=run,
        where=path.name,
        undecided=found.undecided,
    )


def undo(backend: Backend, image: int | str, label: str, *, who: str, why: str = "") -> Decided:
    """Take the latest decision on an entry back that was not taken back yet; the history keeps both.

    Raises:
        AuditError: there is none.
        UnknownImageError: no such image.
        UnknownLabelError: no such label; carries the nearest names.
    """
    return decide(backend, [DecisionRequest(image, label, "undo", why=why)], who=who)


def export_decisions(
    snapshot: Snapshot,
    path: Path,
    *,
    images: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    replace: bool = False,
) -> int:
    """Write the history of decisions as JSON lines, whole or not at all.

    Applied to a fresh import of the labels that were decided on, it gives the same labels, and the same
    entries are reviewed.

    Args:
        snapshot: What to read.
        path: `.json` or `.jsonl`.
        images: Ids; all living images when None.
        labels: Labels in any spelling; all when None.
        replace: Whether a file that is there may be written over.

    Returns:
        How many decisions.

    Raises:
        AuditError: nothing was decided yet, another suffix, or the file is there.
        UnknownLabelError: no such label; carries the nearest names.
    """
    if path.suffix.lower() not in HISTORY_SUFFIXES:
        raise AuditError(
            f"a history is written as JSON lines: name the file .json or .jsonl, not {path.name}"
        )
    check_free(path, replace=replace)
    found = read_history(snapshot, images, labels)
    if not found:
        raise AuditError(f"nothing of this was decided yet in {snapshot.folder}: no history to write")
    write_new(path, format_history(found, _references(snapshot, {item.image_id for item in found})))
    return len(found)


def _decide(
    backend: Backend,
    requests: list[DecisionRequest],
    faults: list[tuple[int, str]],
    *,
    who: str,
    run: str | None,
    where: str,
    undecided: int,
) -> Decided:
    if not who.strip() and any(not request.who for request in requests):
        raise AuditError("nobody is named who decides: say who")
    with backend.writer() as writer:
        # Taken under the writer's lock: nothing changes between the check and the writing.
        snapshot = backend.snapshot()
        looked = _Lookup(snapshot, requests, who=who, run=run)
        if looked.error is not None and len(requests) == 1 and not faults:
            raise looked.error

        def refuse(unfitting: Sequence[tuple[int, str]]) -> None:
            found = faults + looked.faults
            found += [
                (looked.lines[index], f"{looked.decisions[index].place}: {fault}")
                for index, fault in unfitting
            ]
            if found:
                raise AuditError(_refusal(found, len(requests) + len(faults), where))

        revision = writer.decisions.decide(looked.decisions, refuse)
    counts = Counter[str](request.verdict for request in requests)
    return Decided(len(requests), dict(counts), undecided, revision)


def _refusal(faults: list[tuple[int, str]], total: int, where: str) -> str:
    """Every fault in one line, by their places in the file."""
    faults = sorted(faults)
    if not where:
        return "nothing was decided: " + listed([fault for _, fault in faults])
    told = [f"line {line}: {fault}" for line, fault in faults[:SHOWN]]
    rest = _ranges([line for line, _ in faults[SHOWN:]])
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


class _Lookup:
    """Requests with their images and labels found.

    Attributes:
        decisions: Those of which both were found and which stand once.
        lines: Of each of them, its line, or its place among the requests.
        faults: Lines, or places, with what is wrong.
        error: The first error of a name that was not found.
    """

    def __init__(
        self, snapshot: Snapshot, requests: Sequence[DecisionRequest], *, who: str, run: str | None
    ) -> None:
        self.decisions: list[NewDecision] = []
        self.lines: list[int] = []
        self.faults: list[tuple[int, str]] = []
        self.error: OlrsearchError | None = None
        images = _Images(snapshot, requests)
        names = LabelNames(snapshot.label_names)
        first: dict[tuple[int, str], tuple[int, bool]] = {}
        for place, request in enumerate(requests, start=1):
            line = place if request.line is None else request.line
            try:
                image, label = images.find(request.image), names.find(request.label)
            except QueryError as error:
                self.error = self.error or error
                self.faults.append((line, str(error)))
                continue
            entry = f"{request.image}, {label}"
            before = first.setdefault((image, label), (line, request.when is not None))
            if before[0] != line and not (before[1] and request.when is not None):
                where = "is decided twice" if request.line is None else f"stands on line {before[0]} already"
                self.faults.append((line, f"{entry}: {where}; keep one of them"))
                continue
            self.lines.append(line)
            self.decisions.append(
                NewDecision(
                    image_id=image,
                    label=label,
                    verdict=request.verdict,
                    who=request.who or who,
                    why=request.why,
                    run=request.run or run,
                    value=request.value,
                    given=request.given,
                    when=request.when,
                    place=entry,
                )
            )


class _Images:
    """Finds images by what people call them, many at once."""

    def __init__(self, snapshot: Snapshot, requests: Sequence[DecisionRequest]) -> None:
        self._snapshot = snapshot
        self._datasets = {info.name for info in snapshot.datasets()}
        self._missing = 0
        self._found: dict[str, int] = {}
        # Plain keys that one image has are read in bulk; `resolve` says the rest, and what is wrong.
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
        text = f"id:{ref}" if isinstance(ref, int) else ref
        if text in self._found and text not in self._shared:
            return self._found[text]
        otherwise = text in self._shared or text.startswith("id:") or text.isdecimal()
        if self._missing >= SHOWN and not otherwise and text.partition("/")[0] not in self._datasets:
            # The nearest keys of each of many thousand lines of another data set would take an hour.
            raise UnknownImageError(f"no image {text!r} in {self._snapshot.folder}")
        try:
            return self._snapshot.resolve(text)
        except UnknownImageError:
            self._missing += 1
            raise


def _references(snapshot: Snapshot, ids: Iterable[int]) -> dict[int, str]:
    """What to call images in a file: their keys, with the data set where a key alone is not enough.

    Raises:
        AuditError: an image can be named by its id only, which means nothing in another store.
    """
    rows = snapshot.images(sorted(ids))
    everywhere: list[str] = snapshot.columns(snapshot.image_ids(), ("key",))["key"].tolist()
    counts = Counter(everywhere)

    def named(row: ImageRow) -> str:
        if counts[row.key] <= 1 and not row.key.startswith("id:"):
            return row.key
        full = f"{row.dataset}/{row.key}"
        if full in counts:
            raise AuditError(
                f"{full!r} is the key of an image and the full name of another: delete one of them first"
            )
        return full

    return {row.id: named(row) for row in rows}
