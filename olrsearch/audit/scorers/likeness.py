"""Which pictures are copies of one another: re-encoded, cropped a little, brightened or mirrored.

Pictures are compared as small grey ones. A hash of their coarse structure, the signs of discrete cosine
coefficients, proposes pairs: mirroring turns the coefficients that are odd along the rows round and leaves
the even ones alone, so one scan of the even half serves a picture and its mirror image. Proposals are decided
by the correlation of fine detail (faces that were cropped alike resemble each other in everything else) after
a shift that lines the two up.

Notation: N pictures of E × E pixels.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from scipy.fft import dctn, irfft2, rfft2
from scipy.ndimage import gaussian_filter

from olrsearch.core.progress import silent
from olrsearch.datasets.images import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, I64, U8, Bool
    from olrsearch.core.progress import Track

EDGE: Final = 32
"""E."""

LEAST_LIKENESS: Final = 0.9
"""Correlation of fine detail from which two pictures are copies. On CelebA all pairs above it are one
photograph, and pairs of different ones stay below .89; a few drawings from the same pieces pass it."""

LEAST_DETAIL: Final = 1.0
"""Root mean square of fine detail, in grey levels of 255; below it there is nothing to recognise."""

MOST_SHIFT: Final = 2
"""Pixels of the small picture by which copies may be shifted against each other."""

MOST_COPIES: Final = 20
"""Copies an image may have on average; where all pictures look alike, likeness says nothing."""

_log = logging.getLogger(__name__)

_DETAIL = 1.5  # pixels; standard deviation of the blur that is taken off
_EVEN_BITS, _ALL_BITS = 14, 26  # that may differ, of 64 and of 128
_ROWS, _COLUMNS, _BATCH = 64, 4096, 2048


def small_grey(data: bytes, *, where: str) -> U8:
    """A picture as uint8 [E, E], its sides stretched to the same length.

    Args:
        data: Image bytes.
        where: What to call it in an error message.

    Raises:
        ImageDecodeError: damaged, or no image at all.
    """
    image = decode(data, where=where, at_least=(EDGE, EDGE)).convert("L")
    return np.asarray(image.resize((EDGE, EDGE), Image.Resampling.BICUBIC), np.uint8)


def find_alike(pictures: U8, *, track: Track = silent) -> I64:
    """Pairs of pictures that are copies of one another.

    All N²/2 pairs are compared by their hashes, about a nanosecond each, and what is left of them exactly.

    Args:
        pictures: uint8 [N, E, E] from `small_grey`.
        track: Shows progress.

    Returns:
        int64 [P, 2], the lower row first, in ascending order. None, and a warning, where there would be
        more than `MOST_COPIES` an image.
    """
    usable = np.flatnonzero(_detailed(pictures))
    pictures = pictures[usable]
    found, count = [np.empty((0, 2), np.int64)], 0
    for proposed in _batches(pictures, track):
        one, two, mirrored = proposed.T
        score = likeness(pictures[one], _turned(pictures[two], mirrored > 0))
        found.append(proposed[score >= LEAST_LIKENESS, :2])
        count += len(found[-1])
        if count > MOST_COPIES * len(pictures):
            _log.warning(
                "the %d pictures look so alike that copies cannot be told: only files that are equal byte by "
                "byte count as copies",
                len(pictures),
            )
            return np.empty((0, 2), np.int64)
    return np.unique(usable[np.concatenate(found)], axis=0)


def likeness(first: U8, second: U8) -> F32:
    """Correlation of the fine detail of pairs of pictures, lined up by a shift, float32 [n].

    Args:
        first: uint8 [n, E, E].
        second: uint8 [n, E, E].
    """
    one, two = _detail(first), _detail(second)
    spectrum = rfft2(two)
    # The correlation theorem gives all shifts at once; a parabola through the best says where between pixels.
    cross = irfft2(np.conj(rfft2(one)) * spectrum, s=(EDGE, EDGE))
    steps = np.arange(-MOST_SHIFT, MOST_SHIFT + 1)
    best = cross[:, steps[:, None], steps].reshape(len(cross), -1).argmax(axis=1)
    y, x, pair = steps[best // len(steps)], steps[best % len(steps)], np.arange(len(cross))
    down = y + _peak(cross[pair, y - 1, x], cross[pair, y, x], cross[pair, y + 1, x])
    right = x + _peak(cross[pair, y, x - 1], cross[pair, y, x], cross[pair, y, x + 1])
    turn = np.fft.fftfreq(EDGE)[:, None] * down[:, None, None] + np.fft.rfftfreq(EDGE) * right[:, None, None]
    moved = irfft2(spectrum * np.exp(2j * np.pi * turn), s=(EDGE, EDGE))
    inside = slice(MOST_SHIFT + 1, -MOST_SHIFT - 1)  # what a shift has not wrapped round
    out: F32 = np.einsum("nd,nd->n", _unit(one[:, inside, inside]), _unit(moved[:, inside, inside]))
    return out.astype(np.float32, copy=False)


def _peak(before: F32, at: F32, after: F32) -> F32:
    """Where a parabola through neighbouring values has its top, −½ … ½ from the middle, float32 [n]."""
    bend = before - 2 * at + after
    flat = np.abs(bend) < 1e-6
    return np.where(flat, 0, np.clip(0.5 * (before - after) / np.where(flat, 1, bend), -0.5, 0.5))


def _batches(pictures: U8, track: Track) -> Iterator[I64]:
    """Pairs whose hashes are near, and 1 for those that are when the second is mirrored, int64 [n, 3]."""
    waiting: list[I64] = []
    for proposed in _proposals(*_hashes(pictures), track):
        waiting.append(proposed)
        if sum(map(len, waiting)) >= _BATCH:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _proposals(even: NDArray[np.uint64], odd: NDArray[np.uint64], track: Track) -> Iterator[I64]:
    count = len(even)
    starts = range(0, count, _ROWS)
    for start in track(starts, total=len(starts), what="copies", unit="blocks"):
        for left in range(start, count, _COLUMNS):
            apart = np.bitwise_count(even[start : start + _ROWS, None] ^ even[left : left + _COLUMNS])
            near = np.flatnonzero(apart <= _EVEN_BITS)  # of a flat array: forty times faster
            row, column = near // apart.shape[1] + start, near % apart.shape[1] + left
            later = column > row
            row, column, base = row[later], column[later], apart.ravel()[near[later]]
            differ = np.bitwise_count(odd[row] ^ odd[column])
            for rest, mirrored in ((differ, 0), (64 - differ, 1)):
                fits = base + rest <= _ALL_BITS
                if fits.any():
                    yield np.column_stack([row, column, np.full_like(row, mirrored)])[fits]


def _hashes(pictures: U8) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Signs of the 64 lowest coefficients that are even along the rows, and of the odd ones, uint64 [N]."""
    down, right = np.mgrid[0:EDGE, 0:EDGE]
    # The lowest of all, the mean brightness, has always the same sign.
    radius = np.where(down + right > 0, down**2 + right**2, EDGE**4)
    words = []
    for odd in (0, 1):
        order = np.argsort(np.where(right % 2 == odd, radius, EDGE**4), axis=None, kind="stable")[:64]
        bits = [_coefficients(block)[:, order] > 0 for block in _blocks(pictures)]
        packed = np.packbits(np.concatenate(bits), axis=1)
        words.append(np.ascontiguousarray(packed).view(np.uint64)[:, 0])
    return words[0], words[1]


