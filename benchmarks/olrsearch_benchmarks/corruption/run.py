"""Damages a store again and again, and looks how that is noticed.

Every fault is made in a copy of a whole store. The copy is opened, asked everything that `questions` knows,
and checked by `verify`. A fault is

    named by opening    the store, or its newest generation, is refused
    named by a query    one that reads what is damaged is refused
    named by verify     every answer is what it was, and `verify` says what is damaged, gone or too much
    harmless            every answer is what it was, and `verify` finds nothing
    wrong               some answer is another one, and no error says why
    a traceback         an exception that is no error of ours

The last two must not happen. An answer is compared with that of the whole store, but for rounding: what was
kept and is passed over is computed again.
"""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch import OlrsearchError, Store
from olrsearch_benchmarks.corruption.faults import damage
from olrsearch_benchmarks.corruption.questions import questions, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from olrsearch.core.progress import Track
    from olrsearch_benchmarks.corruption.faults import Fault

OPENING, QUERY, VERIFY, HARMLESS, WRONG, TRACEBACK = (
    "named by opening",
    "named by a query",
    "named by verify",
    "harmless",
    "wrong",
    "traceback",
)
_SOFTENED: Final = ("cannot be explained any more", "state='damaged'")
"""How answers say themselves that files are damaged: the explanation of an entry, and the list of audits."""

OUTCOMES: Final = (OPENING, QUERY, VERIFY, HARMLESS, WRONG, TRACEBACK)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one fault was noticed.

    Attributes:
        number: Of the fault.
        fault: What was done.
        found: One of `OUTCOMES`.
        said: The first words about it.
    """

    number: int
    fault: Fault
    found: str
    said: str

    def line(self) -> str:
        """For people."""
        return f"{self.number:4} {self.found:17} {self.fault.path}: {self.fault.what}: {self.said}"


@dataclass(frozen=True, slots=True)
class CorruptionReport:
    """Every fault, and how it was noticed.

    Attributes:
        outcomes: In the order they were made.
        questions: How many questions the store was asked after each.
        seed: Of the faults.
        seconds: It took.
    """

    outcomes: tuple[Outcome, ...]
    questions: int
    seed: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every fault was named or harmless."""
        return not self.bad()

    def bad(self) -> list[Outcome]:
        """Wrong answers and tracebacks."""
        return [outcome for outcome in self.outcomes if outcome.found in {WRONG, TRACEBACK}]

    def counts(self) -> dict[str, Counter[str]]:
        """How often each outcome was seen, by kind of file."""
        found: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            found.setdefault(outcome.fault.kind, Counter())[outcome.found] += 1
        return found

    def lines(self) -> Iterator[str]:
        """A table, and what must not be."""
        yield f"{'':22}" + "".join(f"{name:>18}" for name in OUTCOMES)
        total: Counter[str] = Counter()
        for kind, counts in sorted(self.counts().items()):
            total += counts
            yield f"{kind:22}" + "".join(f"{counts[name]:18}" for name in OUTCOMES)
        yield f"{'all':22}" + "".join(f"{total[name]:18}" for name in OUTCOMES)
        yield (
            f"{len(self.outcomes)} faults, seed {self.seed}, {self.questions} questions after each, "
            f"{self.seconds:.0f} s"
        )
        yield from (outcome.line() for outcome in self.bad())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "faults": len(self.outcomes),
            "seed": self.seed,
            "questions": self.questions,
            "seconds": round(self.seconds, 1),
            "passed": self.passed,
            "counts": {kind: dict(counts) for kind, counts in self.counts().items()},
            "bad": [outcome.line() for outcome in self.bad()],
        }


