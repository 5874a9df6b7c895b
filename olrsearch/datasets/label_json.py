"""Label tables of JSON lines: an object an image, labels in an object of their own.

```
{"image": "000001.jpg", "partition": "train", "identity": 2880, "labels": {"Smiling": "present", …}}
```

`partition` and `identity` may be left out or null. Values are what cells of a CSV file may hold, and
JSON's numbers 1, 0, −1, true, false and null; a label that a line leaves out is unknown there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from olrsearch.core.errors import LabelFileError
from olrsearch.core.shown import shown
from olrsearch.datasets.json_lines import parse_json
from olrsearch.datasets.table_columns import APART, IDENTITY_COLUMN, check_number
from olrsearch.datasets.text_files import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIXES: Final = frozenset({".json", ".jsonl"})

_LABELS: Final = "labels"
_EXACT: Final = 2**53
"""Numbers with a fraction or an exponent are read exactly below it."""


def read_label_lines(path: Path) -> tuple[list[str], list[tuple[int, Sequence[str]]]]:
    """The file as a table of cells.

    Returns:
        The label names, in the order in which they first occur, and for each line its number and the cells
        of `APART` and the labels.

    Raises:
        DatasetNotFoundError: there is no such file.
        LabelFileError: it is not such a file; the message names the line.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    names: dict[str, None] = {}
    # Not `splitlines`: a text may hold one of the other characters that it takes for a line's end.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            row = _row(line, f"{path.name}, line {number}")
            names.update(dict.fromkeys(row[_LABELS]))
            found.append((number, row))
    if not found:
        raise LabelFileError(f"{path.name} holds no rows, expected one JSON object an image")
    check_number(names, path.name)
    rows: list[tuple[int, Sequence[str]]] = []
    for number, row in found:
        said = [(name, row.get(name)) for name in APART]
        said += [(name, row[_LABELS].get(name)) for name in names]
        rows.append((number, [_cell(value, name, f"{path.name}, line {number}") for name, value in said]))
    return list(names), rows


def _row(line: str, where: str) -> dict[str, Any]:
    """One line, with the right keys."""
    try:
        row = parse_json(line)
    except ValueError as cause:
        raise LabelFileError(f"{where}: found no JSON ({cause}); expected one object a line") from cause
    if (
        not isinstance(row, dict)
        or not isinstance(row.get(_LABELS), dict)
        or not isinstance(row.get("image"), str)
    ):
        raise LabelFileError(
            f'{where}: expected an object {{"image": "…", "labels": {{…}}}}, found {shown(line)}'
        )
    extra = [name for name in row if name not in {*APART, _LABELS}]
    if extra:
        raise LabelFileError(
            f"{where}: found the key {shown(extra[0])}, expected {', '.join(APART)} and {_LABELS}"
        )
    return row


def _cell(value: Any, name: str, where: str) -> str:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        raise LabelFileError(f"{where}: found a list or an object at {shown(name)}, expected one value")
    if name == IDENTITY_COLUMN and isinstance(value, bool | float):
        if value != value:  # noqa: PLR0124 - NaN, which pandas writes for nobody
            return ""
        if isinstance(value, bool) or value % 1 or abs(value) >= _EXACT:
            found = shown(str(value).lower())
            raise LabelFileError(f"{where}: found {found} at {name}, expected a whole number or a name")
        return str(int(value))
    return "" if value is None else str(value).lower()
