"""What a benchmark returns: values by documented keys, and the same as readable tables.

Every report says whose data, which seed, which baseline and which command it came from. As JSON:

| key | content |
| --- | --- |
| `protocol` | `P1` … `P7` |
| `title` | one line |
| `command` | what to run to get it again |
| `seed` | of everything random in it |
| `baseline` | what the figures stand against |
| `data` | `name`, `images`, `labels`, `dimensions`, `train`, `selection`, `gallery` |
| `results` | the protocol's own keys, documented at its report class |
| `notes` | what a reader must know |

NaN (a label without positives) becomes null; an interval is `{estimate, low, high, excludes_zero}`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.label_values import label_fields
from olrsearch.evaluation.bootstrap import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F64


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a report.

    Attributes:
        title: What it shows.
        columns: Heads, the first of them of the row names.
        rows: Cells: str, int, float (four decimals), Interval or None.
        note: A line below it, may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    def to_markdown(self) -> str:
        """A GitHub table with aligned columns, so that it reads as plain text too."""
        cells = [list(self.columns), *([_cell(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [_line(row, widths) for row in cells]
        rule = "| " + " | ".join(
            "-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)
        )
        lines.insert(1, rule + " |")
        return "\n".join([f"**{self.title}**", "", *lines, *(["", self.note] if self.note else [])])


def label_table(title: str, head: str, names: Sequence[str], columns: Mapping[str, F64]) -> Table:
    """A table with a row a label, of figures float64 [L] by their heads.

    Args:
        title: What it shows.
        head: Of the names.
        names: L labels.
        columns: Head → figures, in their order.
    """
    rows = zip(names, *(values.tolist() for values in columns.values()), strict=True)
    return Table(title, (head, *columns), tuple(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(ABC):
    """Base of every protocol's report; subclasses add their result fields.

    Attributes:
        protocol: `P1` … `P7`.
        title: One line.
        command: What to run to get it again.
        seed: Of everything random in it.
        baseline: What the figures stand against.
        data: `BenchData.summary()`.
        notes: What a reader must know.
    """

    protocol: str
    title: str
    command: str
    seed: int
    baseline: str
    data: dict[str, Any]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def tables(self) -> tuple[Table, ...]:
        """The figures as tables."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict, keys as this module documents them."""
        heads = [field.name for field in fields(Report)]
        out = {name: jsonable(getattr(self, name)) for name in heads}
        out["results"] = {
            field.name: jsonable(getattr(self, field.name))
            for field in fields(self)
            if field.name not in heads
        }
        return out

    def to_markdown(self) -> str:
        """A section of markdown: heading, provenance, tables, notes."""
        rows = ", ".join(
            f"{self.data[key]} {key}"
            for key in ("images", "train", "selection", "gallery")
            if key in self.data
        )
        head = [
            f"### {self.protocol}: {self.title}",
            "",
            f"Data: {self.data['name']} ({rows}). Seed {self.seed}. Baseline: {self.baseline}.",
            "",
            f"    {self.command}",
        ]
        body = [part for table in self.tables() for part in ("", table.to_markdown())]
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*head, *body, *notes]) + "\n"


def jsonable(value: Any) -> Any:  # noqa: ANN401  # any JSON value in, any out
    """Plain Python for `json.dumps`: arrays to lists, NaN to None, dataclasses to dicts."""
    if isinstance(value, Interval):
        parts = {name: jsonable(getattr(value, name)) for name in ("estimate", "low", "high")}
        return {**parts, "excludes_zero": value.excludes_zero}
    if is_dataclass(value) and not isinstance(value, type):
        named = label_fields(value)
        return {
            field.name: jsonable(named.get(field.name, getattr(value, field.name))) for field in fields(value)
        }
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.ljust(width) if column == 0 else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(cells) + " |"


def _cell(value: Any) -> str:  # noqa: ANN401  # a cell is text, number or interval
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4f}" if math.isfinite(value) else "–"
    return str(value)
