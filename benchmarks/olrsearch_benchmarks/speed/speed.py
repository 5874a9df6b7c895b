"""P7: how much slower than the least that could do the same work.

Ours and its baseline run in turns, A B A B, in one process and on one machine, and only ratios are
reported: a time alone says more of the machine than of the program.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.report import Report, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import F32, I8, I64, Floats
    from olrsearch.maths.metric import Metric

_log = logging.getLogger(__name__)

BARE_IMPORTS = "import click, sqlalchemy, numpy, faiss"
"""What a cold command is measured against."""

_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class SpeedCase:
    """Two ways to the same answer.

    Attributes:
        name: What is timed.
        baseline: What it is timed against, in words.
        ours: Called once a turn.
        theirs: Called once a turn.
        turns: Pairs of calls after one pair to warm up.
        limit: The ratio not to be exceeded; None where there is none.
    """

    name: str
    baseline: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    turns: int = 21
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class SpeedRatio:
    """How a case ended.

    Attributes:
        name: What was timed.
        baseline: Against what.
        ratio: Median over turns of our time by the baseline's; below 1 we are faster.
        low: First quartile.
        high: Third quartile.
        turns: Pairs of calls.
        limit: The ratio not to be exceeded, if any.
        within: Whether the median keeps to it; None without a limit.
    """

    name: str
    baseline: str
    ratio: float
    low: float
    high: float
    turns: int
    limit: float | None
    within: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReport(Report):
    """P7.

    Attributes:
        ratios: One entry a case.
        torch_imported: Whether the cold command imported torch; None when it was not run.
        machine: `cores`, `python`, `numpy`.
    """

    ratios: tuple[SpeedRatio, ...]
    torch_imported: bool | None
    machine: dict[str, Any]

    def tables(self) -> tuple[Table, ...]:
        """Ratios."""
        note = {
            None: "",
            False: "The cold command does not import torch.",
            True: "The cold command imports torch.",
        }
        rows = tuple(
            (
                row.name,
                row.baseline,
                f"{row.ratio:.2f}",
                f"{row.low:.2f}–{row.high:.2f}",
                row.turns,
                row.limit,
                row.within,
            )
            for row in self.ratios
        )
        columns = ("what", "against", "ratio", "quartiles", "turns", "limit", "within")
        return (Table("Our time over the baseline's", columns, rows, note=note[self.torch_imported]),)


def run_speed(
    cases: Sequence[SpeedCase],
    *,
    data: dict[str, Any],
    cold_command: Sequence[str] | None = None,
    seed: int = 0,
    command: str = "olrsearch bench speed",
) -> SpeedReport:
    """Time every case, in turns.

    Args:
        cases: From the functions below, or any other two callables.
        data: What is searched: `name`, and sizes.
        cold_command: The command line of the cold case, looked at once more for torch.
        seed: That the cases drew their queries with.
        command: What the report says to run.

    Raises:
        BenchmarkError: there are no cases, or a command fails.
    """
    if not cases:
        raise BenchmarkError("no case to time; give at least one")
    ratios = tuple(time_in_turns(case) for case in cases)
    return SpeedReport(
        protocol="P7",
        title="speed, as ratios in one run",
        command=command,
        seed=seed,
        baseline="the same work with nothing around it",
        data=data,
        ratios=ratios,
        torch_imported=None if cold_command is None else imports_module(cold_command, "torch"),
        machine={
            "cores": os.cpu_count(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
        },
    )


def time_in_turns(case: SpeedCase) -> SpeedRatio:
    """Run ours and theirs in turns and compare the times of each turn."""
    if case.turns < 1:
        raise BenchmarkError(f"{case.turns} turns for {case.name!r}, expected 1 or more")
    case.ours()
    case.theirs()
    found = []
    for _ in range(case.turns):
        start = time.perf_counter()
        case.ours()
        middle = time.perf_counter()
        case.theirs()
        found.append((middle - start) / max(time.perf_counter() - middle, 1e-9))
    low, ratio, high = (float(value) for value in np.quantile(found, [0.25, 0.5, 0.75]))
    _log.info("%s: %.2f times %s", case.name, ratio, case.baseline)
    within = None if case.limit is None else ratio <= case.limit
    return SpeedRatio(case.name, case.baseline, ratio, low, high, case.turns, case.limit, within)


def attribute_case(
    search: Callable[[], object],
    signs: I8,
    log_p: Floats,
    log_not_p: Floats,
    *,
    count: int = 20,
    turns: int = 51,
) -> SpeedCase:
    """An attribute query against the same sum and selection in numpy.

    Args:
        search: Answers the conjunction `signs` with `count` hits.
        signs: int8 [L]; +1 wanted, −1 unwanted.
        log_p: float [L, N], in memory.
        log_not_p: float [L, N].
        count: Hits.
        turns: Pairs of calls.
    """
    wanted, unwanted = np.flatnonzero(signs > 0), np.flatnonzero(signs < 0)

    def plain() -> I64:
        total = np.zeros(log_p.shape[1], log_p.dtype)
        for row in wanted:
            total += log_p[row]
        for row in unwanted:
            total += log_not_p[row]
        return _first(-total, count)

    return SpeedCase("attribute query", "the same sum in numpy", search, plain, turns)


def label_case(
    search: Callable[[], object],
    metric: Metric,
    query: F32,
    vectors: F32,
    label: int,
    *,
    count: int = 20,
    turns: int = 51,
) -> SpeedCase:
    """One label's index against a plain numpy scan of the same vectors.

    Args:
        search: Searches label `label` for `query`.
        metric: Of the space; it says what the scan computes.
        query: float32 [k].
        vectors: float32 [N, k], in memory.
        label: The label's position.
        count: Hits.
        turns: Pairs of calls.
    """
    target = metric.transform(query[None], label)[0]
    plain = np.ascontiguousarray(metric.transform(vectors, label))

    def scan() -> I64:
        return _first(_scan(metric.kind, target, plain), count)

    return SpeedCase("label index", "a numpy scan", search, scan, turns)


def whole_case(
    search: Callable[[], object],
    metric: Metric,
    query: F32,
    embeddings: F32,
    *,
    count: int = 20,
    turns: int = 21,
) -> SpeedCase:
    """The whole-embedding index against a plain numpy scan of every label.

    Args:
        search: Searches for the embedding `query`.
        metric: Of the space.
        query: float32 [L, k].
        embeddings: float32 [L, N, k], in memory.
        count: Hits.
        turns: Pairs of calls.
    """
    root = np.sqrt(metric.scale).astype(np.float32)
    targets = [metric.transform(row[None], label)[0] / root[label] for label, row in enumerate(query)]
    plain = [metric.transform(block, label) / root[label] for label, block in enumerate(embeddings)]

    def scan() -> I64:
        total = np.zeros(embeddings.shape[1], np.float32)
        for target, vectors in zip(targets, plain, strict=True):
            total += _scan(metric.kind, target, vectors)
        return _first(total, count)

    return SpeedCase("whole index", "a numpy scan", search, scan, turns)


def cold_case(command: Sequence[str], *, turns: int = 7, limit: float | None = 1.5) -> SpeedCase:
    """A whole command, process start to JSON, against bare imports of what it stands on.

    Args:
        command: The command line, such as `[sys.executable, "-m", "olrsearch", "search", …, "--json"]`.
        turns: Pairs of processes.
        limit: The ratio not to be exceeded.
    """
    bare = [sys.executable, "-c", BARE_IMPORTS]
    return SpeedCase(
        "cold command",
        f"python -c '{BARE_IMPORTS}'",
        lambda: _call(command),
        lambda: _call(bare),
        turns,
        limit,
    )


def encode_case(encode: Callable[[], object], bare: Callable[[], object], *, turns: int = 5) -> SpeedCase:
    """Encoding images against a bare loop of the same model over the same pixels."""
    return SpeedCase("encoding", "a bare loop of the same model", encode, bare, turns)


def imports_module(command: Sequence[str], module: str) -> bool:
    """Whether a Python program imports a module, as the interpreter's own import log has it.

    Raises:
        BenchmarkError: the command fails.
    """
    done = _call(command, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    logged = (
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    )
    return any(name == module or name.startswith(module + ".") for name in logged)


def _scan(kind: str, target: F32, vectors: F32) -> F32:
    if kind == "l2":
        gap = vectors - target
        return np.asarray(np.einsum("nk,nk->n", gap, gap), np.float32)
    found: F32 = vectors @ target
    np.negative(found, out=found)
    return found


def _first(distances: Floats, count: int) -> I64:
    """Positions of the nearest, in order, ties by position."""
    if count < len(distances):
        within = np.flatnonzero(distances <= np.partition(distances, count - 1)[count - 1])
    else:
        within = np.arange(len(distances))
    return within[np.argsort(distances[within], kind="stable")][:count]


def _call(
    command: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # the command line is the caller's own, no shell reads it
            list(command),
            check=True,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or ["no message"]
        raise BenchmarkError(f"{command[0]} … exited with {error.returncode}: {last[0]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"{command[0]} … could not be timed: {error}") from error
