"""What `bench papers label-shots` prints.

Notation: L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.evaluation.bootstrap import Interval, paired_difference
from olrsearch.evaluation.report import Report, Table
from olrsearch_benchmarks.papers.atnl.label_shots import measure_label_shots

if TYPE_CHECKING:
    from olrsearch.evaluation.data import BenchData

_NOTES = (
    "Examples are training images, as many with the label as without it; found are images of val and test.",
    "Made embeddings: 60 with and 60 without the label, along the great circle between two examples.",
    "With its own vector a label leaks: the encoder was trained on all its examples.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelShotsReport(Report):
    """Few examples of a label.

    Attributes:
        rows: Scorer, whether the label's own vector counts, shots, mAP without and with made embeddings,
            and their difference, paired by label.
    """

    rows: tuple[tuple[str, str, int, float, float, Interval], ...]

    def tables(self) -> tuple[Table, ...]:
        """One row a scorer and number of examples."""
        return (
            Table(
                "Average precision on val and test, mean over labels and draws",
                ("scorer", "own vector", "examples", "alone", "with made ones", "difference"),
                self.rows,
            ),
        )


def run_label_shots(
    data: BenchData, *, draws: int, seed: int = 0, command: str = "olrsearch bench papers label-shots"
) -> LabelShotsReport:
    """Measure few examples of every label.

    Args:
        data: Of a space of label embeddings.
        draws: Draws of examples that are averaged.
        seed: Of the draws and the resamples.
        command: What the report says to run.
    """
    rows = []
    for one in measure_label_shots(data, draws=draws, seed=seed):
        gain = paired_difference(one.hallucinated, one.plain, seed=seed)
        means = (float(np.nanmean(values)) for values in (one.plain, one.hallucinated))
        plain, made = means
        rows.append((one.scorer, "yes" if one.own else "no", one.shots, plain, made, gain))
    return LabelShotsReport(
        protocol="P5",
        title="few examples of a label, and embeddings made between them",
        command=command,
        seed=seed,
        baseline="the examples alone",
        data=data.summary(),
        notes=(*data.caveats(), *_NOTES),
        rows=tuple(rows),
    )
