"""Label tables of one's own: CSV, TSV, Parquet or JSON lines with one row an image; CelebA's text file.

One column names the image, `partition` and `identity` are optional, every other column
is a binary label; JSON lines keep labels apart (`label_json`). Cells (upper or lower case):

```
present    1, 1.0, present, true, yes
absent     -1, absent, false, no
unknown    unknown, na, n/a, nan, null, none, ? and the empty cell
0          unknown where any label cell of the file is -1, otherwise absent
```

So both customs read right: 0/1 means absent/present, and −1/0/1 absent/unknown/present.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.datasets.base import PARTITIONS, first_duplicate, issues_of, open_text
from olrsearch.datasets.celeba_files import parse_attributes
from olrsearch.datasets.label_json import COLUMNS, SUFFIXES, read_label_lines
from olrsearch.datasets.table import LabelTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from olrsearch.core.errors import OlrsearchError

KEY_COLUMNS: Final = ("image", "key", "file", "filename", "path")
PARTITION_COLUMN: Final = "partition"
IDENTITY_COLUMN: Final = "identity"

_ZERO = 2  # the code of a 0 until it is known what 0 means in this file
_MINUS_ONE = -2  # told from other ways to say absent, because it decides what 0 means
_CODES: Final = (
    dict.fromkeys(("1", "1.0", "+1", "present", "true", "yes"), 1)
    | dict.fromkeys(("absent", "false", "no"), -1)
    | dict.fromkeys(("-1", "-1.0"), _MINUS_ONE)
    | dict.fromkeys(("0", "0.0", "-0.0"), _ZERO)
    | dict.fromkeys(("", "unknown", "na", "n/a", "nan", "null", "none", "?"), 0)
)
_PARTITIONS: Final = {name: name for name in PARTITIONS} | {
    "training": "train",
    "valid": "val",
    "validation": "val",
}

_Rows = Sequence[tuple[int, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class _Cells:
    """A table before its cells are read: header, rows with their line numbers, and what columns mean."""

    header: list[str]
    rows: _Rows
    key: int
    partition: int | None
    identity: int | None
    plain_keys: bool = True
    """Whether keys are written as people write paths, rather than exactly."""


def read_label_table(path: Path, *, key_column: str | None = None) -> LabelTable:
    """Read a label table; what its cells may hold stands at the top of this module.

    Args:
        path: `.parquet`, `.tsv`, `.json` or `.jsonl` (JSON lines), `.txt` in CelebA's format, or CSV under
            any other name (UTF-8; `;` instead of `,` is recognised by the header).
        key_column: The column that names the image; by default the first that is called
            one of `KEY_COLUMNS`, or else the first.

    Raises:
        DatasetNotFoundError: There is no such file.
        LabelFileError: It is no such table; the message names line and column.
    """
    if _is_celeba(path):
        return parse_attributes(path.read_bytes(), where=path.name)
    cells = _cells(path, key_column)
    where, header = path.name, cells.header
    taken = {cells.key, cells.partition, cells.identity}
    label_at = [at for at in range(len(header)) if at not in taken]

    rows: dict[str, int] = {}  # the row of each key
    repeated: list[str] = []
    partitions: dict[str, str] = {}
    identities: dict[str, int] = {}
    codes = np.zeros((len(cells.rows), len(label_at)), dtype=np.int8)
    for row, (line, found) in enumerate(cells.rows):
        if len(found) != len(header):
            raise LabelFileError(
                f"{where}, line {line}: found {len(found)} columns, expected {len(header)} as in the header"
            )
        key = clean_key(found[cells.key]) if cells.plain_keys else found[cells.key]
        if not key:
            raise LabelFileError(f"{where}, line {line}: found no image name")
        partition = None if cells.partition is None else _partition(found[cells.partition], where, line)
        identity = None if cells.identity is None else _identity(found[cells.identity], where, line)
        codes[row] = [_code(found[at], header[at], where, line) for at in label_at]
        before = rows.setdefault(key, row)
        if before != row:
            same = np.array_equal(codes[before], codes[row])
            if not same or (partition, identity) != (partitions.get(key), identities.get(key)):
                raise LabelFileError(
                    f"{where}, line {line}: found {key} with other values than on line "
                    f"{cells.rows[before][0]}; keep one of the rows"
                )
            repeated.append(key)
        if partition is not None:
            partitions[key] = partition
        if identity is not None:
            identities[key] = identity
    zero = 0 if bool((codes == _MINUS_ONE).any()) else -1
    labels = np.select([codes == _ZERO, codes == _MINUS_ONE], [np.int8(zero), np.int8(-1)], codes)
    return LabelTable(
        names=tuple(header[at] for at in label_at),
        keys=list(rows),
        labels=labels[list(rows.values())].astype(np.int8),
        partitions=partitions,
        identities=identities,
        issues=issues_of("repeated-rows", repeated, f"rows of {where} stand twice"),
    )


def _cells(path: Path, key_column: str | None) -> _Cells:
    """The table that a file holds.

    Raises:
        DatasetNotFoundError: There is no such file.
        LabelFileError: It is no table, or its columns have no unique names.
    """
    if path.suffix.lower() in SUFFIXES:
        if key_column not in {None, COLUMNS[0]}:
            raise LabelFileError(
                f"{path.name} has no column {key_column!r}; JSON lines name it {COLUMNS[0]!r}"
            )
        names, lines = read_label_lines(path)
        return _Cells([*COLUMNS, *names], lines, 0, 1, 2, plain_keys=False)
    header, rows = _read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else read_csv(path)
    twice = first_duplicate(header)
    if twice is not None or "" in header:
        found = "a column without a name" if "" in header else f"the column {twice!r} twice"
        raise LabelFileError(f"{path.name}, line 1: found {found}, expected unique column names")
    lowered = [name.lower() for name in header]
    key_at = _key_column(header, key_column, path.name)
    part_at, person_at = (
        lowered.index(name) if name in lowered else None for name in (PARTITION_COLUMN, IDENTITY_COLUMN)
    )
    return _Cells(header, rows, key_at, part_at, person_at)


def _is_celeba(path: Path) -> bool:
    """Whether a file is in CelebA's format: `.txt` with nothing but a number on its first line."""
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(64).strip().isdigit()


