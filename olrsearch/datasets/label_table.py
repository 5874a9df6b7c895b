"""Label tables of one's own: CSV, TSV, Parquet or JSON lines with one row an image; CelebA's text file.

One column names the image, `partition` and `identity` are optional, every other column
is a binary label, unless options say otherwise; JSON lines keep labels apart (`label_json`). Cells (upper or
lower case):

```
present    1, 1.0, present, true, yes
absent     -1, absent, false, no
unknown    unknown, na, n/a, nan, null, none, ? and the empty cell
0          unknown where any label cell of the file is -1, otherwise absent
```

So both customs read right: 0/1 means absent/present, and −1/0/1 absent/unknown/present. Where a file has
both, it is said what became of its zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Unpack

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.core.names import unfit_character
from olrsearch.core.shown import shown
from olrsearch.datasets.base import EXAMPLES, DatasetIssue, first_duplicate, issues_of
from olrsearch.datasets.celeba_files import parse_attributes
from olrsearch.datasets.csv_files import parse_csv, read_csv, wrong_width
from olrsearch.datasets.label_json import SUFFIXES, read_label_lines
from olrsearch.datasets.parquet_files import ParquetFile
from olrsearch.datasets.table import LabelTable
from olrsearch.datasets.table_cells import (
    MINUS_ONE,
    ZERO,
    class_labels,
    identities_of,
    label_codes,
    partitions_of,
)
from olrsearch.datasets.table_columns import APART, RawTable, choose_columns, find_column
from olrsearch.datasets.text_files import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I8
    from olrsearch.datasets.csv_files import Rows
    from olrsearch.datasets.table_options import TableOptions

_PARQUET: Final = frozenset({".parquet", ".pq"})
_MARK: Final = b"\xef\xbb\xbf"


def read_label_table(path: Path, **options: Unpack[TableOptions]) -> LabelTable:
    """Read a label table; what its cells may hold stands at the top of this module.

    Args:
        path: `.parquet`, `.tsv`, `.json` or `.jsonl` (JSON lines), `.txt` in CelebA's format, or CSV under
            any other name (UTF-8, or UTF-16 with its mark; `;` or tabs instead of `,` are recognised).
        options: `TableOptions`.

    Raises:
        DatasetNotFoundError: There is no such file.
        LabelFileError: It is no such table; the message names line and column.
    """
    if _is_celeba(path):
        return chosen_labels(parse_attributes(read_file(path), where=path.name), path.name, options)
    suffix = path.suffix.lower()
    headed = options.get("header")
    if suffix in SUFFIXES | _PARQUET and headed is False:
        raise LabelFileError(f"{path.name} names its columns itself: leave out --no-header")
    if suffix in SUFFIXES:
        names, objects = read_label_lines(path)
        return table_of(_raw(path.name, [*APART, *names], objects, exact=True), options)
    if suffix in _PARQUET:
        file = ParquetFile(path)
        # Rows are counted from 2, as in a CSV with the same content.
        return table_of(RawTable(path.name, file.header, range(2, file.count + 2), file.column), options)
    header, rows = read_csv(path)
    if headed is False:
        numbered = [f"Column_{number}" for number in range(1, len(header) + 1)]
        return table_of(_raw(path.name, numbered, [(1, header), *rows]), options)
    return table_of(_raw(path.name, header, rows), options)


def label_table_of_csv(text: str, *, where: str, options: TableOptions) -> LabelTable:
    """The label table that CSV text holds; `where` is what errors call it.

    Raises:
        LabelFileError: As of `read_label_table`.
    """
    header, rows = parse_csv(text, where=where)
    return table_of(_raw(where, header, rows), options)


def table_of(raw: RawTable, options: TableOptions) -> LabelTable:
    """The label table that columns of cells hold.

    Raises:
        LabelFileError: Columns or cells mean nothing, or two rows of one image differ; names line and column.
    """
    columns, where, lines = choose_columns(raw, options), raw.where, raw.lines
    keys = _keys(raw, columns.key)
    names = [raw.header[at] for at in columns.labels]
    codes = np.zeros((len(keys), len(names)), np.int8, order="F")  # it is filled column by column
    for place, at in enumerate(columns.labels):
        codes[:, place] = label_codes(raw.column(at), raw.header[at], where, lines)
    labels, zeros = _settled(codes, names, where, options.get("zero"))
    parts = [labels]
    for at in columns.classes:
        classes, values = class_labels(raw.column(at), raw.header[at], where, lines)
        names += classes
        parts.append(values)
    twice = first_duplicate(names)
    if twice is not None:
        raise LabelFileError(f"{where}: found the label {shown(twice)} twice, as columns and as classes")
    labels = np.concatenate(parts, axis=1)
    partitions, numbered = (
        ([None] * len(keys), [])
        if columns.partition is None
        else partitions_of(raw.column(columns.partition), raw.header[columns.partition], where, lines)
    )
    identities = (
        [None] * len(keys)
        if columns.identity is None
        else identities_of(raw.column(columns.identity), raw.header[columns.identity], where, lines)
    )
    rows, repeated = _without_repeats(raw, keys, labels, list(zip(partitions, identities, strict=True)))
    return LabelTable(
        names=tuple(names),
        keys=[keys[row] for row in rows],
        labels=np.ascontiguousarray(labels[rows] if repeated else labels),
        partitions={keys[row]: part for row in rows if (part := partitions[row]) is not None},
        identities={keys[row]: who for row in rows if (who := identities[row]) is not None},
        issues=[
            *columns.issues,
            *zeros,
            *numbered,
            *issues_of("repeated-rows", repeated, "row", "rows", f"of {where} given twice"),
        ],
    )


def chosen_labels(table: LabelTable, where: str, options: TableOptions) -> LabelTable:
    """A table in CelebA's format with the labels that options choose.

    Raises:
        LabelFileError: An option of other tables, or a label that is not there.
    """
    for option, said in options.items():
        known = option in {"columns", "exclude_columns"} or (option, said) == ("header", True)
        if said is not None and not known:
            raise LabelFileError(
                f"{where} is in CelebA's format, whose columns are known: leave --{option.replace('_', '-')} "
                "out"
            )
    wanted, left_out = options.get("columns"), options.get("exclude_columns") or ()
    if wanted is None and not left_out:
        return table
    places = [find_column(table.names, name, where) for name in (table.names if wanted is None else wanted)]
    dropped = {find_column(table.names, name, where) for name in left_out}
    kept = [at for at in dict.fromkeys(places) if at not in dropped]
    return LabelTable(
        tuple(table.names[at] for at in kept),
        table.keys,
        np.ascontiguousarray(table.labels[:, kept]),
        table.partitions,
        table.identities,
        table.issues,
    )


def clean_key(cell: str) -> str:
    """A key as data sets have it, from a path as people write it."""
    return cell.strip().replace("\\", "/").removeprefix("./")


def _raw(where: str, header: list[str], rows: Rows, *, exact: bool = False) -> RawTable:
    """Rows of cells as columns.

    Raises:
        LabelFileError: A row of another width than the header.
    """
    for line, cells in rows:
        if len(cells) != len(header):
            raise LabelFileError(f"{where}, line {line}: {wrong_width(cells, header)}")
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    return RawTable(where, header, [line for line, _ in rows], columns.__getitem__, exact)


def _is_celeba(path: Path) -> bool:
    """Whether a file is in CelebA's format: `.txt` with nothing but a number on its first line."""
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(64).removeprefix(_MARK).strip().isdigit()


