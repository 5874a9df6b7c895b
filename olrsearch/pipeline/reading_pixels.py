"""Images of a store as pixels: decoded by threads of their own while the caller works on others.

Training and encoding both get their pixels here, so that they see the same.

Notation: H × W pixels, n images of a batch.
"""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from olrsearch.core.errors import DatasetError
from olrsearch.core.files import whole_file
from olrsearch.core.progress import T, Track, silent
from olrsearch.datasets.images import load_array

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from olrsearch.core.arrays import I64, U8
    from olrsearch.store.values import ImageRow

OnError: TypeAlias = Literal["skip", "fail"]

WORKERS = 4
"""Threads that decode. They release the GIL; more than there are cores hide the reading."""

_TASK = 16
"""Images a thread takes at once: handing over single ones costs a tenth of decoding them."""

_AHEAD = 2
"""Batches decoded before they are asked for."""

_CACHED = 512
"""Images a batch while pixels are written to a file."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One image that could not be used.

    Attributes:
        key: The image's key.
        reason: What was wrong with it.
    """

    key: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A batch of images of the store as pixels; its length counts the unreadable ones too.

    Attributes:
        ids: The images that could be read, in the order asked for.
        pixels: uint8 [n, H, W, 3], theirs.
        failures: The others.
    """

    ids: list[int]
    pixels: U8
    failures: list[Failure]

    def __len__(self) -> int:
        return len(self.ids) + len(self.failures)


def decoded(
    batches: Iterable[Sequence[ImageRow]],
    size: tuple[int, int],
    crop: str,
    *,
    on_error: OnError = "skip",
    ahead: int = _AHEAD,
) -> Generator[Decoded]:
    """Read, decode and resize batches of images, in order, while the caller works on earlier ones.

    Close it when it is not used up (`contextlib.closing`): its threads end with it.

    Args:
        batches: Which images; asked for in the caller's thread, `ahead` batches early.
        size: (height, width) in pixels.
        crop: `none` or `center`.
        on_error: `skip` leaves unreadable images out and reports them; `fail` raises at the
            first, when its batch is asked for.
        ahead: Batches that may be decoded besides the one in the caller's hands: bounds memory.
    """

    def read(rows: Sequence[ImageRow]) -> list[U8 | Failure]:
        return [_read(row, size, crop, on_error) for row in rows]

    source = iter(batches)
    waiting: deque[tuple[Sequence[ImageRow], list[Future[list[U8 | Failure]]]]] = deque()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        while True:
            for rows in itertools.islice(source, ahead + 1 - len(waiting)):
                waiting.append((rows, [pool.submit(read, task) for task in batched(rows, _TASK)]))
            if not waiting:
                return
            rows, tasks = waiting.popleft()
            yield _joined(rows, [item for task in tasks for item in task.result()], size)
    finally:
        pool.shutdown(cancel_futures=True)


def _read(row: ImageRow, size: tuple[int, int], crop: str, on_error: OnError) -> U8 | Failure:
    try:
        return load_array(row.root, row.uri, size, crop)
    except DatasetError as error:
        if on_error == "fail":
            raise
        return Failure(row.key, str(error))


def _joined(rows: Sequence[ImageRow], found: Sequence[U8 | Failure], size: tuple[int, int]) -> Decoded:
    failures = [item for item in found if isinstance(item, Failure)]
    ids: list[int] = []
    pixels = np.empty((len(found) - len(failures), *size, 3), np.uint8)
    for row, item in zip(rows, found, strict=True):
        if not isinstance(item, Failure):
            pixels[len(ids)] = item
            ids.append(row.id)
    return Decoded(ids, pixels, failures)


def read_pixels(
    rows: Sequence[ImageRow],
    size: tuple[int, int],
    crop: str,
    *,
    on_error: OnError = "skip",
) -> tuple[list[int], U8, list[Failure]]:
    """Read, decode and resize images of the store, all at once.

    Args:
        rows: Which images.
        size: (height, width) in pixels.
        crop: `none` or `center`.
        on_error: `skip` leaves unreadable images out and reports them; `fail` raises.

    Returns:
        The ids that could be read, their pixels uint8 [n, H, W, 3], and the failures.
    """
    with closing(decoded([rows], size, crop, on_error=on_error)) as source:
        batch = next(source)
    return batch.ids, batch.pixels, batch.failures


def cache_pixels(
    rows: Sequence[ImageRow],
    size: tuple[int, int],
    crop: str,
    path: Path,
    *,
    track: Track = silent,
) -> tuple[I64, list[Failure]]:
    """Write the pixels of many images to a `.npy` file that training maps into memory.

    Returns:
        The ids in the file's order, and the images that could not be read.
    """
    ids: list[int] = []
    failures: list[Failure] = []
    with whole_file(path, durable=False) as scratch:  # gigabytes that are decoded again where they are lost
        target = np.lib.format.open_memmap(scratch, "w+", np.uint8, (len(rows), *size, 3))
        with closing(decoded(batched(rows, _CACHED), size, crop)) as source:
            for batch in track(source, total=len(rows), what="decode"):
                target[len(ids) : len(ids) + len(batch.ids)] = batch.pixels
                ids.extend(batch.ids)
                failures.extend(batch.failures)
        target.flush()
        if failures:  # the file must be as long as the ids
            with whole_file(scratch, durable=False) as shorter:
                np.save(shorter, target[: len(ids)])
    return np.asarray(ids, np.int64), failures


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
