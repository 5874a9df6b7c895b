"""MNIST and Fashion-MNIST, split as the paper splits them.

Notation: N images, n pixels of an image.

Source: paper 003, section 4: 50,000 images train, 10,000 test; here the last 10,000 of the 60,000 validate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.datasets.idx import FASHION_NAMES
from olrsearch.datasets.idx_format import find_idx, read_classes, read_idx
from olrsearch.encoders.trainer.run import TrainingImages

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, U8

DATASETS: Final = ("mnist", "fashion")
TRAIN: Final = 50_000
SIDE: Final = 28
ALL: Final = 60_000
_DIGITS: Final = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """A data set of ten classes, 28 × 28 in grey.

    Attributes:
        name: `mnist` or `fashion`.
        labels: The ten class names.
        images: uint8 [60000, 28, 28], the first 50,000 train, the others validate.
        classes: int64 [60000].
        test_images: uint8 [10000, 28, 28].
        test_classes: int64 [10000].
    """

    name: str
    labels: tuple[str, ...]
    images: U8
    classes: I64
    test_images: U8
    test_classes: I64

    def training(self) -> TrainingImages:
        """What models learn from, and are chosen by."""
        names = np.arange(len(self.labels))
        labels = np.where(names == self.classes[:, None], 1, -1).astype(np.int8)
        train = min(TRAIN, len(self.images) * TRAIN // ALL)
        pixels = np.repeat(self.images[..., None], 3, axis=3)
        return TrainingImages(pixels, labels, np.arange(train), np.arange(train, len(self.images)))


def flat(images: U8) -> F32:
    """Images as numbers from 0 to 1, float32 [N, n]."""
    found: F32 = (images.reshape(len(images), -1) / 255.0).astype(np.float32)
    return found


def open_digits(name: str, folder: Path) -> Digits:
    """Read the four idx files of a data set.

    Args:
        name: `mnist` or `fashion`.
        folder: Where they lie.

    Raises:
        BenchmarkError: one of them is not there.
        DatasetError: one of them is damaged.
    """
    parts = []
    for part in ("train", "t10k"):
        of_images, of_classes = find_idx(folder, part, "images", 3), find_idx(folder, part, "labels", 1)
        if of_images is None or of_classes is None:
            raise BenchmarkError(
                f"{folder} has no {part}-images-idx3-ubyte and {part}-labels-idx1-ubyte, plain or .gz: name "
                "the folder of the four idx files with --data"
            )
        pixels = read_idx(of_images, dimensions=(3,))
        classes = read_classes(of_classes, of_images, len(pixels), dimensions=(1,)).astype(np.int64)
        parts.append((pixels, classes))
    (pixels, classes), (test_pixels, test_classes) = parts
    names = FASHION_NAMES if name == "fashion" else _DIGITS
    return Digits(name, names, pixels, classes, test_pixels, test_classes)
