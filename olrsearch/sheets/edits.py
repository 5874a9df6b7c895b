"""Contact sheets of edited images: made pictures beside the one that was found, and marked as made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from olrsearch.core.made import SHORT
from olrsearch.search.edited_images import EditedImage
from olrsearch.sheets.contents import Bar, Card, Section, Sheet
from olrsearch.sheets.made import made_png

if TYPE_CHECKING:
    from olrsearch.search.edited_images import EditedCell, EditedLabel, EditGrid

_STRENGTH: Final = re.compile(r"\^[\d.e-]+(?= |$)")
_BARS: Final = "bars: probability after the edit, by the encoder's readout"


def edit_sheet(found: EditedImage | EditGrid, original: bytes | None) -> Sheet:
    """The sheet of an edited image or of a grid.

    Args:
        found: What to show; it has pictures.
        original: A JPEG of the image that was edited; None where it is gone.
    """
    asked = [Card(title=found.image, score="the image", picture=original)]
    return _one(found, asked) if isinstance(found, EditedImage) else _grid(found, asked)


def _one(found: EditedImage, asked: list[Card]) -> Sheet:
    cards = []
    if found.pictures is not None:
        asked.append(Card("decoded as it is", SHORT, made_png(found.pictures.before)))
        bars = tuple(_bar(item) for item in (*found.asked, *found.changed[:4]))
        cards.append(Card(found.edits, SHORT, made_png(found.pictures.after), bars))
    return Sheet(
        heading=f"{found.image} {found.edits}",
        summary=f"edited by {_by(found.way)}",
        cards=tuple(cards),
        notes=(_BARS, *found.notes),
        asked=tuple(asked),
        made=True,
    )


def _grid(found: EditGrid, asked: list[Card]) -> Sheet:
    if found.before is not None:
        asked.append(Card("decoded as it is", SHORT, made_png(found.before)))
    width = len(found.strengths)
    rows = [found.cells[start : start + width] for start in range(0, len(found.cells), width)]
    sections = tuple(
        Section(heading=row[0].edits if width == 1 else _row_name(row), summary=SHORT, cards=_cells(row))
        for row in rows
    )
    return Sheet(
        heading=f"{found.image}, edited in {width} strengths",
        summary=f"edited by {_by(found.way)}",
        cards=(),
        notes=(_BARS, *found.notes),
        asked=tuple(asked),
        sections=sections,
        made=True,
    )


def _row_name(row: tuple[EditedCell, ...]) -> str:
    """What a row edits, without the strengths."""
    return _STRENGTH.sub("", row[0].edits)


def _cells(row: tuple[EditedCell, ...]) -> tuple[Card, ...]:
    return tuple(
        Card(
            cell.edits,
            SHORT,
            None if cell.picture is None else made_png(cell.picture),
            tuple(Bar(label, f"{chance:.2f}", chance) for label, chance in cell.probabilities.items()),
        )
        for cell in row
    )


def _by(way: str) -> str:
    return "directions through all labels" if way == "directions" else "the paper's way, one vector replaced"


def _bar(item: EditedLabel) -> Bar:
    sign = {"added": "+", "removed": "-"}.get(item.asked or "", "")
    return Bar(sign + item.label, f"{item.before:.2f} → {item.after:.2f}", item.after)
