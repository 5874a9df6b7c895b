"""What the cells of a table say: labels, classes, partitions, identities.

Notation: R rows.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.core.names import unfit_character
from olrsearch.core.shown import shown
from olrsearch.datasets.base import DatasetIssue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import I8

Identity: TypeAlias = int | str
"""Who is shown: a number, or a name."""

V = TypeVar("V")

ZERO: Final = 2
"""The code of a 0 until it is known what 0 means in this file."""
MINUS_ONE: Final = -2
"""Told from other ways to say absent, because it decides what 0 means."""

NOTHING: Final = ("", "unknown", "na", "n/a", "nan", "null", "none", "?")
_CODES: Final = (
    dict.fromkeys(("1", "1.0", "+1", "present", "true", "yes"), 1)
    | dict.fromkeys(("absent", "false", "no"), -1)
    | dict.fromkeys(("-1", "-1.0", "−1"), MINUS_ONE)
    | dict.fromkeys(("0", "0.0", "-0.0"), ZERO)
    | dict.fromkeys(NOTHING, 0)
)
_PARTITIONS: Final[dict[str, str | None]] = (
    dict.fromkeys(("train", "training", "0", "0.0"), "train")
    | dict.fromkeys(("val", "valid", "validation", "1", "1.0"), "val")
    | dict.fromkeys(("test", "testing", "2", "2.0"), "test")
    | dict.fromkeys(NOTHING, None)
)
_MOST_CLASSES: Final = 1000
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
"""A whole number that every database holds, and that loses nothing by being one."""
_LONGEST_NAME: Final = 200


def is_label_cell(cell: str) -> bool:
    """Whether a cell could be a label's."""
    return cell.strip().lower() in _CODES


def label_codes(cells: Sequence[str], column: str, where: str, lines: Sequence[int]) -> I8:
    """The codes of a label's cells, int8 [R]: −1, 0, 1, `ZERO` or `MINUS_ONE`.

    Args:
        cells: R of them.
        column: What their column is called, for errors.
        where: What the file is called, likewise.
        lines: Where they stand, likewise.

    Raises:
        LabelFileError: A cell says nothing of these; names line and column.
    """

    def code(cell: str) -> int:
        said = _CODES.get(cell.strip().lower())
        if said is None:
            raise ValueError(
                "present/absent/unknown, 1/0/-1, true/false or yes/no: leave a column that is no label out "
                "with --exclude-columns, or make labels of its words with --class-columns"
            )
        return said

    return np.array(_each(cells, code, column, where, lines), np.int8)


def class_labels(
    cells: Sequence[str],
    column: str,
    where: str,
    lines: Sequence[int],
    *,
    nothing: Sequence[str] = NOTHING,
) -> tuple[list[str], I8]:
    """A label for every class that a column names, present where it stands and absent where another does.

    Classes that are numbers are called after the column, too: `breed_7`.

    Args:
        cells: R of them; arguments as of `label_codes`.
        column: As of `label_codes`.
        where: As of `label_codes`.
        lines: As of `label_codes`.
        nothing: The cells that name no class, in lower case.

    Returns:
        The C classes in order, and int8 [R, C].

    Raises:
        LabelFileError: No class, or more than a thousand, or one whose name will not do.
    """

    def name(cell: str) -> str:
        text = cell.strip()
        if text.lower() in nothing:
            return ""
        if unfit := unfit_character(text):
            raise ValueError(f"a class's name without {unfit}")
        return f"{column}_{_plain(text)}" if _plain(text).isdecimal() else text

    found = _each(cells, name, column, where, lines)
    numbers = all(
        _plain(cell.strip()).isdecimal() for cell in set(cells) if cell.strip().lower() not in nothing
    )
    classes = sorted(set(found) - {""}, key=lambda text: (len(text) if numbers else 0, text))
    if not classes or len(classes) > _MOST_CLASSES:
        raise LabelFileError(
            f"{where}, column {shown(column)}: found {len(classes):,} classes, expected 1 to "
            f"{_MOST_CLASSES:,}"
        )
    place = {text: at for at, text in enumerate(classes)}
    labels = np.full((len(found), len(classes)), -1, np.int8)
    rows = np.array([place.get(text, -1) for text in found])
    labels[rows < 0] = 0
    labels[np.flatnonzero(rows >= 0), rows[rows >= 0]] = 1
    return classes, labels


def partitions_of(
    cells: Sequence[str], column: str, where: str, lines: Sequence[int]
) -> tuple[list[str | None], list[DatasetIssue]]:
    """What partitions cells name, by words or by CelebA's numbers (0 train, 1 val, 2 test).

    Returns:
        R of them; and that numbers were understood, for nobody can tell what else they might mean.

    Raises:
        LabelFileError: A cell names none; names line and column.
    """

    def partition(cell: str) -> str | None:
        said = cell.strip().lower()
        if said not in _PARTITIONS:
            raise ValueError("train, val, test (or 0, 1, 2), or nothing")
        return _PARTITIONS[said]

    found = _each(cells, partition, column, where, lines)
    numbers = sum(cell.strip()[:1].isdigit() for cell in cells)
    issues = []
    if numbers:
        counts = Counter(found)
        said = ", ".join(
            f"{at} {name} ({counts[name]:,})" for at, name in enumerate(("train", "val", "test"))
        )
        issues.append(
            DatasetIssue("numbered-partitions", f"partitions of {where} are numbers, read as {said}", numbers)
        )
    return found, issues


def partition_named(folder: str) -> str | None:
    """The partition that a folder's name says, in words; None where it says none."""
    said = folder.lower()
    return None if said[:1].isdigit() else _PARTITIONS.get(said)


def identities_of(
    cells: Sequence[str], column: str, where: str, lines: Sequence[int]
) -> list[Identity | None]:
    """Who is shown: whole numbers where all cells are such, or else names (`007`); −1 and nothing are nobody.

    Returns:
        R of them.

    Raises:
        LabelFileError: A negative number, or a name that will not do; names line and column.
    """

    def name(cell: str) -> str | None:
        text = _plain(cell.strip())
        if text.lower() in (*NOTHING, "-1"):
            return None
        if text[:1] == "-" and text[1:].isdecimal():
            raise ValueError("a whole number, a name, or nothing")
        if unfit := unfit_character(text):
            raise ValueError(f"a name without {unfit}")
        if len(text) > _LONGEST_NAME:
            raise ValueError(f"a name of at most {_LONGEST_NAME} characters")
        return text

    found = _each(cells, name, column, where, lines)
    if all(_NUMBER.fullmatch(one) for one in set(found) if one is not None):
        return [None if one is None else int(one) for one in found]
    return list(found)


def _plain(number: str) -> str:
    """A whole number that pandas wrote with a fraction, because its column has gaps."""
    return number.removesuffix(".0") if number[:-2].isdecimal() else number


class _Said(dict[str, V]):
    """What cells say, each spelling read once."""

    def __init__(self, read: Callable[[str], V]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, cell: str) -> V:
        self[cell] = said = self._read(cell)
        return said


def _each(
    cells: Sequence[str], read: Callable[[str], V], column: str, where: str, lines: Sequence[int]
) -> list[V]:
    """What every cell says; a reader's `ValueError` says what was expected."""
    said = _Said(read)
    try:
        return [said[cell] for cell in cells]
    except ValueError as cause:
        at = next(at for at, cell in enumerate(cells) if cell not in said)
        raise LabelFileError(
            f"{where}, line {lines[at]}, column {shown(column)}: found {shown(cells[at])}, expected {cause}"
        ) from cause
