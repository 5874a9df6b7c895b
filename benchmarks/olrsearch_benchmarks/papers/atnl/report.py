"""What `bench papers atnl` prints: both tables of paper 002 with what they must reach, seed by seed.

Notation: S seeds, n test images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.evaluation.bootstrap import Interval, paired_difference
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.report import Report, Table, jsonable
from olrsearch_benchmarks.papers.atnl.few_shot import EXTRAS, PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch_benchmarks.papers.atnl.few_shot import FewShots
    from olrsearch_benchmarks.papers.atnl.table1 import Measures

POSTER: Final = {"ae": 0.9463, "vae": 0.9642, "vae-tl": 0.9846, "atnl": 0.9914}
"""Paper 002, table 1, MNIST."""

_GAINS: Final = {"kNN": 0.172, "CNN": 0.081}
"""Paper 002, table 2: with ATNL data augmentation, less without."""

_PICTURES: Final = 2000
"""Midpoints that a seed reads: fewer than one of them cannot be told from none."""

_NAMES: Final = {
    "ae": "AE",
    "vae": "VAE",
    "aae": "AAE",
    "acai": "ACAI",
    "vae-tl": "VAE-TL",
    "atnl": "ATNL",
}
_MEASURES: Final = {
    "neighbours": "5-NN in the latent space",
    "reconstructed": "reconstructions read rightly",
    "same": "midpoints of one digit read as it",
    "between": "frames from a to b read as a digit from a to b",
    "ordered": "strips from a to b read in order",
    "midpoint": "midpoints of d and d + 2 read as d + 1",
    "order": "correlation of distances with differences of digits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AtnlPaperReport(Report):
    """P5 of paper 002.

    Attributes:
        figures: Every figure with its target and the poster's: means over seeds and draws.
        by_seed: The figures of single seeds: kind, measure, one value a seed.
        ahead: ATNL − VAE-TL, share of test images told by the vote, paired by image.
        few_shots: Accuracy of each classifier, protocol and addition, mean over draws.
        gains: Differences of accuracy with intervals by draw.
    """

    figures: tuple[Measured, ...]
    by_seed: tuple[tuple[str, str, tuple[float, ...]], ...]
    ahead: Interval
    few_shots: tuple[tuple[Any, ...], ...]
    gains: tuple[tuple[str, Interval], ...]

    def lines(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a figure: `metric`, `value`, `target`, `passed`, `unit`, `seed`, `paper`."""
        return [jsonable(row) for row in self.figures]

    def tables(self) -> tuple[Table, ...]:
        """Figures, then what they are made of."""
        found = (
            Table(
                "Figures",
                ("metric", "found", "target", "reached", "paper"),
                tuple((row.metric, row.value, row.target, row.passed, row.paper) for row in self.figures),
                note=f"5-NN, ATNL − VAE-TL, paired by image: {self.ahead}.",
            ),
            Table(
                "By seed",
                ("encoder", "measure", "seeds 0, 1, …"),
                tuple(
                    (kind, measure, ", ".join(f"{value:.4f}" for value in values))
                    for kind, measure, values in self.by_seed
                ),
            ),
            Table(
                "Few shots, accuracy on the test images, mean over draws",
                ("classifier", "shots", "encoder told", *EXTRAS),
                self.few_shots,
                note="Beside shots 60 pictures a digit: varied copies, pictures between two shots, or both.",
            ),
            Table("Few shots, gains with 95 % intervals by draw", ("gain", "interval"), self.gains),
        )
        return tuple(table for table in found if table.rows)


