"""Decisions on labels: what a verdict does to an entry, undo, and what a history comes to.

An *entry* is one label of one image. Its *effective* value is that of the decision in force, or
the annotation's where no decision says one:

    accept   the value that is given holds
    flip     its opposite holds
    unsure   somebody looked, and left the value as it is
    set      a value was set by hand; None leaves the annotation in force
    undo     takes back the latest decision that was not taken back yet

A history only grows: an undo is a row of its own, which says the value that is then in force, so
the value of an entry's latest row always counts. Everything here is pure; `read.decisions` reads rows,
`write.decisions` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, TypeGuard, TypeVar, cast

from olrsearch.core import label_values
from olrsearch.core.errors import AuditError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from olrsearch.core.label_values import LabelValue

Verdict: TypeAlias = Literal["set", "accept", "flip", "unsure", "undo"]
VERDICTS: Final[tuple[Verdict, ...]] = ("set", "accept", "flip", "unsure", "undo")

VERDICT_CODES: Final[Mapping[str, int]] = {"accept": 1, "flip": 2, "unsure": 3, "set": 4}
"""What `read_verdicts` gives for the verdict in force; 0 where there is none."""

VALUE_NAMES: Final[Mapping[int, str]] = label_values.VALUE_NAMES
NAMED_VALUES: Final[Mapping[str, int]] = {name: value for value, name in VALUE_NAMES.items()}

K = TypeVar("K", bound="Hashable")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of the history.

    Attributes:
        image_id: The image's stable id.
        dataset: Name of its data set.
        key: Its key there.
        label: The label's own spelling.
        verdict: `accept`, `flip`, `unsure`, `set` or `undo`.
        given: Effective value before the decision, −1, 0 or +1; None where it was not recorded.
        value: Value in force after it; None leaves the annotation in force.
        who: Who decided.
        when: UTC, without time zone.
        why: The reason; may be empty.
        run: The audit run that led to it; None where none did.
        sha256: Of the bytes that were decided on, 64 hexadecimal digits.
        replaced: Whether its key stands for other bytes now.
    """

    image_id: int
    dataset: str
    key: str
    label: str
    verdict: Verdict
    given: LabelValue | None
    value: LabelValue | None
    who: str
    when: dt.datetime
    why: str
    run: str | None
    sha256: str = ""
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """A decision as it was written down, with names that are not looked up yet.

    Attributes:
        image: The image's id, or its key as everywhere: `000001.jpg`, `celeba/000001.jpg`, `id:17`.
        label: The label, in any spelling.
        verdict: `accept`, `flip`, `unsure`, `set` or `undo`.
        value: For `set` alone: −1, 0, +1, or None for the annotation.
        given: The effective value that was decided on; None for whatever the store has.
        who: Who decided; None for whoever hands the decisions in.
        why: The reason.
        run: The audit run that led to it; None for that of the call.
        when: UTC, without time zone; None for now.
        line: Of its file.
    """

    image: int | str
    label: str
    verdict: Verdict
    value: int | None = None
    given: int | None = None
    who: str | None = None
    why: str = ""
    run: str | None = None
    when: dt.datetime | None = None
    line: int | None = None


class Standing(NamedTuple):
    """A decision that is in force: its verdict, and the value that holds by it (None: the annotation)."""

    verdict: Verdict
    value: LabelValue | None

    @property
    def reviewed(self) -> bool:
        """Whether somebody judged the entry, rather than handing it back to the annotation."""
        return self.verdict != "set" or self.value is not None


def is_verdict(text: str) -> TypeGuard[Verdict]:
    """Whether a word is one of `VERDICTS`."""
    return text in VERDICTS


def replay(rows: Iterable[tuple[K, str, int | None]]) -> dict[K, Standing]:
    """What a history, from its beginning and in its order, comes to.

    Args:
        rows: Entry, verdict and value of each row; the value of an undo is not looked at.

    Returns:
        The decision in force of every entry that has one.

    Raises:
        AuditError: a row with another verdict, or one that takes back what is not there.
    """
    return {entry: stack[-1] for entry, stack in stacked(rows).items() if stack}


