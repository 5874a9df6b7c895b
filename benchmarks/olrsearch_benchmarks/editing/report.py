"""Paper 000, section 4.5, as one report: judged pictures, and edited embeddings as queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.report import Report, Table, jsonable
from olrsearch_benchmarks.editing.queries import BASELINE, OURS

if TYPE_CHECKING:
    from olrsearch_benchmarks.editing.pictures import EditShare, Readable, WayShares
    from olrsearch_benchmarks.editing.queries import EditedQueries

ADDED: Final = 0.70
REMOVED: Final = 0.80
KEPT: Final = 0.92
RATIO: Final = 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class EditingReport(Report):
    """P5 of editing.

    Attributes:
        space: What was measured.
        figures: Every figure with its target.
        readable: How well the judge reads each label; empty without a decoder.
        selection: Shares of edits on selection images, which the strength was chosen by.
        ways: Shares of edits on the gallery, ours first.
        queries: Edited embeddings as queries.
    """

    space: str
    figures: tuple[Measured, ...]
    readable: tuple[Readable, ...]
    selection: tuple[WayShares, ...]
    ways: tuple[WayShares, ...]
    queries: EditedQueries

    def lines(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a figure: `metric`, `value`, `target`, `passed`, `unit`, `seed`, `paper`."""
        return [{**jsonable(row), "space": self.space} for row in self.figures]

    def tables(self) -> tuple[Table, ...]:
        """Figures, queries, ways, labels, the judge."""
        figures = Table(
            "Figures",
            ("metric", "found", "target", "reached"),
            tuple((row.metric, row.value, row.target, row.passed) for row in self.figures),
            note=f"Space {self.space}.",
        )
        asked = Table(
            f"Like A, but with B: {self.queries.queries} queries of {self.queries.labels} labels, "
            f"{self.queries.relevant:g} relevant images in the middle",
            ("method", "AP", "P@20", "ours − it, AP"),
            tuple(
                (name, value, self.queries.p20[name], self.queries.differences.get(f"{OURS} − {name}"))
                for name, value in self.queries.ap.items()
            ),
            note=f"AP of ours over that of {BASELINE}: {self.queries.ratio}.",
        )
        ways = [
            _way_table(title, rows)
            for title, rows in (
                ("Ways of editing, on selection images", self.selection),
                ("Ways of editing, on the gallery", self.ways),
            )
        ]
        labels = [
            Table(
                f"By label, {way.name}",
                ("label", "added", "removed", "others changed", "all others changed", "edits"),
                tuple(_cells(row) for row in way.labels),
            )
            for way in self.ways[:2]
        ]
        judge = Table(
            "The judge's balanced accuracy on the gallery",
            ("label", "images", "reconstructions", "among the edited"),
            tuple(
                (row.label, row.real, row.reconstructed, row.chosen)
                for row in sorted(self.readable, key=lambda row: -row.reconstructed)
            ),
        )
        return tuple(table for table in (figures, asked, *ways, *labels, judge) if table.rows)


def figures_of(
    queries: EditedQueries, ways: tuple[WayShares, ...], readable: tuple[Readable, ...], seed: int
) -> tuple[Measured, ...]:
    """What is to be reached, and what was."""
    rows = [
        Measured.of(
            f"AP of edited queries over {BASELINE}", queries.ratio.estimate, RATIO, seed=seed, unit="ratio"
        ),
        Measured.of("AP of edited queries", queries.ap[OURS], seed=seed),
    ]
    for place, way in enumerate(ways):
        targets = (ADDED, REMOVED, KEPT) if place == 0 else (None, None, None)
        values = (way.total.added, way.total.removed, 1 - way.total.others)
        what = ("asked label added", "asked label removed", "other labels as they were")
        rows += [
            Measured.of(f"{metric}, {way.name}", value, target, seed=seed)
            for metric, value, target in zip(what, values, targets, strict=True)
        ]
    chosen = [row for row in readable if row.chosen]
    if chosen:
        accuracies = {
            "images": [row.real for row in chosen],
            "reconstructions": [row.reconstructed for row in chosen],
        }
        for seen, accuracy in accuracies.items():
            rows.append(
                Measured.of(f"judge's balanced accuracy on {seen}", sum(accuracy) / len(accuracy), seed=seed)
            )
    return tuple(rows)


def _way_table(title: str, rows: tuple[WayShares, ...]) -> Table:
    return Table(
        title,
        ("way", "added", "removed", "others changed", "all others changed", "edits"),
        tuple((way.name, *_cells(way.total)[1:]) for way in rows),
    )


def _cells(row: EditShare) -> tuple[str | float | int, ...]:
    return (row.label, row.added, row.removed, row.others, row.everything, row.edits)
