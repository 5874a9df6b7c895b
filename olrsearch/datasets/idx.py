"""MNIST and its relatives: idx files of images, and of one class number or several for each.

Notation: N images, C class numbers an image, L labels.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import DatasetError, DatasetNotFoundError, ImageDecodeError, LabelFileError
from olrsearch.datasets.idx_format import MARKS, find_idx, read_classes, read_idx
from olrsearch.datasets.parts import Part, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I64
    from olrsearch.datasets.base import Dataset

log = logging.getLogger(__name__)

FASHION_NAMES: Final = (
    "T_Shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle_Boot",
)
"""Class names of Fashion-MNIST, to pass as `names`."""

_PARTITIONS: Final = {"train": "train", "t10k": "test", "test": "test", "val": "val"}
_MARKS: Final = (*(f"{mark}idx3-ubyte" for mark in MARKS), ".idx")

NO_CLASS: Final = 255
"""Fills the rows of label files of two dimensions where an image has fewer classes than others."""


def open_idx(
    images: Path | str,
    labels: Path | str | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Dataset:
    """Open idx files, compressed with gzip or not.

    Class numbers become binary labels: present for an image's own classes, absent for all others.
    Keys are `train-00017`: the file's name up to `-images`, and the item.

    A label file of one dimension [N] holds the class of each image. One of two [N, C] holds, in
    each row, the classes of an image in any order: a class that stands twice counts once, and 255
    is no class but fills the row of an image that has fewer than C.

    Args:
        images: An idx file of images, or a folder with `train-images-idx3-ubyte`,
            `t10k-images-idx3-ubyte` (either may be missing) and their labels.
        labels: The idx file of class numbers; by default the file beside the images that
            is called `labels` and `idx1` (or else `idx2`) for `images` and `idx3`, if there is one.
        names: Label names of class 0, 1, …; `Digit_0` and so on by default (`Class_0`
            where there are more than ten). `FASHION_NAMES` is one to pass.

    Returns:
        The images in the order of their files; `train…` files are the partition
        `train`, `t10k…` and `test…` files are `test`, `val…` files `val`.

    Raises:
        DatasetNotFoundError: No such file, or none of the standard names in the folder.
        ImageDecodeError: The image file has another magic number or size.
        LabelFileError: The label file has, or its number of items differs, or it holds
            classes that have no name.
        DatasetError: `labels` was given with a folder.
    """
    images = Path(images)
    if images.is_dir():
        if labels is not None:
            raise DatasetError(f"{images} is a folder, whose label files are found by name; leave out labels")
        usual = (find_idx(images, stem, "images", 3) for stem in ("train", "t10k"))
        files = sorted(file for file in usual if file is not None)
        if not files:
            raise DatasetNotFoundError(
                f"no train-images-idx3-ubyte or t10k-images-idx3-ubyte (.gz or not) in {images}"
            )
        root = images
        pairs = [(file, _beside(file)) for file in files]
    else:
        root = images.parent
        pairs = [(images, _beside(images) if labels is None else Path(labels))]

    parts: list[Part] = []
    for image_file, label_file in pairs:
        count = len(read_idx(image_file, dimensions=(3,), error=ImageDecodeError))
        stem, classes = _stem(image_file.name), _classes(label_file, image_file, count)
        parts.append(Part(stem, image_file.name, _PARTITIONS.get(stem), classes, label_file is not None))
    largest = max(int(part.classes.max(initial=-1)) for part in parts)
    dataset = joined("idx", root, _names(largest + 1, names), parts, [])
    log.info("%s: %d images, %d classes", images, len(dataset), len(dataset.label_names))
    return dataset


def _beside(images: Path) -> Path | None:
    """The label file that belongs to an image file, by name, compressed or not."""
    name = images.name.removesuffix(".gz").replace("images", "labels")
    for mark in ("idx1", "idx2"):
        other = name.replace("idx3", mark)
        if other == images.name.removesuffix(".gz"):
            return None
        for file in (images.with_name(other), images.with_name(f"{other}.gz")):
            if file.is_file():
                return file
    return None


def _stem(name: str) -> str:
    stem = name.removesuffix(".gz")
    for mark in _MARKS:
        stem = stem.removesuffix(mark)
    return stem.removesuffix("-images").removesuffix(".images")


def _classes(label_file: Path | None, image_file: Path, count: int) -> I64:
    """Class numbers of each image: int64 [count, C], −1 for none; C = 0 without a label file."""
    if label_file is None:
        return np.zeros((count, 0), dtype=np.int64)
    numbers = read_classes(label_file, image_file, count, dimensions=(1, 2))
    if numbers.ndim == 1:
        return numbers[:, None].astype(np.int64)
    return np.where(numbers == NO_CLASS, np.int64(-1), numbers)


def _names(classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        kind = "Digit" if classes <= 10 else "Class"
        return tuple(f"{kind}_{number}" for number in range(max(classes, 10) if classes else 0))
    if len(names) < classes:
        raise LabelFileError(f"found classes 0 to {classes - 1}, but names for {len(names)}; name them all")
    return tuple(names)
