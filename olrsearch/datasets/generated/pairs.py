"""Pairs of images side by side, with the classes of both: Paired MNIST.

Notation: N items of a file, n pairs drawn from them, H × W pixels.

Source: paper 004, section 3, which does not say how its pairs were drawn; here both images are drawn
uniformly, with replacement.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import DatasetError, DatasetNotFoundError, ImageDecodeError
from olrsearch.datasets.generated.new_folder import check_free, new_folder
from olrsearch.datasets.idx_format import find_idx, format_idx, read_classes, read_idx

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8

log = logging.getLogger(__name__)

# One stream of random numbers a part: how many training pairs there are changes no test pair.
_PARTS: Final = ("train", "t10k")


@dataclass(frozen=True, slots=True)
class PairSet:
    """What `generate_pairs` wrote.

    Attributes:
        path: The folder; `open_idx(path)` reads it.
        train: Number of training pairs.
        test: Number of test pairs.
        size: Height and width of a training pair in pixels.
    """

    path: Path
    train: int
    test: int
    size: tuple[int, int]


def generate_pairs(
    source: Path | str, out: Path | str, *, train: int = 60_000, test: int = 10_000, seed: int = 0
) -> PairSet:
    """Put random images of MNIST, or of a data set in its format, side by side.

    Training pairs are drawn from the `train` files, test pairs from the `t10k` files, so that no
    digit is on both sides. Both digits of a pair are drawn uniformly, with replacement: about one
    pair in ten shows one class twice. The bytes depend on `seed`, the counts and the source alone,
    and the first pairs of a larger set are those of a smaller one.

    `out` holds `train-images-idx3-ubyte.gz` [n, H, 2 W], `train-labels-idx2-ubyte.gz` [n, 2], the
    classes of the left and the right image, and the same for `t10k`. It is there whole or not at all.

    Args:
        source: Folder of the four idx files, compressed with gzip or not.
        out: Folder to write; it may exist if it is empty.
        train: Number of training pairs, 1 or more.
        test: Number of test pairs, 1 or more.
        seed: The same seed, the same bytes (with the same versions of numpy and zlib).

    Raises:
        DatasetNotFoundError: One of the four files is not there.
        ImageDecodeError: An image file has another magic number or size.
        LabelFileError: A label file has, or its number of items differs.
        DatasetError: `out` exists and is not empty, a number is out of its range, or a file is empty.
    """
    source, out = Path(source), Path(out)
    if min(train, test) < 1 or seed < 0:
        raise DatasetError(
            f"found {train} training and {test} test pairs, seed {seed}; expected 1 or more, seed ≥ 0"
        )
    check_free(out)
    parts = [_read(source, part) for part in _PARTS]
    with new_folder(out) as building:
        for stream, (part, count) in enumerate(zip(_PARTS, (train, test), strict=True)):
            images, labels = parts[stream]
            chosen = np.random.default_rng([seed, stream]).integers(len(images), size=(count, 2))
            pairs = np.concatenate([images[chosen[:, 0]], images[chosen[:, 1]]], axis=2)
            (building / f"{part}-images-idx3-ubyte.gz").write_bytes(format_idx(pairs))
            (building / f"{part}-labels-idx2-ubyte.gz").write_bytes(format_idx(labels[chosen]))
    log.info("%s: %d training pairs, %d test pairs", out, train, test)
    height, width = parts[0][0].shape[1:]
    return PairSet(path=out, train=train, test=test, size=(height, 2 * width))


def _read(source: Path, part: str) -> tuple[U8, U8]:
    """Images uint8 [N, H, W] and class numbers uint8 [N] of one part."""
    image_file = _file(source, part, "images", 3)
    images = read_idx(image_file, dimensions=(3,), error=ImageDecodeError)
    if not images.size:
        raise DatasetError(f"{image_file} holds no images; expected some to draw pairs from")
    label_file = _file(source, part, "labels", 1)
    return images, read_classes(label_file, image_file, len(images), dimensions=(1,))


def _file(source: Path, part: str, what: str, dimensions: int) -> Path:
    file = find_idx(source, part, what, dimensions)
    if file is None:
        raise DatasetNotFoundError(
            f"no {part}-{what}-idx{dimensions}-ubyte (.gz or not) in {source}; pairs need the images and the "
            "labels of train and t10k"
        )
    return file
