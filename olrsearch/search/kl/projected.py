"""What proposes images to a search by KL: a scan of the few numbers of a projection, as float16.

Notation: N images, F numbers a feature, f an image's features, g a query's; a search is for the smallest
⟨f, g⟩. W numbers stored an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from olrsearch.core.errors import IndexBuildError, VectorError
from olrsearch.search.index.faiss_index import FaissIndex
from olrsearch.search.index.topk import top_k
from olrsearch.search.kl.projection import BLOCK, Projection, row_blocks, sampled_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64, I64

_PROJECTION: Final = ("centre", "images", "queries", "weights")
"""Arrays of a `Projection`, in its order."""

_HALF_MAX: Final = 6e4  # below float16's largest number, 65504


class KlProposer(Protocol):
    """What finds images worth scoring in full."""

    @property
    def count(self) -> int:
        """N."""

    @property
    def bytes(self) -> int:
        """Memory taken."""

    def propose(self, query: F64, count: int) -> I64:
        """Rows worth scoring in full, int64, the most promising first.

        Args:
            query: float64 [F], features of the query in the frame and direction of the images'.
            count: How many.

        Raises:
            VectorError: the query has another length, or is not finite.
        """


class ProjectedKl:
    """A scan of the first numbers of a projection, as float16: kind `projected`.

    Args:
        index: What is searched, over W numbers an image.
        projection: Of the features.
        scale: float64 [W], stored numbers times these are coordinates.
        far: int64, rows too far out for float16, always proposed: their stored numbers are zeros.
        kept: How many of the W numbers are coordinates, all when None. Indexes of older programs have
            bounds in the last ones, which nothing uses any more.
    """

    def __init__(
        self, index: FaissIndex, projection: Projection, scale: F64, far: I64, kept: int | None = None
    ) -> None:
        self.index, self.projection, self.scale, self.far = index, projection, scale, far
        self._kept = len(scale) if kept is None else kept

    @classmethod
    def build(cls, features: F32, projection: Projection, width: int, *, seed: int = 0) -> ProjectedKl:
        """Of these features.

        Args:
            features: float32 [N, F].
            projection: Fitted to them.
            width: W, at most F.
            seed: Of the drawing of images that the scale is taken of.

        Raises:
            VectorError: a width that leaves nothing to store, or is above F.
            IndexBuildError: too many images lie too far out for float16.
        """
        if not 1 <= width <= projection.size:
            raise VectorError(f"{width} numbers an image: expected 1 to {projection.size}")
        some = projection.project(features[sampled_rows(len(features), seed)[:BLOCK]])[:, :width]
        # of the median image: images far out must not take the digits of all others
        scale = np.full(width, max(float(np.median(np.abs(some).mean(axis=1))), 1e-30))
        far: list[I64] = []

        def blocks() -> Iterator[tuple[I64, F32]]:
            for rows in row_blocks(len(features)):
                numbers = projection.project(features[rows])[:, :width] / scale
                out = np.abs(numbers).max(axis=1) > _HALF_MAX
                numbers[out] = 0.0
                far.append(rows.start + np.flatnonzero(out))
                yield np.arange(rows.start, rows.stop), numbers.astype(np.float16).astype(np.float32)

        index = FaissIndex.of_blocks(np.zeros((1, width), np.float32), blocks(), "SQfp16", metric="ip")
        found = np.concatenate(far)
        if len(found) > 0.01 * len(features):
            raise IndexBuildError(
                f"{len(found)} of {len(features)} images lie too far from the others for float16: look at "
                "their posteriors, or leave --recipe out to search exactly"
            )
        return cls(index, projection, scale, found)

    @classmethod
    def restore(
        cls, index: FaissIndex, arrays: Mapping[str, NDArray[Any]], kept: int | None = None
    ) -> ProjectedKl:
        """As it was built, from what `arrays` gave.

        Raises:
            KeyError: an array is missing.
        """
        projection = Projection(*(arrays[name] for name in _PROJECTION))
        return cls(index, projection, arrays["scale"], arrays["far"], kept)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `restore` needs beside the index, by name."""
        projection = {name: getattr(self.projection, name) for name in _PROJECTION}
        return {**projection, "scale": self.scale, "far": self.far}

    @property
    def count(self) -> int:
        """N."""
        return self.index.count

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return self.count * (2 * len(self.scale) + 8)

    def propose(self, query: F64, count: int) -> I64:
        """See `KlProposer`."""
        vector = np.zeros(len(self.scale))
        vector[: self._kept] = self.projection.query(query)[: self._kept]
        rows = self.index.search((-vector * self.scale).astype(np.float32), count)
        return np.concatenate([rows, np.setdiff1d(self.far, rows)])


def search_kl(
    proposer: KlProposer,
    ids: I64,
    query: F64,
    count: int,
    rescore: Callable[[F64, I64], F64],
    *,
    proposals: int = 200,
) -> tuple[I64, F64]:
    """The nearest images among the proposals, by their exact values.

    Args:
        proposer: Of a gallery.
        ids: int64 [N], decide between equal values.
        query: float64 [F], features of the query.
        count: How many; fewer only when there are fewer.
        rescore: From the query and rows to ⟨f, g⟩ in float64.
        proposals: Images to propose at most, and at least twice `count`.

    Returns:
        Rows int64 [≤ count], nearest first, ties by image id; and their ⟨f, g⟩ as re-scored, float64: the
        query's constant added, they are divergences in nats.

    Raises:
        VectorError: a bad query, ids that do not fit, or a negative count.
    """
    if ids.shape != (proposer.count,):
        raise VectorError(f"ids {ids.shape} do not fit an index of {proposer.count} images")
    rows = proposer.propose(query, min(max(proposals, 2 * count, 1), proposer.count))
    values = rescore(query, rows)
    best = top_k(values, ids[rows], count).rows
    return rows[best], values[best]
