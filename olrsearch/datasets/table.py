"""Label tables as read, and images with the rows of a table that name them.

Notation: N images, R rows, L labels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.core.names import path_form
from olrsearch.datasets.base import ArrayDataset, DatasetIssue, issues_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I8


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """A label table, one row an image.

    Attributes:
        names: The L label names.
        keys: The R image keys, unique, with `/` between folders.
        labels: int8 [R, L], −1/0/+1.
        partitions: By key, of the images that have one.
        identities: Likewise.
        issues: Repeated rows, and a number of rows other than the file announces.
    """

    names: tuple[str, ...]
    keys: list[str]
    labels: I8
    partitions: dict[str, str] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    issues: list[DatasetIssue] = field(default_factory=list)

    def check_names_one(self, dataset: ArrayDataset, *, where: str, expected: str) -> None:
        """Refuses a table of other images.

        Args:
            dataset: Images with the rows that name them.
            where: The table's file, for the message.
            expected: What its keys should be, likewise.

        Raises:
            LabelFileError: no row names an image.
        """
        if not dataset.labelled.any():
            raise LabelFileError(
                f"none of the {len(self.keys)} rows of {where} names an image: the first row names "
                f"{self.keys[0]!r}, the first image is {dataset.keys[0]!r}; expected {expected}"
            )


def with_rows(kind: str, root: Path, uris: Mapping[str, str], table: LabelTable) -> ArrayDataset:
    """Images with the rows of a table that name them; what either lacks of the other is an issue.

    A row names the image of exactly its key, or else the one image whose key is the same path in another
    spelling (`path_form`).

    Args:
        kind: As in `Dataset`.
        root: As in `Dataset`.
        uris: The uri of each of N images, by its key and in their order.
        table: Its issues become the data set's.
    """
    named = _named(uris, table.keys)
    row_of = {key: row for row, key in enumerate(named)}
    key_in_table = {key: table.keys[row] for key, row in row_of.items()}
    rows = np.array([row_of.get(key, -1) for key in uris], dtype=np.int64)
    return ArrayDataset(
        kind=kind,
        root=root,
        label_names=table.names,
        keys=list(uris),
        uris=list(uris.values()),
        labels=np.where((rows >= 0)[:, None], table.labels[rows], np.int8(0)),
        labelled=rows >= 0,
        partitions=[table.partitions.get(key_in_table.get(key, key)) for key in uris],
        identities=[table.identities.get(key_in_table.get(key, key)) for key in uris],
        issues=[*table.issues, *_mismatches(uris, row_of)],
    )


def _named(images: Collection[str], keys: Sequence[str]) -> Sequence[str]:
    """The key of the image that each row names; a row's own key where it names none."""
    taken = set(keys)
    bare = _by_form(image for image in images if image not in taken)
    if not bare:
        return keys
    found: dict[str, str] = {}
    for form, rows in _by_form(key for key in keys if key not in images).items():
        if len(rows) == 1 and len(bare.get(form, ())) == 1:  # otherwise it is not certain which is meant
            found[rows[0]] = bare[form][0]
    return [found.get(key, key) for key in keys]


def _by_form(keys: Iterable[str]) -> Mapping[str, list[str]]:
    """Keys that are one path in different spellings, by its form."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        found[path_form(key)].append(key)
    return found


def _mismatches(images: Collection[str], rows: Collection[str]) -> list[DatasetIssue]:
    orphans = [key for key in rows if key not in images]
    bare = [key for key in images if key not in rows]
    return [
        *issues_of("rows-without-image", orphans, "label rows have no image here"),
        *issues_of("images-without-row", bare, "images have no label row"),
    ]
