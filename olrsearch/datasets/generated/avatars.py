"""Generated faces with exact labels, written in CelebA's own layout.

What is drawn, and which labels it has, is described in `olrsearch.datasets.generated.avatar_traits`.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from olrsearch.core.errors import DatasetError
from olrsearch.datasets.celeba_files import ATTRIBUTES, IDENTITY, PARTITION, format_attributes, format_numbers
from olrsearch.datasets.generated import avatar_drawing
from olrsearch.datasets.generated.avatar_traits import sample_person, sample_traits, visible_labels
from olrsearch.datasets.generated.new_folder import check_free, new_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from olrsearch.core.arrays import I8

log = logging.getLogger(__name__)

T = TypeVar("T")

TRUTH: Final = "truth_attr.txt"
"""The labels before noise, in the format of `list_attr_celeba.txt`."""

_FOLDER = "img_align_celeba"
_CHUNK = 32
_WORTH_PROCESSES = 200  # below that, starting them takes longer than drawing
_PICTURES_OF_ONE = (0.25, 0.35, 0.25, 0.15)  # probability of 1, 2, 3, 4 pictures of a person
_SHARES = (0.8, 0.1)  # of images, train and val; the rest is test

# Streams of random numbers that do not meet: one use, one number.
_PERSON, _PICTURE, _POSE, _PLAN, _NOISE = range(5)


@dataclass(frozen=True, slots=True)
class AvatarSet:
    """What `generate_avatars` wrote.

    Attributes:
        path: The folder; `open_celeba(path)` reads it.
        count: Number of images.
        label_names: The labels.
        flipped: How many label entries were turned round by noise.
    """

    path: Path
    count: int
    label_names: tuple[str, ...]
    flipped: int


def generate_avatars(
    out: Path | str,
    *,
    count: int = 4000,
    label_noise: float = 0.0,
    seed: int = 0,
    size: tuple[int, int] = (218, 178),
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> AvatarSet:
    """Draw avatars and write them with their labels in CelebA's layout.

    Two or three images show the same person on average: the lasting traits (hair, skin, facial hair,
    glasses) stay, expression, hats, clothes, pose and light change. Persons do not cross
    partitions (about 80 % train, 10 % val, 10 % test). The images depend on `seed`,
    `count` and `size` alone: with more label noise the same pictures have other labels.

    Everything is written to a hidden folder beside `out` first and renamed at the end:
    after an interruption there is no `out`.

    Args:
        out: Folder to write; it may exist if it is empty.
        count: Number of images, 1 or more.
        label_noise: Probability that a label entry is turned round, each on its own, 0 to 1.
            The labels before that are then kept beside the others, as `truth_attr.txt`.
        seed: The same seed, the same bytes (with the same versions of the libraries).
        size: Height and width in pixels.
        workers: Processes to draw with; one for each core by default, none but this one for few
            images. They are started anew ("spawn"), so that a script that calls this needs the
            usual `if __name__ == "__main__":`.
        progress: Called with the number of images drawn since the last call.

    Raises:
        OptionalDependencyError: The extra `demo` is not installed.
        DatasetError: `out` exists and is not empty, or a number is out of its range.
    """
    out = Path(out)
    if count < 1 or not 0 <= label_noise <= 1 or min(size) < 8 or seed < 0:
        raise DatasetError(
            f"found count {count}, label noise {label_noise}, seed {seed}, size {size}; "
            "expected count ≥ 1, noise in 0…1, seed ≥ 0, sides of 8 pixels or more"
        )
    check_free(out)
    avatar_drawing.check_installed()
    persons, partitions = _plan(count, seed)
    with new_folder(out) as building:
        (building / _FOLDER).mkdir()
        names, truth = _draw_all(building / _FOLDER, persons, seed, size, workers, progress)
        labels, flipped = _with_noise(truth, label_noise, seed)
        keys = [_key(index) for index in range(count)]
        (building / ATTRIBUTES).write_bytes(format_attributes(names, keys, labels))
        if label_noise > 0:
            (building / TRUTH).write_bytes(format_attributes(names, keys, truth))
        (building / PARTITION).write_bytes(format_numbers(keys, partitions))
        (building / IDENTITY).write_bytes(format_numbers(keys, [person + 1 for person in persons]))
    log.info("%s: %d avatars of %d persons, %d label entries flipped", out, count, persons[-1] + 1, flipped)
    return AvatarSet(path=out, count=count, label_names=names, flipped=flipped)


def _key(index: int) -> str:
    return f"{index + 1:06d}.jpg"


def _plan(count: int, seed: int) -> tuple[list[int], list[int]]:
    """The person on each image (0, 0, 1, …), and the partition (0, 1, 2) of each image."""
    rng = np.random.default_rng([seed, _PLAN])
    persons: list[int] = []
    person = 0
    while len(persons) < count:
        persons += [person] * int(rng.choice(len(_PICTURES_OF_ONE), p=_PICTURES_OF_ONE) + 1)
        person += 1
    persons = persons[:count]
    # Persons in random order fill test, then val, then train: each gets its share of images.
    partition_of: dict[int, int] = {}
    pictures = np.bincount(persons)
    placed = 0
    train, val = _SHARES
    for who in rng.permutation(len(pictures)).tolist():
        share = placed / count
        partition_of[who] = 0 if share < train else 1 if share < train + val else 2
        placed += int(pictures[who])
    return persons, [partition_of[who] for who in persons]


def _with_noise(truth: I8, label_noise: float, seed: int) -> tuple[I8, int]:
    flips = np.random.default_rng([seed, _NOISE]).random(truth.shape) < label_noise
    return np.where(flips, -truth, truth).astype(np.int8), int(flips.sum())


def _draw_all(
    folder: Path,
    persons: list[int],
    seed: int,
    size: tuple[int, int],
    workers: int | None,
    progress: Callable[[int], None] | None,
) -> tuple[tuple[str, ...], I8]:
    """Draw every image into the folder; the label names and the true labels int8 [N, L]."""
    count = len(persons)
    starts = range(0, count, _CHUNK)
    chunks = [persons[start : start + _CHUNK] for start in starts]
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = 1 if count < _WORTH_PROCESSES else workers
    seen: list[dict[str, bool]] = []
    for labels in _run(partial(_draw_chunk, folder, seed, size), workers, starts, chunks):
        seen += labels
        if progress is not None:
            progress(len(labels))
    return tuple(seen[0]), np.where([list(labels.values()) for labels in seen], 1, -1).astype(np.int8)


def _run(draw: Callable[..., T], workers: int, *arguments: Iterable[Any]) -> Iterator[T]:
    if workers <= 1:
        yield from map(draw, *arguments)
        return
    # resvg holds the GIL while it renders, so threads would gain nothing; and forking a
    # process that runs threads (torch's, a progress bar's) may hang it.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield from pool.map(draw, *arguments)
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_chunk(
    folder: Path, seed: int, size: tuple[int, int], start: int, persons: list[int]
) -> list[dict[str, bool]]:
    """Draw consecutive images, from number `start` on; which labels are seen in each."""
    seen = []
    for index, who in enumerate(persons, start):
        person = sample_person(np.random.default_rng([seed, _PERSON, who]))
        traits = sample_traits(np.random.default_rng([seed, _PICTURE, index]), person)
        image = avatar_drawing.draw(traits, np.random.default_rng([seed, _POSE, index]), size)
        (folder / _key(index)).write_bytes(image)
        seen.append(visible_labels(traits))
    return seen