def read_csv(
    path: Path,
    *,
    what: str = "label file",
    missing: type[OlrsearchError] = DatasetNotFoundError,
    damaged: type[OlrsearchError] = LabelFileError,
) -> tuple[list[str], _Rows]:
    """A CSV or TSV file's header, and its rows with the number of the line each ends on.

    Args:
        path: UTF-8, with a byte order mark or without; `.tsv`, or any name, and then `,` or `;`.
        what: What errors call it.
        missing: The error of a file that cannot be opened.
        damaged: The error of one that is no such file.
    """
    try:
        with open_text(path, what=what, missing=missing, damaged=damaged) as file:
            start = file.readline()
            file.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            if delimiter == "," and "," not in start and ";" in start:
                delimiter = ";"
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            rows = list(_csv_rows(reader))
    except csv.Error as cause:
        raise damaged(f"{path.name}, line {reader.line_num}: {cause}") from cause
    if not header or not rows:
        raise damaged(f"{path.name} holds no rows, expected a header and rows below it")
    return header, rows


def _csv_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - csv does not export its type
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _read_parquet(path: Path) -> tuple[list[str], _Rows]:
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise DatasetNotFoundError(f"no label file at {path}")
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as cause:
        raise LabelFileError(f"{path.name} is no Parquet file that can be read: {cause}") from cause
    if table.num_rows == 0:
        raise LabelFileError(f"{path.name} holds no rows, expected one an image")
    columns = [
        ["" if value is None else str(value) for value in column.to_pylist()] for column in table.columns
    ]
    # Rows are counted from 2, as in a CSV with the same content.
    return list(table.column_names), list(enumerate(zip(*columns, strict=True), start=2))


def _key_column(header: list[str], wanted: str | None, where: str) -> int:
    if wanted is not None:
        if wanted not in header:
            raise LabelFileError(f"{where} has no column {wanted!r}; it has {', '.join(header[:10])}")
        return header.index(wanted)
    lowered = [name.lower() for name in header]
    return next((lowered.index(name) for name in KEY_COLUMNS if name in lowered), 0)


def clean_key(cell: str) -> str:
    """A key as data sets have it, from a path as people write it."""
    return cell.strip().replace("\\", "/").removeprefix("./")


def _code(cell: str, column: str, where: str, line: int) -> int:
    code = _CODES.get(cell)
    if code is None:
        code = _CODES.get(cell.strip().lower())
    if code is None:
        expected = "present/absent/unknown, 1/0/-1, true/false or yes/no"
        raise _wrong(cell, column, where, line, expected)
    return code


def _partition(cell: str, where: str, line: int) -> str | None:
    text = cell.strip().lower()
    if text and text not in _PARTITIONS:
        raise _wrong(cell, PARTITION_COLUMN, where, line, f"{', '.join(PARTITIONS)} or nothing")
    return _PARTITIONS.get(text)


def _identity(cell: str, where: str, line: int) -> int | None:
    text = cell.strip().lower().removesuffix(".0")
    if text in {"", "nan", "na"}:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _wrong(cell, IDENTITY_COLUMN, where, line, "a whole number or nothing")
    return int(text)


def _wrong(cell: str, column: str, where: str, line: int, expected: str) -> LabelFileError:
    return LabelFileError(
        f"{where}, line {line}, column {column!r}: found {cell[:40]!r}, expected {expected}"
    )