def _coefficients(pictures: U8) -> F32:
    """Discrete cosine transforms, float32 [n, E²]."""
    out: F32 = dctn(pictures.astype(np.float32), axes=(1, 2)).reshape(len(pictures), EDGE**2)
    return out


def _blocks(pictures: U8) -> Iterator[U8]:
    """A few pictures at a time; an empty block where there are none."""
    for start in range(0, max(len(pictures), 1), _BATCH):
        yield pictures[start : start + _BATCH]


def _detail(pictures: U8) -> F32:
    """Pictures less their blur, float32 [n, E, E]."""
    grey = pictures.astype(np.float32)
    out: F32 = grey - gaussian_filter(grey, (0, _DETAIL, _DETAIL), mode="nearest")
    return out


def _detailed(pictures: U8) -> Bool:
    """Which pictures have enough of it to be recognised by, bool [N]."""
    power = [np.square(_detail(block)).mean(axis=(1, 2)) for block in _blocks(pictures)]
    return np.concatenate(power) >= LEAST_DETAIL**2


def _turned(pictures: U8, mirrored: Bool) -> U8:
    """Pictures, some of them mirrored."""
    return np.where(mirrored[:, None, None], pictures[:, :, ::-1], pictures)


def _unit(detail: F32) -> F32:
    """As vectors of mean 0 and length 1, float32 [n, D]."""
    flat = detail.reshape(len(detail), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    out: F32 = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return out
