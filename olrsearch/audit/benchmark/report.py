"""What P4 reports: rankings, sets, differences, estimates and contradictions, as values and as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.audit.benchmark.entry_ranking import perfect_precision
from olrsearch.evaluation.metrics import finite_mean
from olrsearch.evaluation.report import Report, Table, jsonable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.audit.benchmark.entry_ranking import AuditFigures
    from olrsearch.audit.benchmark.filter_sets import SetFigures
    from olrsearch.evaluation.bootstrap import Interval
    from olrsearch.evaluation.measured import Measured

NATURAL: Final = 0.01
"""Natural errors that the ceiling of P@100 is told for, a share of entries."""
COMBINED: Final = "all together"
"""What tables call the combination of all scorers."""
ANNOTATED: Final = "all, as annotators weigh it"
"""The same by the weights that an audit of a store has by default (`olrsearch.audit.evidence.weights`)."""
WITHOUT: Final = "without "
"""What the name of a combination without one scorer begins with."""
ESTIMATES: Final = "estimates"
"""What constants are raised to; not a scorer, and taken away like one."""
RANDOM, WHOLE_VOTE, ADJUSTED = "random", "whole-vote", "cleanlab, adjusted"
"""Baselines that are no scorers: chance, neighbours in the whole embedding, cleanlab less its thresholds."""
BASELINES: Final = (RANDOM, "other-labels", "probability", WHOLE_VOTE, ADJUSTED)
"""P4's baselines that rank: chance, labels only, self-confidence, k-NN vote, cleanlab's other ranking."""
_MEASURES: Final = {
    "auprc": "AUPRC",
    "macro_auprc": "macro",
    "precision_100": "P@100",
    "precision_t": "P@T",
    "lift_t": "lift@T",
    "ap_t": "AP@T",
    "reviews_1000": "reviews/error, 1,000",
    "reviews_10000": "10,000",
    "scored": "scored",
}
_CHECKED: Final = {
    "noise": "noise",
    "seed": "seed",
    "injected": "injected",
    "estimated": "estimated",
    "off": "mean |error|",
    "within": "within",
    "false_absent": "false absent, error",
    "false_present": "false present",
}


@dataclass(frozen=True, slots=True)
class NoiseRun:
    """One model of noise with one seed.

    Attributes:
        noise: `N1 5 %`, …
        seed: Of the noise.
        entries: Known entries.
        errors: T, how many were flipped.
        rankings: Method → its figures: the combination, each scorer alone, baselines, and the combination
            `without` each scorer.
        sets: cleanlab's filter by each of its methods → its set beside the combination's first entries.
    """

    noise: str
    seed: int
    entries: int
    errors: int
    rankings: dict[str, AuditFigures]
    sets: dict[str, SetFigures]

    @property
    def base_rate(self) -> float:
        """Share of entries that are wrong: the AUPRC of chance."""
        return self.errors / self.entries


@dataclass(frozen=True, slots=True)
class AuditDifference:
    """The combination minus another method, mean over seeds, resampled by identity.

    Attributes:
        noise: `N1 5 %`, …
        other: The method.
        auprc: Over all entries together.
        macro_auprc: Of the mean over labels.
    """

    noise: str
    other: str
    auprc: Interval
    macro_auprc: Interval


@dataclass(frozen=True, slots=True)
class SetDifference:
    """Errors that the combination finds and a set does not, at the set's own size, mean over seeds.

    Attributes:
        noise: `N1 5 %`, …
        by: cleanlab's method of making the set.
        size: Entries in the set.
        recall: Difference of the shares of errors found.
        more: The same as a number of errors.
    """

    noise: str
    by: str
    size: float
    recall: Interval
    more: float


@dataclass(frozen=True, slots=True)
class EstimateCheck:
    """Estimated error rates on noisy labels, less those on the original ones, against what was injected.

    Attributes:
        noise: `N1 5 %`, …
        seed: Of the noise.
        injected: Share of entries flipped, mean over labels.
        estimated: Difference of the estimates, mean over labels.
        off: Mean absolute error over labels.
        within: Share of labels whose injected rate lies in the interval, less the original's estimate.
        false_absent: Of what stands as absent: estimated difference minus the share flipped, mean over
            labels.
        false_present: Of what stands as present.
    """

    noise: str
    seed: int
    injected: float
    estimated: float
    off: float
    within: float
    false_absent: float
    false_present: float


@dataclass(frozen=True, slots=True)
class ContradictionCheck:
    """N5: what the labels as they are contradict themselves in.

    Attributes:
        rules: Mined rules, the surest first, in words.
        violations: Images that break each.
        expected: Rules that P4 expects of these labels; None where they are others.
        surfaced: How many of these were mined.
        renamed: Whether other names in another order give the same rules.
        twins: Pairs of images that show the same picture; None where nobody looked.
        disagreeing: Pairs of which a label differs.
        disagreements: Entries in which they differ.
    """

    rules: tuple[str, ...]
    violations: tuple[int, ...]
    expected: int | None
    surfaced: int
    renamed: bool
    twins: int | None
    disagreeing: int
    disagreements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBenchReport(Report):
    """P4.

    Attributes:
        label_names: L names.
        scorers: Names, in the order they ran.
        combination: The weights, as they are stored.
        figures: Every figure with its target.
        runs: One a model of noise and seed.
        differences: The combination minus each baseline and each scorer alone.
        left_out: The combination minus the one without a scorer, which `other` names.
        sets: The combination against cleanlab's filter.
        estimates: Of error rates.
        contradictions: N5.
    """

    label_names: tuple[str, ...]
    scorers: tuple[str, ...]
    combination: dict[str, Any]
    figures: tuple[Measured, ...]
    runs: tuple[NoiseRun, ...]
    differences: tuple[AuditDifference, ...]
    left_out: tuple[AuditDifference, ...]
    sets: tuple[SetDifference, ...]
    estimates: tuple[EstimateCheck, ...]
    contradictions: ContradictionCheck

    def lines(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a figure: `metric`, `value`, `target`, `passed`, `unit`, `seed`, `paper`."""
        return [jsonable(row) for row in self.figures]

    def tables(self) -> tuple[Table, ...]:
        """Figures, rankings by noise, differences, sets, estimates, contradictions."""
        figures = Table(
            "Figures",
            ("metric", "found", "target", "reached"),
            tuple((row.metric, row.value, row.target, row.passed) for row in self.figures),
        )
        noises = dict.fromkeys(run.noise for run in self.runs)
        rankings = [_rankings(noise, [run for run in self.runs if run.noise == noise]) for noise in noises]
        others = [
            _differences("All together minus another method", self.differences),
            _differences("All together minus the same without one scorer", self.left_out),
            Table(
                "All together against cleanlab's filter, at the filter's own size, mean over seeds",
                (
                    "noise",
                    "filter",
                    "size",
                    "its precision",
                    "ours",
                    "more errors found",
                    "recall, difference",
                ),
                tuple(self._set_row(row) for row in self.sets),
            ),
            _estimates(self.estimates),
            *_contradictions(self.contradictions),
        ]
        return tuple(table for table in (figures, *rankings, *others) if table.rows)

    def _set_row(self, row: SetDifference) -> tuple[Any, ...]:
        found = [run.sets[row.by] for run in self.runs if run.noise == row.noise]
        return (
            row.noise,
            row.by,
            f"{row.size:,.0f}",
            finite_mean(one.precision for one in found),
            finite_mean(one.ranked_precision for one in found),
            f"{row.more:+,.0f}",
            row.recall,
        )


