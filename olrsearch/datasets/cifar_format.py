"""The binary version of CIFAR-100: records of two class numbers and an image.

A record is 3,074 bytes: the coarse class (0 to 19), the fine class (0 to 99), then 32 × 32 pixels
as three planes, red, green and blue, row by row. A file is records and nothing else. The names
of the classes are in text files beside it, one a line.

Notation: n records.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"; the layout is
that of the data set's own page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.core.errors import ImageDecodeError, LabelFileError
from olrsearch.datasets.base import first_duplicate

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8

COARSE: Final = 20
FINE: Final = 100
EDGE: Final = 32
RECORD: Final = 2 + 3 * EDGE * EDGE
"""Bytes a record."""


class Records(NamedTuple):
    """The content of one file.

    Attributes:
        coarse: uint8 [n], coarse class numbers, as found.
        fine: uint8 [n], fine class numbers, as found.
        images: uint8 [n, 3, 32, 32], red, green and blue planes.
    """

    coarse: U8
    fine: U8
    images: U8


def parse_records(data: bytes, *, where: str) -> Records:
    """Cut a file into records; nothing is copied.

    Args:
        data: The file's bytes.
        where: What to call the file in an error message.

    Returns:
        Read-only views into `data`.

    Raises:
        ImageDecodeError: No bytes, or no whole number of records.
    """
    if not data or len(data) % RECORD:
        raise ImageDecodeError(
            f"{where} holds {len(data)} bytes, expected a multiple of {RECORD} "
            "(two class numbers and 3 × 32 × 32 pixels a record); fetch CIFAR-100's binary version again"
        )
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    return Records(rows[:, 0], rows[:, 1], rows[:, 2:].reshape(-1, 3, EDGE, EDGE))


def check_classes(records: Records, *, where: str) -> None:
    """Refuse class numbers that CIFAR-100 does not have.

    Raises:
        LabelFileError: A coarse number above 19 or a fine one above 99.
    """
    for what, numbers, classes in (("coarse", records.coarse, COARSE), ("fine", records.fine, FINE)):
        wrong = np.flatnonzero(numbers >= classes)
        if wrong.size:
            raise LabelFileError(
                f"{where}, record {wrong[0]}: found {what} class {numbers[wrong[0]]}, "
                f"expected 0 to {classes - 1}; is this CIFAR-100's binary version?"
            )


def parse_names(data: bytes, *, count: int, where: str) -> tuple[str, ...]:
    """The class names in a text file, one a line; empty lines are passed over.

    Args:
        data: The file's bytes.
        count: How many names there must be.
        where: What to call the file in an error message.

    Raises:
        LabelFileError: Not UTF-8, another number of names, or one that stands twice.
    """
    try:
        names = tuple(line.strip() for line in data.decode().splitlines() if line.strip())
    except UnicodeDecodeError as cause:
        raise LabelFileError(f"{where} is not UTF-8; expected {count} class names, one a line") from cause
    if len(names) != count:
        raise LabelFileError(f"{where} holds {len(names)} class names, expected {count}, one a line")
    twice = first_duplicate(names)
    if twice is not None:
        raise LabelFileError(f"{where} holds the class name {twice!r} twice; names must be unique")
    return names
