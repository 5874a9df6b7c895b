"""Data sets of a few files that hold many images each, with class numbers: idx files, CIFAR-100.

Notation: n images of a file, C class numbers an image, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from olrsearch.datasets.base import ArrayDataset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I8, I64
    from olrsearch.datasets.base import DatasetIssue


class Part(NamedTuple):
    """The images of one file.

    Attributes:
        stem: What their keys begin with: `train` makes `train-00017`.
        uri: Of the file; an image's is `file#17`.
        partition: Of all of them; None where the file does not say.
        classes: int64 [n, C], the numbers of each image's classes, in any order; a number may stand
            twice, and −1 stands for none.
        labelled: Whether the data set says anything of their classes.
    """

    stem: str
    uri: str
    partition: str | None
    classes: I64
    labelled: bool = True


def joined(
    kind: str, root: Path, label_names: tuple[str, ...], parts: Sequence[Part], issues: list[DatasetIssue]
) -> ArrayDataset:
    """The images of some files, one file after another, with binary labels for their classes.

    A label is present for an image's own classes, absent for all others.

    Args:
        kind: As in `Dataset`.
        root: As in `Dataset`.
        label_names: L, more than the largest class number.
        parts: The files, one at least.
        issues: As in `Dataset`.
    """
    images = [(part, item) for part in parts for item in range(len(part.classes))]
    return ArrayDataset(
        kind=kind,
        root=root,
        label_names=label_names,
        keys=[f"{part.stem}-{item:05d}" for part, item in images],
        uris=[f"{part.uri}#{item}" for part, item in images],
        labels=np.concatenate([_labels(part, len(label_names)) for part in parts]),
        labelled=np.array([part.labelled for part, _ in images], dtype=np.bool_),
        partitions=[part.partition for part, _ in images],
        issues=issues,
    )


def _labels(part: Part, count: int) -> I8:
    """Int8 [n, count]."""
    labels = np.full((len(part.classes), count), -1 if part.labelled else 0, dtype=np.int8)
    rows, columns = np.nonzero(part.classes >= 0)
    labels[rows, part.classes[rows, columns]] = 1
    return labels
