"""What an index sees of a store.

Conventions, stated once for this package:

* `N` images, `L` labels, `k` numbers a label; embeddings are label-major float32
  [L, N, k] and usually memory-mapped.
* Image ids are int64, any numbers ≥ 0, in any order. A *row* is a position 0…N−1 in an
  `EmbeddingView`; arrays per image are in row order.
* A distance is smaller for nearer images, whatever the metric.
* Ties break by image id.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from olrsearch.core.errors import UnknownImageError, VectorError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from olrsearch.core.arrays import F32, I64, Bool


class Images(Protocol):
    """The images of a view of any kind."""

    @property
    def ids(self) -> I64:
        """int64 [N], the id of every row."""

    def __len__(self) -> int:
        """N."""

    def find(self, ids: I64) -> I64:
        """Rows of some images, int64; −1 for those that are not in this view."""


class EmbeddingPart(Protocol):
    """Embeddings of some images, as a segment of a store holds them."""

    @property
    def ids(self) -> I64:
        """int64 [n], each id once."""

    @property
    def embeddings(self) -> F32:
        """float32 [L, n, k], label-major; may be memory-mapped."""


class EmbeddingView:
    """All living images of one space, as one sequence of rows over several parts.

    Nothing is copied when a view is made; numbers are read label by label when they are
    asked for. Rows are those of the parts in their order, without the excluded ids.

    Args:
        parts: Segments, one or more, all of the same L and k.
        excluded: Ids that no longer exist (tombstones); those of no part are ignored.

    Attributes:
        parts: The segments.
        labels: L.
        size: k.
        ids: int64 [N], the id of every row.

    Raises:
        VectorError: parts differ in L, k or dtype, ids do not fit embeddings, or an id
            occurs twice.
    """

    def __init__(self, parts: Sequence[EmbeddingPart], excluded: Collection[int] | I64 = ()) -> None:
        self.parts = tuple(parts)
        for part in self.parts:
            _check_part(part, self.parts[0])
        self.labels, _, self.size = self.parts[0].embeddings.shape
        gone = np.fromiter(excluded, np.int64, len(excluded))
        living = [np.isin(part.ids, gone, invert=True) for part in self.parts]
        self._alive = [None if alive.all() else alive for alive in living]
        kept = [part.ids[alive] for part, alive in zip(self.parts, living, strict=True)]
        self.ids: I64 = np.concatenate(kept)
        self._starts = np.cumsum([0, *(len(ids) for ids in kept)])
        ordered = self.ids[self._order]
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twice):
            raise VectorError(
                f"image id {ordered[twice[0]]} has embeddings in two segments ({len(twice)} ids do): "
                "run store verify"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _order(self) -> I64:
        """Rows in ascending order of their ids."""
        return np.argsort(self.ids, kind="stable")

    def blocks(self, label: int) -> Iterator[tuple[slice, F32, Bool | None]]:
        """One label's vectors, part by part.

        Yields:
            The rows a part fills, its float32 [n, k] as stored (not copied), and a mask
            of its living images: None when all are. A function of the vectors is
            evaluated on all n and then masked, which is cheaper than copying.
        """
        for number, (part, alive) in enumerate(zip(self.parts, self._alive, strict=True)):
            yield slice(self._starts[number], self._starts[number + 1]), part.embeddings[label], alive

    def vectors(self, label: int) -> F32:
        """One label's vectors of all rows, float32 [N, k]; a view of the segment if there is just one."""
        found = [block if alive is None else block[alive] for _, block, alive in self.blocks(label)]
        return np.asarray(found[0]) if len(found) == 1 else np.concatenate(found)

    def rows(self, ids: Sequence[int] | I64) -> I64:
        """Rows of some images, int64.

        Raises:
            UnknownImageError: an image is not in this view.
        """
        wanted = np.asarray(ids, np.int64)
        return all_found(wanted, self.find(wanted), "embedding")

    def find(self, ids: I64) -> I64:
        """Rows of some images, int64; −1 for those that are not in this view."""
        if not len(self):
            return np.full(len(ids), -1, np.int64)
        ordered = self.ids[self._order]
        at = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
        return np.where(ordered[at] == ids, self._order[at], -1)

    def gather(self, label: int, rows: I64) -> F32:
        """One label's vectors of some rows, float32 [len(rows), k], copied."""
        out = np.empty((len(rows), self.size), np.float32)
        for part, mine, places in self._split(rows):
            out[mine] = part.embeddings[label][places]
        return out

    def gather_all(self, rows: I64) -> F32:
        """All labels' vectors of some rows, float32 [L, len(rows), k], copied."""
        out = np.empty((self.labels, len(rows), self.size), np.float32)
        for label in range(self.labels):
            out[label] = self.gather(label, rows)
        return out

    def embedding(self, image_id: int) -> F32:
        """All label embeddings of one image, float32 [L, k], copied.

        Raises:
            UnknownImageError: the image is not in this view.
        """
        ((part, _, places),) = self._split(self.rows([image_id]))
        return np.ascontiguousarray(part.embeddings[:, places[0]])

    def _split(self, rows: I64) -> Iterator[tuple[EmbeddingPart, Bool, I64]]:
        """For each part that has some of the rows: which of them, and where they stand in it."""
        for number, (part, alive) in enumerate(zip(self.parts, self._alive, strict=True)):
            mine = (rows >= self._starts[number]) & (rows < self._starts[number + 1])
            if mine.any():
                places = rows[mine] - self._starts[number]
                yield part, mine, places if alive is None else np.flatnonzero(alive)[places]


def _check_part(part: EmbeddingPart, first: EmbeddingPart) -> None:
    shape, other = part.embeddings.shape, first.embeddings.shape
    if len(shape) != 3 or part.ids.shape != (shape[1],):
        raise VectorError(
            f"a segment has ids {part.ids.shape} and embeddings {shape}, expected [n] and [L, n, k]"
        )
    if part.embeddings.dtype != np.float32 or part.ids.dtype != np.int64:
        raise VectorError(
            f"a segment holds {part.embeddings.dtype} embeddings and {part.ids.dtype} ids, "
            "expected float32 and int64"
        )
    if (shape[0], shape[2]) != (other[0], other[2]):
        raise VectorError(
            f"segments of one space have {shape[0]} labels × {shape[2]} numbers and "
            f"{other[0]} × {other[2]}: run store verify"
        )


def without(images: Images, exclude: Collection[int] | I64, allowed: Bool | None = None) -> Bool | None:
    """The rows allowed, but for those of some ids.

    Args:
        images: N of them.
        exclude: Ids left out; those of no image are ignored.
        allowed: bool [N], not changed; all when None.

    Returns:
        bool [N]; None for all.
    """
    rows = images.find(np.fromiter(exclude, np.int64, len(exclude)))
    rows = rows[rows >= 0]
    if not len(rows):
        return allowed
    kept = np.ones(len(images), np.bool_) if allowed is None else allowed.copy()
    kept[rows] = False
    return kept


def all_found(wanted: I64, found: I64, what: str) -> I64:
    """The rows found, unless an image has none.

    Args:
        wanted: int64 [n], ids.
        found: int64 [n], their rows; −1 for those that are not there.
        what: Of an image, that is not there.

    Raises:
        UnknownImageError: an image is not there.
    """
    if (found < 0).any():
        missing = wanted[found < 0]
        raise UnknownImageError(
            f"image {missing[0]} has no {what} here ({len(missing)} of {len(wanted)} have none): "
            "it was deleted, or encode has not seen it yet"
        )
    return found
