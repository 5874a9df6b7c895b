"""Decisions on a store's labels: one by one, from a file, taken back.

How decisions are checked and written is `olrsearch.store.write.decisions`; what a file may hold
`olrsearch.audit.decisions.files`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from olrsearch.audit.decisions.files import DecisionFile, parse_decisions
from olrsearch.core.errors import AuditError
from olrsearch.store.decision_rules import DecisionRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from olrsearch.store.backend import Backend


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
        return asdict(self)


def decide(
    backend: Backend, decisions: Iterable[DecisionRequest], *, who: str, run: str | None = None
) -> Decided:
    """Decide entries, all or none; arguments and errors are those of `DecisionWriter.decide`."""
    return _write(backend, DecisionFile(tuple(decisions), ()), who, run)


def decide_file(backend: Backend, path: Path, *, who: str, run: str | None = None) -> Decided:
    """Decide what a file says, all or nothing.

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
    return _write(backend, found, who, run, path.name)


def undo(backend: Backend, image: int | str, label: str, *, who: str, why: str = "") -> Decided:
    """Take the latest decision on an entry back that was not taken back yet; the history keeps both.

    Raises:
        AuditError: there is none.
        UnknownImageError: no such image.
        UnknownLabelError: no such label; carries the nearest names.
    """
    return decide(backend, [DecisionRequest(image, label, "undo", why=why)], who=who)


def _write(backend: Backend, said: DecisionFile, who: str, run: str | None, file: str = "") -> Decided:
    with backend.writer() as writer:
        revision = writer.decisions.decide(said.requests, who=who, run=run, faults=said.faults, file=file)
    verdicts = Counter[str](request.verdict for request in said.requests)
    return Decided(len(said.requests), dict(verdicts), said.undecided, revision)
