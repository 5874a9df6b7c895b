"""CSV as programs write it and people save it, as columns of cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.datasets.text_files import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch.core.errors import OlrsearchError

Rows: TypeAlias = Sequence[tuple[int, Sequence[str]]]
"""Cells, with the number of the line that they end on."""

_DELIMITERS: Final = (",", ";", "\t")


def read_csv(
    path: Path,
    *,
    what: str = "label file",
    missing: type[OlrsearchError] = DatasetNotFoundError,
    damaged: type[OlrsearchError] = LabelFileError,
) -> tuple[list[str], Rows]:
    """A CSV or TSV file's header, and its rows with the number of the line each ends on.

    Args:
        path: Text as `read_text` takes it; as `parse_csv` says, and `.tsv` separated by tabs.
        what: What errors call it.
        missing: The error of a file that cannot be opened.
        damaged: The error of one that is no such file.
    """
    text = read_text(path, what=what, missing=missing, damaged=damaged)
    return parse_csv(
        text, where=path.name, delimiter="\t" if path.suffix.lower() == ".tsv" else None, damaged=damaged
    )


def parse_csv(
    text: str,
    *,
    where: str,
    delimiter: str | None = None,
    damaged: type[OlrsearchError] = LabelFileError,
) -> tuple[list[str], Rows]:
    """The header of CSV text, and its rows; empty lines are passed over.

    Args:
        text: Separated by `,`, `;` or tabs, whichever gives header and first row the same columns; a first
            line such as `sep=;`, as spreadsheets write it, says it.
        where: What to call the file in an error message.
        delimiter: Where it is known.
        damaged: The error: quotes that are not closed, or no row below the header.
    """
    passed = 0
    first, line_end, rest = text.partition("\n")
    said = first.rstrip("\r").strip('"')
    if said[:4].lower() == "sep=" and len(said) == 5:
        delimiter, text, passed = said[4], rest, len(line_end)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True)
    try:
        header = [name.strip() for name in next(_cells(reader), (0, []))[1]]
        # Millions of cells say few things: one text each takes less memory, and is found faster.
        one = dict[str, str]().setdefault
        rows = [(line + passed, list(map(one, cells, cells))) for line, cells in _cells(reader)]
    except csv.Error as cause:
        raise damaged(f"{where}, line {reader.line_num + passed}: {cause}; is a quote left open?") from cause
    if not header or not rows:
        raise damaged(f"{where} holds no rows, expected a header and rows below it")
    return header, rows


def wrong_width(found: Sequence[str], header: Sequence[str]) -> str:
    """What is wrong with a row that has another number of columns than the header."""
    other = next((mark for mark in (*_DELIMITERS, "|") if len(found) == 1 and mark in found[0]), None)
    hint = "" if other is None else f"; this line is separated by {other!r}"
    return f"found {len(found)} columns, expected {len(header)} as in the header{hint}"


def _cells(reader: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - csv does not export its type
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _delimiter(text: str) -> str:
    """What separates columns, judged by the header and the first row."""
    best, chosen = (False, 0), ","
    for mark in _DELIMITERS:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
            widths = [len(cells) for _, cells in islice(_cells(reader), 2)]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            rank = (widths[0] == widths[-1], 1)
            if rank > best:
                best, chosen = rank, mark
    return chosen
