"""Label tables as read, and images with the rows of a table that name them.

Notation: N images, R rows, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.base import DatasetIssue, issue

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from olrsearch.core.arrays import I8, I64


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A label table, one row an image.

    Attributes:
        names: The L label names.
        keys: The R image keys, unique, with `/` between folders.
        labels: int8 [R, L], −1/0/+1.
        partitions: R partitions or None.
        identities: R identities or None.
        issues: Repeated rows, and a number of rows other than the file announces.
    """

    names: tuple[str, ...]
    keys: list[str]
    labels: I8
    partitions: Sequence[str | None]
    identities: Sequence[int | None]
    issues: list[DatasetIssue]

    def rows_of(self, images: Sequence[str]) -> I64:
        """The row of each image, by key; int64 [N], −1 where there is none."""
        rows = {key: row for row, key in enumerate(self.keys)}
        return np.array([rows.get(key, -1) for key in images], dtype=np.int64)

    def labels_of(self, rows: I64) -> I8:
        """Labels of images by their rows, int8 [N, L]; 0 where there is none."""
        found: I8 = np.where((rows >= 0)[:, None], self.labels[rows], np.int8(0))
        return found

    def check_names_one(self, images: Sequence[str], rows: I64, *, where: str, expected: str) -> None:
        """Refuses a table of other images.

        Args:
            images: N keys.
            rows: Of `rows_of`.
            where: The table's file, for the message.
            expected: What its keys should be, likewise.

        Raises:
            LabelFileError: no row names an image.
        """
        if not (rows >= 0).any():
            raise LabelFileError(
                f"none of the {len(self.keys)} rows of {where} names an image: the first row names "
                f"{self.keys[0]!r}, the first image is {images[0]!r}; expected {expected}"
            )


def mismatches(images: Sequence[str], rows: Collection[str]) -> Iterator[DatasetIssue]:
    """What images and the rows of a table, by their keys, lack of each other."""
    here, named = set(images), set(rows)
    orphans = [key for key in rows if key not in here]
    if orphans:
        yield issue("rows-without-image", f"{len(orphans)} label rows have no image here", orphans)
    bare = [key for key in images if key not in named]
    if bare:
        yield issue("images-without-row", f"{len(bare)} images have no label row", bare)
