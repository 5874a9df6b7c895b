"""Tables for people: columns that stand below one another, whatever script their texts are in."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

from olrsearch.core.shown import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NO_WIDTH: Final = {"Mn", "Me", "Cf"}
"""Categories of characters that take no column of a terminal: accents that are added, and joiners."""


def width(text: str) -> int:
    """How many columns of a terminal a text takes: two a character of Chinese, Japanese or Korean."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(sign) in _NO_WIDTH else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )


def left(text: str, columns: int) -> str:
    """A text at the left of so many columns."""
    return text + " " * (columns - width(text))


def right(text: str, columns: int) -> str:
    """A text at the right of so many columns."""
    return " " * (columns - width(text)) + text


def cut(text: str, columns: int) -> str:
    """A text that takes so many columns at most; what is cut off is an ellipsis."""
    if width(text) <= columns:
        return text
    kept = ""
    for sign in text:
        if width(kept + sign) > columns - 1:
            break
        kept += sign
    return f"{kept}…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> Iterator[str]:
    """Lines of a table, two blanks between columns.

    Args:
        head: Above the columns.
        rows: Texts, as many a row as the head has.
        align: A letter a column: `l` for texts, `r` for numbers.
    """
    lines = [head, *([escaped(cell) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        cells = (
            (right if side == "r" else left)(text, most)
            for text, most, side in zip(row, widths, align, strict=True)
        )
        yield "  ".join(cells).rstrip()