def _rankings(noise: str, runs: Sequence[NoiseRun]) -> Table:
    base = finite_mean(run.base_rate for run in runs)
    seeds = ", ".join(str(run.seed) for run in runs)
    rows = []
    for method in runs[0].rankings:
        if method.startswith(WITHOUT):
            continue
        found = [run.rankings[method] for run in runs]
        spread = float(np.std([one.auprc for one in found], ddof=1)) if len(found) > 1 else None
        means = [finite_mean(getattr(one, measure) for one in found) for measure in _MEASURES]
        rows.append((method, means[0], spread, *means[1:]))
    heads = list(_MEASURES.values())
    return Table(
        f"{noise}: rankings of all entries, mean of seeds {seeds}",
        ("method", heads[0], "± sd", *heads[1:]),
        tuple(rows),
        note=(
            f"{base:.2%} of the entries are wrong, which is the AUPRC of chance. Where {NATURAL:.0%} were "
            f"wrong before, finding every wrong entry has precision {perfect_precision(base, NATURAL):.3f}."
        ),
    )


def _differences(title: str, rows: Sequence[AuditDifference]) -> Table:
    return Table(
        f"{title}, mean over seeds, 95 % intervals by identity",
        ("noise", "method", "AUPRC", "macro"),
        tuple((row.noise, row.other, row.auprc, row.macro_auprc) for row in rows),
    )


def _estimates(rows: Sequence[EstimateCheck]) -> Table:
    return Table(
        "Estimated error rates: on noisy labels, less those on the labels as they were",
        tuple(_CHECKED.values()),
        tuple(tuple(getattr(row, name) for name in _CHECKED) for row in rows),
        note="Means over labels; within: labels whose injected rate lies in the 90 % interval.",
    )


def _contradictions(found: ContradictionCheck) -> list[Table]:
    counts = [
        ("rules mined", len(found.rules)),
        ("images breaking one, in all", sum(found.violations)),
        ("rules expected of these labels", found.expected),
        ("of these mined", None if found.expected is None else found.surfaced),
        ("the same after renaming", found.renamed),
        ("pairs of images of the same picture", found.twins),
        ("pairs whose labels disagree", None if found.twins is None else found.disagreeing),
        ("entries in which they do", None if found.twins is None else found.disagreements),
    ]
    rules = Table(
        "N5: mined rules, the surest first",
        ("rule", "broken by"),
        tuple(zip(found.rules, found.violations, strict=True)),
    )
    return [Table("N5: contradictions in the labels as they are", ("what", "found"), tuple(counts)), rules]
