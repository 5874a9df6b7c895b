"""MNIST as P5 splits it: the first 50,000 images teach, the last 10,000 choose, the official test set tests.

Notation: N images, n rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.encoders.trainer.run import TrainingImages
from olrsearch_benchmarks.papers.pse.digits import ALL, TRAIN
from olrsearch_benchmarks.papers.pse.digits import open_digits as read_digits

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import I64, U8

NAMES: Final = tuple(f"Digit_{number}" for number in range(10))
_WATCHED: Final = 2_000
"""Of the images that choose, those that weights are chosen on at the end of each epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Pictures of one part, and what they show.

    Attributes:
        pixels: uint8 [N, 28, 28, 3].
        classes: int64 [N], 0 to 9.
    """

    pixels: U8
    classes: I64

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: slice | I64) -> Digits:
        return Digits(self.pixels[rows], self.classes[rows])


@dataclass(frozen=True, slots=True, eq=False)
class SplitDigits:
    """The three parts: `train` teaches, `selection` chooses, `test` tests."""

    train: Digits
    selection: Digits
    test: Digits

    def training_images(self, seen: tuple[int, ...] = tuple(range(10))) -> TrainingImages:
        """What an encoder learns from.

        Args:
            seen: The digits whose labels it is told; of others it sees the images alone.
        """
        watched = self.selection[slice(_WATCHED)]
        classes = np.concatenate([self.train.classes, watched.classes])
        labels = np.where(np.array(seen) == classes[:, None], 1, -1).astype(np.int8)
        count = len(self.train)
        return TrainingImages(
            np.concatenate([self.train.pixels, watched.pixels]),
            labels,
            np.arange(count),
            np.arange(count, count + len(watched)),
        )


def open_digits(folder: Path) -> SplitDigits:
    """Read the four idx files of MNIST, or of data like it.

    Raises:
        BenchmarkError: a file is missing.
        DatasetError: a file is not as it should be.
    """
    found = read_digits("mnist", folder)
    parts = ((found.images, found.classes), (found.test_images, found.test_classes))
    whole, test = (Digits(np.repeat(grey[..., None], 3, axis=3), classes) for grey, classes in parts)
    teach = len(whole) * TRAIN // ALL
    return SplitDigits(whole[slice(teach)], whole[slice(teach, None)], test)
