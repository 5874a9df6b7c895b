"""Which column of a table means what."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import LabelFileError, UnknownLabelError
from olrsearch.core.names import LabelNames, unfit_character
from olrsearch.core.shown import shown
from olrsearch.datasets.base import DatasetIssue, first_duplicate
from olrsearch.datasets.images import is_image_name
from olrsearch.datasets.table_cells import is_label_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized

    from olrsearch.datasets.table_options import TableOptions

KEY_COLUMNS: Final = ("image", "key", "file", "filename", "path", "image_id", "file_name", "image_name")
PARTITION_COLUMN: Final = "partition"
IDENTITY_COLUMN: Final = "identity"

APART: Final = (KEY_COLUMNS[0], PARTITION_COLUMN, IDENTITY_COLUMN)
"""The columns before the labels, in tables that keep labels apart."""

_INDEX: Final = "__index_level_0__"
_FIRST: Final = re.compile(r"|Unnamed: \d+")
"""What pandas calls the numbers of rows: the one in Parquet; nothing in a CSV, then the other."""
_SHOWN: Final = 10
_MOST_LABELS: Final = 10_000


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table before its cells are read.

    Attributes:
        where: What errors call its file.
        header: The names of its columns.
        lines: Where each of its R rows stands.
        column: A column's R cells, by its place.
        exact: Whether keys are written exactly, rather than as people write paths.
    """

    where: str
    header: list[str]
    lines: Sequence[int]
    column: Callable[[int], Sequence[str]]
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The places of a table's columns by what they mean; those left out are in none."""

    key: int
    partition: int | None
    identity: int | None
    classes: list[int]
    labels: list[int]
    issues: list[DatasetIssue] = field(default_factory=list)


def choose_columns(table: RawTable, options: TableOptions) -> Columns:
    """What the columns of a table mean.

    Raises:
        LabelFileError: Columns without a name or with the same one, a row in the place of the header, names
            that will not do, options that name columns that are not there, or nothing but images' names.
    """
    if table.exact:
        return _named_apart(table, options)
    header, where = table.header, table.where
    issues: list[DatasetIssue] = []
    left_out = {find_column(header, name, where) for name in options.get("exclude_columns") or ()}
    index = _index_column(table, options.get("key_column"))
    if index is not None:
        left_out.add(index)
        called = f"column {header[index]!r}" if header[index] else "first column, without a name,"
        message = f"the {called} of {where} is an index of pandas, and was left out"
        issues.append(DatasetIssue("index-column", message, 1, (header[index],)))
    used = [name for at, name in enumerate(header) if at not in left_out]
    key = _key_column(table, options.get("key_column"), left_out)
    if _is_row(table, key):  # before doubled names, which the values of a row often are
        raise LabelFileError(
            f"{where}, line 1: found {shown(header[key])} where the names of columns should be: put a line "
            "such as image,Smiling above it, or say --no-header, which calls columns Column_1, Column_2, …"
        )
    twice = first_duplicate(used)
    if twice is not None or ("" in used and header[key]):
        found = f"the column {shown(twice)} twice" if twice else "a column without a name"
        raise LabelFileError(
            f"{where}, line 1: found {found}, expected unique column names (--no-header where there are none)"
        )
    partition = _special(table, options.get("partition_column"), PARTITION_COLUMN, left_out)
    identity = _special(table, options.get("identity_column"), IDENTITY_COLUMN, left_out)
    classes = [find_column(header, name, where) for name in options.get("class_columns") or ()]
    taken = {key, partition, identity, *classes, *left_out}
    wanted = options.get("columns")
    if wanted is None:
        labels = [at for at in range(len(header)) if at not in taken]
    else:
        labels = [find_column(header, name, where) for name in dict.fromkeys(wanted)]
    for at in labels:
        if unfit := unfit_character(header[at]):
            raise LabelFileError(
                f"{where}, line 1: found the label {shown(header[at])} with {unfit}: rename it"
            )
    check_number(labels, where)
    if not labels and not classes and partition is None and identity is None:
        raise LabelFileError(
            f"{where} has one column, {shown(header[key])}, and says nothing of images: expected columns of "
            "labels, separated by , or ; or tabs"
            if len(header) == 1
            else f"{where}: no column is left to read, of {names_shown(header)}"
        )
    return Columns(key, partition, identity, classes, labels, issues)