def _keys(raw: RawTable, at: int) -> list[str]:
    """The images' names, R of them."""
    cells = raw.column(at)
    keys = list(cells) if raw.exact else [clean_key(cell) for cell in cells]
    for line, key in zip(raw.lines, keys, strict=True):
        if not key:
            raise LabelFileError(f"{raw.where}, line {line}: found no image name")
        if unfit := unfit_character(key):
            raise LabelFileError(f"{raw.where}, line {line}: found the image name {shown(key)} with {unfit}")
    return keys


def _settled(codes: I8, names: Sequence[str], where: str, zero: str | None) -> tuple[I8, list[DatasetIssue]]:
    """Labels from codes, int8 [R, L], and what became of zeros where nothing but a −1 says what they mean."""
    minus, zeros = codes == MINUS_ONE, codes == ZERO
    unknown = bool(minus.any()) if zero is None else zero == "unknown"
    labels = np.select([zeros, minus], [np.int8(0 if unknown else -1), np.int8(-1)], codes).astype(np.int8)
    issues = []
    if zero is None and unknown and zeros.any():
        of = [name for name, found in zip(names, minus.any(axis=0).tolist(), strict=True) if found]
        several = f"{len(of)} columns ({', '.join(of[:EXAMPLES])}{', …' if len(of) > EXAMPLES else ''})"
        message = (
            f"{int(zeros.sum()):,} zeros of {where} were read as unknown, because −1 stands in "
            f"{int(minus.sum()):,} cells of {of[0] if len(of) == 1 else several}; --zero absent reads them "
            "as absent"
        )
        issues.append(DatasetIssue("zeros-unknown", message, int(zeros.sum()), tuple(of[:EXAMPLES])))
    return labels, issues


def _without_repeats(
    raw: RawTable, keys: Sequence[str], labels: I8, special: Sequence[tuple[object, object]]
) -> tuple[list[int], list[str]]:
    """The rows to keep, and the keys that were repeated."""
    rows: dict[str, int] = {}
    repeated: list[str] = []
    for row, key in enumerate(keys):
        before = rows.setdefault(key, row)
        if before == row:
            continue
        if not np.array_equal(labels[before], labels[row]) or special[before] != special[row]:
            raise LabelFileError(
                f"{raw.where}, line {raw.lines[row]}: found {key[:200]} with other values than on line "
                f"{raw.lines[before]}; keep one of the rows"
            )
        repeated.append(key)
    return list(rows.values()), repeated
