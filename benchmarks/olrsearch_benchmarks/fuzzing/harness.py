"""Run a parser over made input, and count what it does with it."""

from __future__ import annotations

import importlib
import pkgutil
import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import olrsearch_benchmarks.fuzzing as parts
from olrsearch.core.errors import OlrsearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from typing import TypeAlias

    # What a parser reads is its own: text, bytes, a path.
    Input: TypeAlias = Any

_SLOWEST: Final = 5
_SHRINKING: Final = 2_000
"""How many shorter inputs are tried for each kind of fault."""
_SHRINKING_S: Final = 10.0
"""And for how long, seconds."""


@dataclass(frozen=True, slots=True)
class Parser:
    """A parser under test.

    Attributes:
        name: What `--parser` calls it.
        make: Makes an input; the same one for the same state of the random numbers. Text, bytes and
            tuples are shrunk where they raise what has no name.
        read: Reads it, and drops what it has read. A refusal is an `OlrsearchError`.
    """

    name: str
    make: Callable[[Random], Input]
    read: Callable[[Input], None]


@dataclass(slots=True)
class Fault:
    """One kind of exception without a name.

    Attributes:
        what: The exception and the line that raised it.
        count: How many inputs raised it.
        number: The first input's number.
        given: That input, shortened as far as it still raises the same.
        trace: Of that input as it was made.
    """

    what: str
    count: int
    number: int
    given: Input
    trace: str


@dataclass(slots=True)
class Outcome:
    """What a parser did with its inputs.

    Attributes:
        parser: Its name.
        accepted: Inputs read.
        refused: Inputs refused by an `OlrsearchError`, by the error's class.
        faults: All other exceptions, by kind.
        seconds: Of all inputs together.
        slowest: The slowest, each with its seconds and number, slowest first.
        peak: The most memory that one input took, bytes, and its number; None where it was not measured.
    """

    parser: str
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Fault] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: list[tuple[float, int]] = field(default_factory=list)
    peak: tuple[int, int] | None = None

    @property
    def unnamed(self) -> int:
        """How many inputs raised what is no `OlrsearchError`."""
        return sum(fault.count for fault in self.faults.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "parser": self.parser,
            "accepted": self.accepted,
            "refused": sum(self.refused.values()),
            "unnamed": self.unnamed,
            "seconds": self.seconds,
            "errors": dict(self.refused.most_common()),
            "faults": [
                {"what": fault.what, "count": fault.count, "number": fault.number, "input": repr(fault.given)}
                for fault in self.faults.values()
            ],
            "slowest": [{"seconds": seconds, "number": number} for seconds, number in self.slowest],
            "peak_bytes": None if self.peak is None else self.peak[0],
            "peak_number": None if self.peak is None else self.peak[1],
        }


def all_parsers() -> dict[str, Parser]:
    """The parsers of every part, by name."""
    found: dict[str, Parser] = {}
    for module in pkgutil.iter_modules(parts.__path__, f"{parts.__name__}."):
        for parser in getattr(importlib.import_module(module.name), "PARSERS", ()):
            if parser.name in found:
                raise ValueError(f"two parsers are called {parser.name}")
            found[parser.name] = parser
    return found


def made(parser: Parser, seed: int, number: int) -> Input:
    """The input of a number, each from random numbers of its own: it can be made again alone."""
    return parser.make(random.Random(f"{parser.name}-{seed}-{number}"))


def fuzz(
    parser: Parser,
    count: int,
    *,
    seed: int = 0,
    memory: bool = False,
    step: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a parser over made input.

    Args:
        parser: Which.
        count: How many inputs.
        seed: Of the inputs.
        memory: Also measure the memory that each input takes (Linux; slower).
        step: Called after every input.
    """
    outcome = Outcome(parser.name)
    for number in range(count):
        given = made(parser, seed, number)
        before = _reset_peak() if memory else 0
        began = time.perf_counter()
        try:
            parser.read(given)
        except OlrsearchError as error:
            outcome.refused[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - what has no name is what is looked for
            _keep(outcome, parser, given, number, error)
        else:
            outcome.accepted += 1
        took = time.perf_counter() - began
        outcome.seconds += took
        outcome.slowest = sorted([*outcome.slowest, (took, number)], reverse=True)[:_SLOWEST]
        if memory:
            outcome.peak = max(outcome.peak or (0, number), (_peak() - before, number))
        step()
    return outcome


def _keep(outcome: Outcome, parser: Parser, given: Input, number: int, error: Exception) -> None:
    what = _kind(error)
    if what in outcome.faults:
        outcome.faults[what].count += 1
        return
    trace = "".join(traceback.format_exception(error))
    outcome.faults[what] = Fault(what, 1, number, _shrunk(parser, given, what), trace)


def _kind(error: Exception) -> str:
    """The exception's class and the line that raised it; of a recursion, which has no one line, the class."""
    if isinstance(error, RecursionError) or error.__traceback__ is None:
        return type(error).__name__
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _shrunk(parser: Parser, given: Input, what: str) -> Input:
    """The input without whatever can be left out, the same exception being raised."""
    if not isinstance(given, str | bytes | tuple):
        return given
    until, tries = time.monotonic() + _SHRINKING_S, _SHRINKING
    piece = max(1, len(given) // 2)
    while piece and tries and time.monotonic() < until:
        for shorter in _without_a_piece(given, piece):
            tries -= 1
            if _raised(parser, shorter) == what:
                given = shorter
                break
            if not tries or time.monotonic() > until:
                break
        else:
            piece //= 2
    return given


def _without_a_piece(given: Input, piece: int) -> Iterator[Input]:
    return (given[:start] + given[start + piece :] for start in range(0, len(given), piece))


def _raised(parser: Parser, given: Input) -> str | None:
    try:
        parser.read(given)
    except OlrsearchError:
        return None
    except Exception as error:  # noqa: BLE001 - as in `fuzz`
        return _kind(error)
    return None


def _reset_peak() -> int:
    """Let the kernel forget the process's largest size; its size now, bytes."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0