def check_number(labels: Sized, where: str) -> None:
    """Refuses more labels than anybody means, before every image gets a value for each of them.

    Raises:
        LabelFileError: there are more than ten thousand.
    """
    if len(labels) > _MOST_LABELS:
        raise LabelFileError(
            f"{where}: found {len(labels):,} labels, expected at most {_MOST_LABELS:,}: choose with --columns"
        )


def find_column(header: Sequence[str], name: str, where: str) -> int:
    """The place of a column that somebody named.

    Raises:
        LabelFileError: There is none; says which there are.
    """
    if name in header:
        return list(header).index(name)
    try:
        found = LabelNames(header).matches(name)
        if len(found) == 1:
            return found[0]
        LabelNames(header).position(name)
    except UnknownLabelError as cause:
        hint = f"; did you mean {', '.join(cause.nearest)}?" if cause.nearest else ""
        raise LabelFileError(
            f"{where} has no column {shown(name)}; it has {names_shown(header)}{hint}"
        ) from cause
    raise LabelFileError(f"{where} has several columns that {shown(name)} may mean: write it exactly")


def names_shown(names: Sequence[str]) -> str:
    """The first names of some, for a message."""
    return ", ".join(name[:40] for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _key_column(table: RawTable, wanted: str | None, left_out: set[int]) -> int:
    if wanted is not None:
        return find_column(table.header, wanted, table.where)
    lowered = ["" if at in left_out else name.lower() for at, name in enumerate(table.header)]
    named = next((lowered.index(name) for name in KEY_COLUMNS if name in lowered), None)
    if named is None and _INDEX in lowered:
        return lowered.index(_INDEX)
    if named is not None:
        return named
    first = next((at for at in range(len(lowered)) if at not in left_out), None)
    if first is None:
        raise LabelFileError(
            f"{table.where} has no column that names images; it has {names_shown(table.header)}"
        )
    return first


def _index_column(table: RawTable, key_column: str | None) -> int | None:
    """The column that pandas numbered its rows in, where it is not the one that names images."""
    header = table.header
    at = next((at for at, name in enumerate(header) if name == _INDEX), None)
    if at is None and _FIRST.fullmatch(header[0]):
        at = 0
    if at is None or len(header) == 1 or key_column == header[at]:
        return None
    if header[at] == _INDEX and (
        key_column is not None or any(name.lower() in KEY_COLUMNS for name in header)
    ):
        return at
    return at if all(cell.isdecimal() for cell in table.column(at)) else None


def _special(table: RawTable, wanted: str | None, usual: str, left_out: set[int]) -> int | None:
    if wanted is not None:
        return find_column(table.header, wanted, table.where)
    lowered = [name.lower() for name in table.header]
    at = lowered.index(usual) if usual in lowered else None
    return None if at in left_out else at


def _is_row(table: RawTable, key: int) -> bool:
    """Whether what should be the header is a row: it names an image, or holds nothing but values."""
    name, others = table.header[key], [cell for at, cell in enumerate(table.header) if at != key]
    if is_image_name(name.replace("\\", "/")):
        return True
    like_a_key = any(one.isdigit() or one in "./\\" for one in name)
    return like_a_key and bool(others) and all(is_label_cell(cell) for cell in others)


def _named_apart(table: RawTable, options: TableOptions) -> Columns:
    """The columns of a table that keeps labels apart: image, partition and identity come first."""
    before, where = len(APART), table.where
    for option in ("key_column", "class_columns", "partition_column", "identity_column"):
        said = options.get(option)
        if said and said != APART[0]:
            raise LabelFileError(f"{where} has no column {said!r}; JSON lines name it {APART[0]!r}")
    names = table.header[before:]
    left_out = {find_column(names, name, where) for name in options.get("exclude_columns") or ()}
    wanted = options.get("columns")
    places = range(len(names)) if wanted is None else [find_column(names, name, where) for name in wanted]
    for at in places:
        if unfit := unfit_character(names[at]):
            raise LabelFileError(f"{where}: found the label {shown(names[at])} with {unfit}: rename it")
    return Columns(0, 1, 2, [], [at + before for at in dict.fromkeys(places) if at not in left_out])