def run_corruption(
    store: Path, other: Path, work: Path, *, faults: int, seed: int, track: Track
) -> CorruptionReport:
    """Damages copies of a store.

    Args:
        store: A whole store; not changed.
        other: Another store, whose files are put in the place of this one's.
        work: An empty folder for copies; they stay.
        faults: How many.
        seed: Of the faults.
        track: Shows progress.
    """
    started = time.perf_counter()
    older, damaged = work / "older", work / "damaged"
    shutil.copytree(store, older)
    shutil.copytree(store, work / "whole")
    with Store.open(work / "whole") as later:  # so that `older` is older
        later.delete([later.session.snapshot().image_ids()[-1].item()])
    shutil.copytree(work / "whole", damaged)
    with Store.open(damaged, read_only=True) as opened:  # answers may name the folder
        asked = questions(opened)
        expected = {name: ask(opened) for name, ask in asked.items()}
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # warnings by the hundred
    outcomes = []
    try:
        for some in track(range(faults), total=faults, what="damaging", unit="faults"):
            rng = np.random.default_rng([seed, some])
            fault = damage(damaged, {"older": older, "other": other}, rng)
            found, said = _look(damaged, asked, expected)
            outcomes.append(Outcome(some, fault, found, " ".join(said.split())[:300]))
            _mend(work / "whole", damaged)
    finally:
        logging.disable(before)
    return CorruptionReport(tuple(outcomes), len(asked), seed, time.perf_counter() - started)


def _look(
    path: Path, asked: Mapping[str, Callable[[Store], Any]], expected: Mapping[str, Any]
) -> tuple[str, str]:
    """How the damage of a store is noticed."""
    named: tuple[str, str] | None = None
    try:
        with Store.open(path, read_only=True) as store:
            store.info()
    except OlrsearchError as error:
        named = OPENING, str(error)
    except Exception as error:  # noqa: BLE001 - which is what is looked for
        return TRACEBACK, _place(error)
    if named is None:
        named = _ask(path, asked, expected)
        if named is not None and named[0] in {WRONG, TRACEBACK}:
            return named
    try:
        with Store.open(path, read_only=True) as store:
            report = store.verify()
    except OlrsearchError as error:
        return named or (OPENING, str(error))
    except Exception as error:  # noqa: BLE001 - a traceback is what is looked for
        return TRACEBACK, f"verify: {_place(error)}"
    said = [problem.message for problem in report.problems]
    said += [*report.to_rebuild, *report.unreferenced, *report.notes]
    if named is not None:
        return named
    return (VERIFY, said[0]) if said else (HARMLESS, "")


def _ask(
    path: Path, asked: Mapping[str, Callable[[Store], Any]], expected: Mapping[str, Any]
) -> tuple[str, str] | None:
    """The first fault of an answer: wrong ones and tracebacks before what is refused."""
    refused = None
    with Store.open(path, read_only=True) as store:
        for name, ask in asked.items():
            try:
                answer = ask(store)
                if not same(answer, expected[name]):
                    said = next((text for text in _SOFTENED if text in repr(answer)), None)
                    if said is None:
                        return WRONG, f"{name} has another answer"
                    refused = refused or (QUERY, f"{name}: {said}")
            except OlrsearchError as error:
                refused = refused or (QUERY, f"{name}: {error}")
            except Exception as error:  # noqa: BLE001 - a traceback is what is looked for
                return TRACEBACK, f"{name}: {_place(error)}"
    return refused


def _place(error: Exception) -> str:
    """An exception and where it comes from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    ours = [item for item in traceback.extract_tb(error.__traceback__) if "olrsearch" in item.filename]
    where = ours[-1] if ours else frame
    return (
        f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno} {where.name})"
    )


def _mend(whole: Path, damaged: Path) -> None:
    """Gives a store back what it lacks, or has otherwise, and takes what it has too much."""
    there = {path.relative_to(damaged) for path in damaged.rglob("*") if path.is_file()}
    meant = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    for name in there - meant:
        (damaged / name).unlink()
    for name in meant:
        one, two = whole / name, damaged / name
        if (
            not two.exists()
            or one.stat().st_size != two.stat().st_size
            or one.read_bytes() != two.read_bytes()
        ):
            two.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one, two)
