"""Label tables of JSON lines: an object an image, labels in an object of their own.

```
{"image": "000001.jpg", "partition": "train", "identity": 2880, "labels": {"Smiling": "present", …}}
```

`partition` and `identity` may be left out or null. Values are what cells of a CSV file may hold, and
JSON's numbers 1, 0, −1, true, false and null; a label that a line leaves out is unknown there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.base import open_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUFFIXES: Final = frozenset({".json", ".jsonl"})
COLUMNS: Final = ("image", "partition", "identity")
"""The columns before the labels."""

_LABELS: Final = "labels"


def read_label_lines(path: Path) -> tuple[list[str], list[tuple[int, Sequence[str]]]]:
    """The file as a table of cells.

    Returns:
        The label names, in the order in which they first occur, and for each line its number and the cells
        of `COLUMNS` and the labels.

    Raises:
        DatasetNotFoundError: there is no such file.
        LabelFileError: it is not such a file; the message names the line.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    names: dict[str, None] = {}
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                row = _row(line, f"{path.name}, line {number}")
                names.update(dict.fromkeys(row[_LABELS]))
                found.append((number, row))
    if not found:
        raise LabelFileError(f"{path.name} holds no rows, expected one JSON object an image")
    rows: list[tuple[int, Sequence[str]]] = []
    for number, row in found:
        said = [(name, row.get(name)) for name in COLUMNS]
        said += [(name, row[_LABELS].get(name)) for name in names]
        rows.append((number, [_cell(value, name, f"{path.name}, line {number}") for name, value in said]))
    return list(names), rows


def _row(line: str, where: str) -> dict[str, Any]:
    """One line, with the right keys."""
    try:
        row = json.loads(line, object_pairs_hook=lambda pairs: _object(pairs, where))
    except ValueError as cause:
        raise LabelFileError(f"{where}: found no JSON ({cause}); expected one object a line") from cause
    if (
        not isinstance(row, dict)
        or not isinstance(row.get(_LABELS), dict)
        or not isinstance(row.get("image"), str)
    ):
        raise LabelFileError(
            f'{where}: expected an object {{"image": "…", "labels": {{…}}}}, found {line[:60]!r}'
        )
    extra = [name for name in row if name not in {*COLUMNS, _LABELS}]
    if extra:
        raise LabelFileError(
            f"{where}: found the key {extra[0]!r}, expected {', '.join(COLUMNS)} and {_LABELS}"
        )
    return row


def _object(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """An object whose keys are unique: Python's reader would take the last in silence."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise LabelFileError(f"{where}: found a key twice, expected each once")
    return row


def _cell(value: Any, name: str, where: str) -> str:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        raise LabelFileError(f"{where}: found a list or an object at {name!r}, expected one value")
    return "" if value is None else str(value).lower()
