"""The posteriors an index by divergence sees of a store.

Conventions are those of `olrsearch.search.index.view`; here rows ascend by image id.

Notation: N images (rows of a view), n images of a part, d dimensions, T = d(d+1)/2 numbers of a
packed Cholesky factor.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from olrsearch.core.errors import EmptyStoreError, VectorError
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.triangles import triangle, unpack
from olrsearch.search.index.view import all_found

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from olrsearch.core.arrays import F32, I64, Bool, Floats


class PosteriorPart(Protocol):
    """Posteriors of some images, as a segment of a store holds them."""

    @property
    def ids(self) -> I64:
        """int64 [n], each id once."""

    @property
    def mean(self) -> F32:
        """float32 [n, d]; may be memory-mapped."""

    @property
    def factor(self) -> F32:
        """float32 [n, T], packed Cholesky factors; may be memory-mapped."""


class PlainPosteriors(NamedTuple):
    """Plain arrays as a part of a view: for posteriors that lie in no store.

    Attributes:
        ids: int64 [n].
        mean: float32 [n, d].
        factor: float32 [n, T].
    """

    ids: I64
    mean: F32
    factor: F32


class KlView:
    """All living posteriors of one space, as one sequence of rows over several parts.

    Nothing is copied when a view is made; posteriors are read when they are asked for.

    Args:
        parts: Segments, one or more, all of the same d.
        excluded: Ids that no longer exist (tombstones); those of no part are ignored.

    Attributes:
        parts: The segments.
        size: d.
        ids: int64 [N], the id of every row, ascending.

    Raises:
        VectorError: parts differ in d or dtype, means do not fit factors or ids, or an id occurs twice.
    """

    def __init__(self, parts: Sequence[PosteriorPart], excluded: Collection[int] | I64 = ()) -> None:
        self.parts = tuple(parts)
        self.size = int(self.parts[0].mean.shape[-1])
        for part in self.parts:
            _check_part(part, self.size)
        gone = np.fromiter(excluded, np.int64, len(excluded))
        places = [np.flatnonzero(np.isin(part.ids, gone, invert=True)) for part in self.parts]
        ids = [np.asarray(part.ids)[kept] for part, kept in zip(self.parts, places, strict=True)]
        every = np.concatenate(ids)
        order = np.argsort(every, kind="stable")
        self.ids: I64 = every[order]
        twice = np.flatnonzero(self.ids[1:] == self.ids[:-1])
        if len(twice):
            raise VectorError(
                f"image id {self.ids[twice[0]]} has posteriors in two segments ({len(twice)} ids do): "
                "run store verify"
            )
        rows = np.empty(len(every), np.int64)
        rows[order] = np.arange(len(every))
        lengths = [len(kept) for kept in places]
        self._part_of: I64 = np.repeat(np.arange(len(places)), lengths)[order]
        self._place_of: I64 = np.concatenate(places)[order]
        self._alive = [
            None if len(kept) == len(part.ids) else kept
            for part, kept in zip(self.parts, places, strict=True)
        ]
        starts = np.cumsum([0, *lengths])
        self._rows = [_as_slice(rows[start:end]) for start, end in pairwise(starts)]

    def __len__(self) -> int:
        return len(self.ids)

    def check_any(self) -> None:
        """Refuse a view of nothing.

        Raises:
            EmptyStoreError: it is one.
        """
        if not len(self):
            raise EmptyStoreError("the space holds no posteriors: run olrsearch encode")

    def layout(self) -> Iterator[tuple[int, slice | I64, I64 | None]]:
        """Where the images of each part stand.

        Yields:
            The part's position, the rows of its living images, and their places in the part: None when
            all its images live. A function of a part's arrays is evaluated on all of it and then chosen
            from, which is cheaper than copying.
        """
        for number, (rows, alive) in enumerate(zip(self._rows, self._alive, strict=True)):
            yield number, rows, alive

    def find(self, ids: I64) -> I64:
        """Rows of some images, int64; −1 for those that are not in this view."""
        if not len(self):
            return np.full(len(ids), -1, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        return np.where(self.ids[at] == ids, at, -1)

    def rows(self, ids: Sequence[int] | I64) -> I64:
        """Rows of some images, int64.

        Raises:
            UnknownImageError: an image is not in this view.
        """
        wanted = np.asarray(ids, np.int64)
        return all_found(wanted, self.find(wanted), "posterior")

    def means(self, rows: I64) -> F32:
        """Means of some rows, float32 [len(rows), d], copied."""
        out = np.empty((len(rows), self.size), np.float32)
        for part, mine, places in self.split(rows):
            out[mine] = self.parts[part].mean[places]
        return out

    def factors(self, rows: I64) -> F32:
        """Packed Cholesky factors of some rows, float32 [len(rows), T], copied."""
        out = np.empty((len(rows), triangle(self.size)), np.float32)
        for part, mine, places in self.split(rows):
            out[mine] = self.parts[part].factor[places]
        return out

    def gaussians(self, rows: I64) -> Gaussians:
        """The posteriors of some rows, in float64.

        Raises:
            VectorError: one holds NaN or infinity, or its covariance is singular; the image is named.
        """
        return stored_gaussians(self.ids[rows], self.means(rows), self.factors(rows))

    def sample(self, count: int) -> Gaussians:
        """At most `count` posteriors, evenly spread over the rows, in float64.

        Raises:
            EmptyStoreError: there are none.
            VectorError: as `gaussians`.
        """
        self.check_any()
        wanted = min(count, len(self))
        return self.gaussians(np.arange(wanted) * len(self) // wanted)

    def split(self, rows: I64) -> Iterator[tuple[int, Bool, I64]]:
        """For each part that has some of the rows: its position, which of them, and their places in it."""
        owner, places = self._part_of[rows], self._place_of[rows]
        for part in range(len(self.parts)):
            mine = owner == part
            if mine.any():
                yield part, mine, places[mine]


def stored_gaussians(ids: I64, mean: F32, factor: F32) -> Gaussians:
    """Gaussians float64 from stored arrays, checked as damaged files may need it.

    Args:
        ids: int64 [n], named in errors.
        mean: float32 [n, d].
        factor: float32 [n, T].

    Raises:
        VectorError: NaN or infinity, or a diagonal entry that is not positive.
    """
    size = mean.shape[1]
    factors = unpack(factor.astype(np.float64), size)
    check_sound(ids, mean, factor, np.diagonal(factors, axis1=1, axis2=2))
    return Gaussians(mean.astype(np.float64), factors)


def check_sound(ids: I64, mean: Floats, factor: Floats, diagonal: Floats) -> None:
    """Refuse posteriors as damaged files may hold them.

    Args:
        ids: int64 [n], named in errors.
        mean: [n, d].
        factor: [n, T].
        diagonal: [n, d], of the factors.

    Raises:
        VectorError: NaN or infinity, or a diagonal entry that is not positive.
    """
    sound = np.isfinite(mean).all(axis=1) & np.isfinite(factor).all(axis=1) & (diagonal > 0).all(axis=1)
    if not sound.all():
        raise VectorError(
            f"the posterior of image {ids[int(np.argmin(sound))]} holds NaN or infinity, or is singular "
            f"({int((~sound).sum())} are so): run store verify"
        )


def check_means(ids: I64, mean: Floats) -> None:
    """Refuse means [n, d] as damaged files may hold them.

    Raises:
        VectorError: NaN or infinity; the image is named by `ids`, int64 [n].
    """
    sound = np.isfinite(mean).all(axis=1)
    if not sound.all():
        raise VectorError(
            f"the posterior of image {ids[int(np.argmin(sound))]} holds NaN or infinity "
            f"({int((~sound).sum())} do): run store verify"
        )


def _as_slice(rows: I64) -> slice | I64:
    """Rows in one run as a slice, which costs less to write to."""
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return rows


def _check_part(part: PosteriorPart, size: int) -> None:
    count = len(part.ids)
    if part.ids.shape != (count,) or part.mean.shape != (count, size) or not size:
        raise VectorError(
            f"a segment has ids {part.ids.shape} and means {part.mean.shape}, expected [n] and [n, {size}]: "
            "run store verify"
        )
    if part.factor.shape != (count, triangle(size)):
        raise VectorError(
            f"a segment has factors {part.factor.shape} for means {part.mean.shape}, expected "
            f"[{count}, {triangle(size)}]: run store verify"
        )
    if part.ids.dtype != np.int64 or part.mean.dtype != np.float32 or part.factor.dtype != np.float32:
        raise VectorError(
            f"a segment holds {part.ids.dtype} ids, {part.mean.dtype} means and {part.factor.dtype} factors, "
            "expected int64, float32 and float32"
        )
