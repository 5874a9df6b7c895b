"""Label tables as read, and images with the rows of a table that name them.

Notation: N images, R rows, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import LabelFileError
from olrsearch.core.shown import shown
from olrsearch.datasets.base import ArrayDataset, DatasetIssue, issues_of
from olrsearch.datasets.matching import match_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import I8
    from olrsearch.datasets.matching import Match


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
    identities: dict[str, int | str] = field(default_factory=dict)
    issues: list[DatasetIssue] = field(default_factory=list)


def with_rows(
    kind: str, root: Path, uris: Mapping[str, str], table: LabelTable, *, where: str, expected: str
) -> ArrayDataset:
    """Images with the rows of a table that name them; what either lacks of the other is an issue.

    Args:
        kind: As in `Dataset`.
        root: As in `Dataset`.
        uris: The uri of each of N images, by its key and in their order.
        table: Its issues become the data set's.
        where: The table's file, for messages.
        expected: What its names of images should be, likewise.

    Raises:
        LabelFileError: The table names none of the images.
    """
    names = dict.fromkeys([*table.keys, *table.partitions, *table.identities])
    match = match_names(list(uris), names)
    row_of = {key: row for row, key in enumerate(table.keys)}
    called = [match.names.get(key) for key in uris]
    rows = np.array([-1 if name is None else row_of.get(name, -1) for name in called], dtype=np.int64)
    if not (rows >= 0).any():
        raise LabelFileError(
            f"none of the {len(table.keys)} rows of {where} names an image: the first row names "
            f"{shown(table.keys[0])}, the first image is {shown(next(iter(uris)))}; expected {expected}"
        )
    bare = [key for key, row in zip(uris, rows.tolist(), strict=True) if row < 0]
    used = set(match.names.values())
    return ArrayDataset(
        kind=kind,
        root=root,
        label_names=table.names,
        keys=list(uris),
        uris=list(uris.values()),
        labels=np.where((rows >= 0)[:, None], table.labels[rows], np.int8(0)),
        labelled=rows >= 0,
        partitions=[None if name is None else table.partitions.get(name) for name in called],
        identities=[None if name is None else table.identities.get(name) for name in called],
        issues=[
            *table.issues,
            *_named_otherwise(match, where),
            *issues_of(
                "rows-without-image",
                [key for key in table.keys if key not in used],
                "label row has",
                "label rows have",
                "no image here",
                said=bool(bare),
            ),
            *issues_of("images-without-row", bare, "image has", "images have", "no label row", said=True),
        ],
    )


def _named_otherwise(match: Match, where: str) -> list[DatasetIssue]:
    if not match.differing:
        return []
    key = match.differing[0]
    what = f"other names in {where}, such as {shown(match.names[key])} for {shown(key)}"
    return issues_of("named-otherwise", match.differing, "image has", "images have", what)