def make_report(
    measured: Mapping[str, Sequence[Measures]],
    few_shots: Sequence[FewShots],
    *,
    data: dict[str, Any],
    command: str,
    notes: Sequence[str],
    seed: int = 0,
) -> AtnlPaperReport:
    """Put figures beside targets.

    Args:
        measured: For each kind what each of its seeds reached; ATNL and VAE-TL among them.
        few_shots: What classifiers reached.
        data: Name and counts.
        command: What to run to get it again.
        notes: What a reader must know.
        seed: Of the intervals' resamples.
    """
    mean = {
        kind: {name: float(np.mean([getattr(one, name) for one in seeds])) for name in _MEASURES}
        for kind, seeds in measured.items()
    }
    ours, theirs = (np.mean([one.right for one in measured[kind]], axis=0) for kind in ("atnl", "vae-tl"))
    ahead = paired_difference(ours, theirs, seed=seed)
    figures = [
        Measured.of(
            f"{_NAMES[kind]}, {title}",
            mean[kind][name],
            _target(kind, name),
            seed=seed,
            paper=POSTER.get(kind) if name == "neighbours" else None,
        )
        for name, title in _MEASURES.items()
        for kind, seeds in measured.items()
    ]
    least = 1 / _PICTURES
    figures.append(
        Measured.of(
            "midpoints read as d + 1, ATNL : VAE-TL (at least one picture)",
            mean["atnl"]["midpoint"] / max(mean["vae-tl"]["midpoint"], least),
            10.0,
            seed=seed,
            unit="ratio",
        )
    )
    figures.append(
        Measured.of(
            "5-NN, ATNL − VAE-TL, lower end", ahead.low, 0.0, seed=seed, unit="difference", paper=0.0068
        )
    )
    gains = []
    for one in few_shots:
        who = f"{one.classifier}{f' k = {one.neighbours}' if one.neighbours else ''}, {one.shots} shots"
        told = "leaking" if one.leaking else "not leaking"
        for base in ("none", "augmentation"):
            gain = paired_difference(one.accuracy["hallucination"], one.accuracy[base], seed=seed)
            gains.append((f"{who}, {told}: hallucination − {base}", gain))
            if one.leaking == (base == "none"):
                wanted = 0.15 if one.leaking else 0.03
                figures.append(
                    Measured.of(
                        f"{who}, {told}: hallucination − {base}",
                        gain.estimate,
                        wanted if one.classifier == "kNN" else None,
                        seed=seed,
                        unit="difference",
                        paper=_GAINS[one.classifier] if one.leaking else None,
                    )
                )
        both = paired_difference(one.accuracy["both"], one.accuracy["augmentation"], seed=seed)
        gains.append((f"{who}, {told}: both − augmentation", both))
    return AtnlPaperReport(
        protocol="P5",
        title="ATNL on MNIST, tables 1 and 2",
        command=command,
        seed=seed,
        baseline="AE, VAE, AAE, ACAI and VAE-TL on the same networks; shots alone and augmentation",
        data=data,
        notes=tuple(notes),
        figures=tuple(figures),
        by_seed=tuple(
            (_NAMES[kind], title, tuple(getattr(one, name) for one in seeds))
            for kind, seeds in measured.items()
            for name, title in _MEASURES.items()
        ),
        ahead=ahead,
        few_shots=tuple(
            (
                f"{one.classifier}{f', k = {one.neighbours}' if one.neighbours else ''}",
                one.shots,
                "all labels" if one.leaking else "other digits'",
                *(float(np.mean(one.accuracy[extra])) for extra in EXTRAS),
            )
            for one in few_shots
        ),
        gains=tuple(gains),
    )


def _target(kind: str, name: str) -> float | None:
    """What ATNL must reach."""
    return {"neighbours": 0.985, "midpoint": 0.15}.get(name) if kind == "atnl" else None


def shots_note(few_shots: Sequence[FewShots]) -> str:
    """How many shots were found to give the poster's plain figures."""
    found = sorted({(one.classifier, one.neighbours, one.shots) for one in few_shots})
    return "; ".join(
        f"{name}{f', k = {neighbours}' if neighbours else ''}: {shots} shots a digit come nearest to "
        f"{100 * PLAIN[name]:.1f} on the selection images"
        for name, neighbours, shots in found
    )