def stacked(rows: Iterable[tuple[K, str, int | None]]) -> dict[K, list[Standing]]:
    """As `replay`, with the decisions that an undo would bring back below the one in force.

    Raises:
        AuditError: as `replay`.
    """
    return not_taken_back(
        (entry, verdict, Standing(cast("Verdict", verdict), value)) for entry, verdict, value in rows
    )


def not_taken_back(rows: Iterable[tuple[K, str, T]]) -> dict[K, list[T]]:
    """Whatever comes with the decisions that no undo took back, by entry, the one in force last.

    Args:
        rows: Entry, verdict, and what comes with it, of a history from its beginning and in its order.

    Raises:
        AuditError: as `replay`.
    """
    stacks: dict[K, list[T]] = {}
    for entry, verdict, item in rows:
        stack = stacks.setdefault(entry, [])
        if verdict == "undo":
            if not stack:
                raise AuditError(
                    f"the history takes a decision on {entry!r} back that is not there; expected the whole "
                    "history, in its order"
                )
            stack.pop()
        elif is_verdict(verdict):
            stack.append(item)
        else:
            raise AuditError(f"the history has the verdict {verdict!r}; expected {', '.join(VERDICTS)}")
    return stacks


class Settled(NamedTuple):
    """What a decision comes to: the effective value before it, and the value in force after it."""

    given: int
    value: LabelValue | None


def settle(
    decisions: Sequence[DecisionRequest],
    entries: Sequence[K],
    annotated: Mapping[K, int],
    stacks: dict[K, list[Standing]],
) -> tuple[list[Settled], list[tuple[int, str]]]:
    """What decisions come to, one after another; a decision that cannot be is passed over and named.

    Args:
        decisions: To take in this order; an entry may occur several times.
        entries: The entry of each.
        annotated: What the annotation says of every entry, −1, 0 or +1.
        stacks: The history so far, from `stacked`; is brought up to date.

    Returns:
        What each comes to, and the faults: positions in `decisions` with what is wrong. With a fault
        anywhere the first list is of no use.
    """
    settled: list[Settled] = []
    faults: list[tuple[int, str]] = []
    for index, (decision, entry) in enumerate(zip(decisions, entries, strict=True)):
        stack = stacks.setdefault(entry, [])
        standing = stack[-1] if stack else None
        held = None if standing is None else standing.value
        given = annotated[entry] if held is None else held
        fault = _fault(decision, given, standing)
        if fault is not None:
            faults.append((index, fault))
            continue
        if decision.verdict == "undo":
            stack.pop()
            value = stack[-1].value if stack else None
        else:
            value = {"accept": given, "flip": -given, "unsure": held, "set": decision.value}[decision.verdict]
            stack.append(Standing(decision.verdict, value))
        settled.append(Settled(given, value))
    return settled, faults


def _fault(decision: DecisionRequest, given: int, standing: Standing | None) -> str | None:
    """What is wrong with a decision on an entry in this state."""
    verdict, expected = decision.verdict, decision.given
    if not is_verdict(verdict):
        return f"found the verdict {verdict!r}, expected {', '.join(VERDICTS)}"
    for value in (expected, decision.value):
        if value not in {None, *VALUE_NAMES}:
            return f"found the value {value!r}, expected −1, 0 or 1"
    if decision.value is not None and verdict != "set":
        return f"found a value beside {verdict}, which follows from what is given; only set takes one"
    if verdict == "undo" and standing is None:
        return "no decision is there to take back"
    if expected is not None and expected != given:
        return (
            f"was {VALUE_NAMES[expected]} when it was decided on and is {VALUE_NAMES[given]} now; look at it "
            "again and decide on that"
        )
    if verdict in {"accept", "flip"} and given == 0:
        what = "nothing to accept" if verdict == "accept" else "nothing to flip"
        return f"is unknown, so there is {what}; set it to present or absent (`olrsearch label set`)"
    if verdict == "flip" and expected is None and standing is not None and standing.verdict == "flip":
        # Far more often the same file or click twice than a second opinion.
        return "is flipped already; take that back (undo), or say which value is given"
    return None
