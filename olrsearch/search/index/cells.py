"""Nearest vectors of many queries at once: a scan over all, or over the cells of a coarse quantiser.

Neighbour votes ask for the neighbours of every image. One query at a time reads all vectors from
memory for each; here queries that lie together share their candidates, and a block of distances is
one matrix product. A cell holds the vectors that are nearest to one of C drawn vectors; the
candidates of its queries are the vectors of the cells around it, nearest cell first. Cells suit few
dimensions: in many, the nearest of a vector lie in too many of them.

Notation: N vectors of d numbers in C cells; q queries and c candidates of a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from scipy.spatial import cKDTree

from olrsearch.core.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.core.arrays import F32, I64

    Block: TypeAlias = tuple[I64, F32, F32]
    """Rows of q queries; what c candidates carry, [c, m]; what ranks these for each query, [q, c]."""

CELL: Final = 125
"""Vectors a cell, on average. In smaller ones a query lies nearer to the centre whose surroundings it is
given, in larger ones more queries share a matrix product."""

_PRODUCTS: Final = 2**18
"""Multiplications of a block of distances. So few leave OpenBLAS on the caller's thread: threads of a small
product cost more than they bring, on busy cores ten times as much. And a block of half a megabyte or less
stays in the processor's cache while it is ranked."""

_AROUND: Final = 1024
"""Neighbours of all cells that are kept, at most; a cell that needs more sorts all centres."""


class Cells:
    """Vectors, each in the cell of the nearest centre. Centres are drawn from the vectors themselves.

    Where vectors lie dense, so do the centres, and cells hold about as many vectors each.

    Args:
        vectors: float32 [N, d], N ≥ 1, finite; copied.
        size: Vectors a cell, on average.
        seed: Of the draw.

    Attributes:
        count: C.
        cell: int64 [N], the cell of every vector.

    Raises:
        VectorError: no vectors, another shape or dtype, NaN or infinities.
    """

    def __init__(self, vectors: F32, *, size: int = CELL, seed: int = 0) -> None:
        self._asking, self._asked = _factors(vectors)
        number = len(vectors)
        drawn = np.random.default_rng([seed, 0xCE11]).choice(number, max(1, number // size), replace=False)
        self._centres = np.unique(
            vectors[drawn], axis=0
        )  # of equal centres all but one would have no vectors
        self.count = len(self._centres)
        self._tree = cKDTree(self._centres)
        self.cell: I64 = self._tree.query(vectors)[1].astype(np.int64, copy=False)
        self._around: I64 = np.empty((self.count, 0), np.int64)

    def blocks(self, queries: I64, references: I64, carried: F32, least: int) -> Iterator[Block]:
        """Distances between queries and the references around them.

        Args:
            queries: int64, rows of the vectors that ask.
            references: int64 [n], rows of the vectors that may be found.
            carried: float32 [n, m], what is to be known of each reference.
            least: Candidates a query gets: whole cells, from its own outwards, until there are as many;
                at most twice as many, evenly chosen, where one cell alone holds more (equal vectors do
                that). All references where there are fewer.

        Yields:
            Rows of q queries, what their candidates carry, float32 [c, m], and float32 [q, c] of what
            ranks the candidates of a query: squared distances less the query's own squared distance
            from the mean of all vectors. Every query comes once; a block's arrays are its own.
        """
        # In the order of the cells, so that candidates lie together in memory.
        order, starts = self._sorted(references)
        asked, carried = self._asked[references[order]], carried[order]
        order, firsts = self._sorted(queries)
        asking = queries[order]
        sizes = np.diff(starts)
        self._look_around(2.0 * least * self.count / max(1, len(references)))
        for cell in np.flatnonzero(np.diff(firsts)).tolist():
            around = self._around[cell]
            ends = sizes[around].cumsum()
            if ends[-1] < least and len(around) < self.count:
                around = self._all_around(cell)
                ends = sizes[around].cumsum()
            needed = int(np.searchsorted(ends, least)) + 1
            around, ends = around[:needed], ends[:needed]
            places = np.arange(ends[-1]) + np.repeat(starts[around] - ends + sizes[around], sizes[around])
            if len(places) > 2 * least:
                places = places[np.linspace(0, len(places) - 1, 2 * least).astype(np.int64)]
            mine = asking[firsts[cell] : firsts[cell + 1]]
            near = carried[places]
            for rows, distances in _scan(self._asking, mine, asked[places]):
                yield rows, near, distances

    def _look_around(self, wanted: float) -> None:
        """Find the nearest cells of all cells, as many as wanted or up to twice as many."""
        most = min(self.count, _AROUND)
        width = most if wanted >= most else min(most, 1 << int(np.ceil(np.log2(max(1.0, wanted)))))
        if self._around.shape[1] < width:
            found = self._tree.query(self._centres, k=np.arange(1, width + 1))[1]
            self._around = found.astype(np.int64, copy=False)

    def _all_around(self, cell: int) -> I64:
        """All cells, nearest to this one first."""
        gap = self._centres - self._centres[cell]
        return np.argsort(np.einsum("cd,cd->c", gap, gap), kind="stable")

    def _sorted(self, rows: I64) -> tuple[I64, I64]:
        """Order of rows by cell, stable, and where each cell begins in it, int64 [C + 1]."""
        cells = self.cell[rows]
        order = np.argsort(cells, kind="stable")
        return order, np.searchsorted(cells[order], np.arange(self.count + 1))


def all_blocks(vectors: F32, queries: I64, references: I64, carried: F32) -> Iterator[Block]:
    """As `Cells.blocks`, with all references as candidates of every query: exact.

    Args:
        vectors: float32 [N, d], finite.
        queries: int64, rows of the vectors that ask.
        references: int64 [n], rows of the vectors that may be found.
        carried: float32 [n, m], what is to be known of each reference.

    Raises:
        VectorError: no vectors, another shape or dtype, NaN or infinities.
    """
    asking, asked = _factors(vectors)
    for rows, distances in _scan(asking, queries, asked[references]):
        yield rows, carried, distances


def _factors(vectors: F32) -> tuple[F32, F32]:
    """Two matrices, float32 [N, d + 1], whose product of rows is ‖w‖² − 2⟨v, w⟩: (v, 1) and (−2w, ‖w‖²).

    Vectors are taken less their mean: float32 keeps more digits of differences between short vectors.
    """
    if vectors.ndim != 2 or not len(vectors) or vectors.dtype != np.float32:
        raise VectorError(f"cells need float32 vectors [N, d], found {vectors.dtype} {vectors.shape}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise VectorError(
            f"{int((~finite).sum())} of {len(vectors)} vectors hold NaN or infinities: encode again"
        )
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.einsum("nd,nd->n", centred, centred)
    asking = np.column_stack([centred, np.ones_like(lengths)])
    return asking, np.column_stack([np.float32(-2) * centred, lengths])


def _scan(asking: F32, rows: I64, asked: F32) -> Iterator[tuple[I64, F32]]:
    """Blocks of rows and of what ranks c targets for each of them, float32 [q, c].

    Args:
        asking: float32 [N, d + 1], first factors.
        rows: int64, which of them ask.
        asked: float32 [c, d + 1], second factors of the targets.
    """
    step = max(1, _PRODUCTS // max(1, asked.size))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        first = asking[block]
        # Of one vector even a small product would be given to threads.
        yield block, first @ asked.T if len(block) > 1 else np.einsum("qd,cd->qc", first, asked)
