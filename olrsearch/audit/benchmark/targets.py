"""P4's figures with what they must reach.

"Better" is an interval that excludes 0, so a comparison is told by an end of its interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.audit.benchmark.report import BASELINES, COMBINED
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.metrics import finite_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from olrsearch.audit.benchmark.report import (
        AuditDifference,
        ContradictionCheck,
        EstimateCheck,
        NoiseRun,
        SetDifference,
    )

_REACHED: Final = {"N1 5 %": {"auprc": 0.70, "precision_100": 0.97}}
"""What the combination must reach, by noise."""
_BETTER: Final = ("N1 5 %", "N2", "N3")
"""Where it must be above every baseline; elsewhere it must not be below one."""
_NAMES: Final = {"auprc": "AUPRC", "precision_100": "P@100"}


def audit_targets(
    runs: Sequence[NoiseRun],
    differences: Sequence[AuditDifference],
    sets: Sequence[SetDifference],
    estimates: Sequence[EstimateCheck],
    contradictions: ContradictionCheck | None,
    *,
    seed: int,
) -> tuple[Measured, ...]:
    """Every figure of P4 with its target.

    Args:
        runs: One a noise and seed.
        differences: The combination minus other methods.
        sets: The combination against cleanlab's filter.
        estimates: Of error rates; empty where nothing was estimated.
        contradictions: N5; None where no rules were mined.
        seed: Of the bootstrap, and of what is a mean over seeds.
    """
    out: list[Measured] = []
    for noise in dict.fromkeys(run.noise for run in runs):
        out += _reached(noise, [run for run in runs if run.noise == noise], seed)
        out += _compared(noise, differences, seed)
        out += [
            _won(
                f"{noise}: recall above cleanlab's filter {row.by} at its size, low end", row.recall.low, seed
            )
            for row in sets
            if row.noise == noise
        ]
        found = [row for row in estimates if row.noise == noise]
        if found:
            off = finite_mean(abs(row.estimated - row.injected) for row in found)
            out.append(Measured.of(f"{noise}: |estimated − injected| errors", off, seed=seed))
    if contradictions is not None:
        out += _n5(contradictions, seed)
    return tuple(out)


def _reached(noise: str, runs: Sequence[NoiseRun], seed: int) -> Iterator[Measured]:
    for key, name in _NAMES.items():
        values = [float(getattr(run.rankings[COMBINED], key)) for run in runs]
        for run, value in zip(runs, values, strict=True):
            yield Measured.of(f"{noise}: {name}", value, seed=run.seed)
        target = _REACHED.get(noise, {}).get(key)
        yield Measured.of(f"{noise}: {name}, mean over seeds", finite_mean(values), target, seed=seed)
    yield Measured.of(f"{noise}: base rate", finite_mean(run.base_rate for run in runs), seed=seed)


def _compared(noise: str, differences: Sequence[AuditDifference], seed: int) -> Iterator[Measured]:
    for row in differences:
        if row.noise != noise or row.other not in BASELINES:
            continue
        if noise in _BETTER:
            yield _won(f"{noise}: AUPRC above {row.other}, low end", row.auprc.low, seed)
        else:
            yield Measured.of(
                f"{noise}: AUPRC above {row.other}, high end",
                row.auprc.high,
                0.0,
                unit="difference",
                seed=seed,
            )


def _n5(found: ContradictionCheck, seed: int) -> Iterator[Measured]:
    yield Measured.of("N5: rules mined", len(found.rules), unit="rules", seed=seed)
    if found.expected is not None:
        share = found.surfaced / found.expected
        yield Measured.of("N5: expected rules that surface", share, 1.0, seed=seed)
    yield Measured.of("N5: the same rules after renaming", found.renamed, 1.0, seed=seed)


def _won(metric: str, low: float, seed: int) -> Measured:
    """A comparison that is won where the low end of its interval is above 0."""
    passed = None if low != low else low > 0  # noqa: PLR0124 - NaN
    return Measured(metric, low, 0.0, passed, "difference", seed)
