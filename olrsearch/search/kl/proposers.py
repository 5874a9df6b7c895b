"""What proposes images to a search by KL, and the search that scores the proposals in full.

Graphs need L2: with M² the longest squared length times a headroom, x → (x, √(M² − ‖x‖²)) and
q → (q, 0) have squared distance ‖q‖² + M² − 2⟨q, x⟩. Images longer than M need another build.

Notation: N images, F numbers a feature, f an image's features, g a query's; a search is for the smallest
⟨f, g⟩. W numbers stored an image.

Source: Bachrach et al. 2014, "Speeding up the Xbox recommender system", eq. 3, for the augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from olrsearch.core.errors import IndexBuildError, VectorError
from olrsearch.search.index.faiss_index import FaissIndex, SearchOptions
from olrsearch.search.index.topk import top_k
from olrsearch.search.kl.projection import Bounded, check_features, check_query, row_blocks, sampled_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.search.kl.projection import Projection

FIRST_SCORED: Final = 64
"""Images scored before the first look at the bounds."""

FIRST_PROPOSED: Final = 512
"""Images proposed with bounds at first: enough for most proofs, and a scan for few is quicker."""

_GROWTH: Final = 8

_LANES: Final = 16
"""faiss' quantised scans are several times slower where the length is no multiple of this."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """What an index found, the most promising first.

    Attributes:
        rows: int64 [≤ count].
        lower: float64, ascending: ⟨f, g⟩ of each row is at least this, and of every row not among them at
            least the last. None where the index knows no bound.
    """

    rows: I64
    lower: F64 | None = None


class KlProposer(Protocol):
    """What every kind of index does."""

    @property
    def bytes(self) -> int:
        """Memory taken."""

    @property
    def count(self) -> int:
        """N."""

    @property
    def bounds(self) -> bool:
        """Whether proposals come with lower bounds, in their order."""

    @property
    def index(self) -> FaissIndex | None:
        """What faiss keeps of it; None where `arrays` are all that is kept."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `restore` of its kind needs beside the index and the features, by name."""

    def propose(self, query: F64, count: int) -> Proposals:
        """Rows worth scoring in full.

        Args:
            query: float64 [F], features of the query in the frame and direction of the images'.
            count: How many.

        Raises:
            VectorError: the query has another length, or is not finite.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ScoredAnswer:
    """The nearest of those scored.

    Attributes:
        rows: int64 [≤ count], nearest first, ties by image id.
        values: float64, ⟨f, g⟩ as re-scored; the query's constant added, they are divergences in nats.
        scored: How many images were scored in full.
        proven: Whether no other image can be nearer than the last of these.
    """

    rows: I64
    values: F64
    scored: int
    proven: bool


def search_kl(
    proposer: KlProposer,
    ids: I64,
    query: F64,
    count: int,
    rescore: Callable[[F64, I64], F64],
    *,
    proposals: int = 200,
    margin: float = 0.0,
) -> ScoredAnswer:
    """The nearest images among the proposals, by their exact values.

    Where the index knows bounds, images are scored in their order until the next bound lies above the last
    of the answer: then the answer is proven to be that of the exact scan.

    Args:
        proposer: Of a gallery.
        ids: int64 [N], decide between equal values.
        query: float64 [F], features of the query.
        count: How many; fewer only when there are fewer, or a graph finds fewer.
        rescore: From the query and rows to ⟨f, g⟩ in float64.
        proposals: Images to propose at most, and at least twice `count`.
        margin: How far below a bound the value of an image may lie; a proof leaves room for it.

    Raises:
        VectorError: a bad query, ids that do not fit, or a negative count.
    """
    if ids.shape != (proposer.count,):
        raise VectorError(f"ids {ids.shape} do not fit an index of {proposer.count} images")
    most = min(max(proposals, 2 * count, 1), proposer.count)
    if proposer.bounds:
        return _search_by_bounds(proposer, ids, query, count, rescore, most, margin)
    rows = proposer.propose(query, most).rows
    values = rescore(query, rows)
    best = top_k(values, ids[rows], count).rows
    return ScoredAnswer(rows[best], values[best], len(rows), len(rows) == proposer.count)


def _search_by_bounds(
    proposer: KlProposer,
    ids: I64,
    query: F64,
    count: int,
    rescore: Callable[[F64, I64], F64],
    most: int,
    margin: float,
) -> ScoredAnswer:
    """Score in the order of lower bounds, until the next lies beyond the answer or `most` were proposed."""
    asked = min(max(FIRST_PROPOSED, 2 * count), most)
    rows, values = np.empty(0, np.int64), np.empty(0)
    while True:
        found = proposer.propose(query, asked)
        lower = np.empty(0) if found.lower is None else found.lower
        if not len(rows):
            rows = found.rows[: max(FIRST_SCORED, 2 * count)]
            values = rescore(query, rows)
        near = found.rows[lower <= _limit(values, count) + margin]
        fresh = near[np.isin(near, rows, invert=True)]
        if len(fresh):
            rows, values = np.concatenate([rows, fresh]), np.concatenate([values, rescore(query, fresh)])
        # The limit only sinks as more are scored, so that what lay beyond it stays there.
        proven = len(found.rows) == proposer.count or bool(lower[-1] > _limit(values, count) + margin)
        if proven or asked == most:
            best = top_k(values, ids[rows], count).rows
            return ScoredAnswer(rows[best], values[best], len(rows), proven)
        asked = min(_GROWTH * asked, most)


def _limit(values: F64, count: int) -> float:
    """The last value of an answer, rounding of float64 included."""
    if not 0 < count <= len(values):
        return float("inf") if count else float("-inf")
    last = float(np.partition(values, count - 1)[count - 1])
    return last + 1e-9 * (1.0 + abs(last))


# -- kinds ---------------------------------------------------------------------------------


class FlatKl:
    """A scan of all numbers, compressed: kinds `fp16` and `sq8`.

    Args:
        features: float32 [N, F].
        factory: `SQfp16` or `SQ8`.
        seed: Of the drawing of images that ranges are taken of.
        gpu: Whether faiss searches on a GPU, for `SQfp16` alone.

    Attributes:
        index: What is searched.
        centre: float32 [F], subtracted from features.
        size: F.
        code_bytes: Of a number.
        bounds: False.
        count: N.

    Raises:
        VectorError: bad features.
        FaissInstallError: no usable faiss, or none with a GPU that was asked for.
    """

    def __init__(self, features: F32, factory: str, *, seed: int = 0, gpu: bool = False) -> None:
        self.count: int = len(features)
        self.bounds = False
        self.size = features.shape[1]
        self.code_bytes = 2 if factory == "SQfp16" else 1
        some = features[sampled_rows(self.count, seed)]
        self.centre = some.mean(axis=0, dtype=np.float64).astype(np.float32)

        def blocks() -> Iterator[tuple[I64, F32]]:
            for rows in row_blocks(self.count):
                yield np.arange(rows.start, rows.stop), self._centred(features[rows])

        built = FaissIndex.of_blocks(self._centred(some), blocks(), factory, metric="ip")
        self.index = built.on_gpu() if gpu else built

    @classmethod
    def restore(cls, index: FaissIndex, size: int, factory: str, centre: F32, *, gpu: bool = False) -> FlatKl:
        """As it was built.

        Args:
            index: Its index.
            size: F.
            factory: As built.
            centre: float32 [F], from `arrays`.
            gpu: As built.
        """
        found = cls.__new__(cls)
        found.index, found.count, found.bounds = index.on_gpu() if gpu else index, index.count, False
        found.size, found.code_bytes, found.centre = size, 2 if factory == "SQfp16" else 1, centre
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `KlProposer`."""
        return {"centre": self.centre}

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return self.count * (self.code_bytes * self.index.size + 8)

    def propose(self, query: F64, count: int) -> Proposals:
        """See `KlProposer`."""
        asked = np.zeros(self.index.size, np.float32)
        turned = -check_query(query, self.size)
        # a power of two changes no order, and keeps the query within float16 on a GPU
        asked[: self.size] = np.ldexp(turned, -np.frexp(np.abs(turned).max())[1])
        return Proposals(self.index.search(asked, count))

    def _centred(self, features: F32) -> F32:
        out = np.zeros((len(features), padded(self.size)), np.float32)
        np.subtract(features, self.centre, out=out[:, : self.size])
        return out


class ProjectedKl:
    """A scan of the first numbers of a projection, as float16: kind `projected`.

    Args:
        features: float32 [N, F].
        projection: Fitted to them.
        width: W, at most F + 3.
        prove: Whether to propose in the order of lower bounds.
        seed: Of drawings.

    Attributes:
        index: What is searched.
        bounded: What is stored.
        far: int64, rows too far out for float16.
        bounds: Whether it proposes in the order of lower bounds.
        count: N.

    Raises:
        VectorError: a width that leaves nothing to store.
        IndexBuildError: too many images lie too far out for float16.
    """

    def __init__(
        self, features: F32, projection: Projection, width: int, *, prove: bool, seed: int = 0
    ) -> None:
        self.count = len(features)
        self.bounds = prove
        self.bounded = Bounded.of(projection, features, width, seed=seed)
        far: list[I64] = []

        def blocks() -> Iterator[tuple[I64, F32]]:
            for rows in row_blocks(self.count):
                stored, out = self.bounded.stored(features[rows])
                far.append(rows.start + np.flatnonzero(out))
                yield np.arange(rows.start, rows.stop), stored

        self.index = FaissIndex.of_blocks(np.zeros((1, width), np.float32), blocks(), "SQfp16", metric="ip")
        self.far: I64 = np.concatenate(far)
        if len(self.far) > 0.01 * self.count:
            raise IndexBuildError(
                f"{len(self.far)} of {self.count} images lie too far from the others for float16: look at "
                "their posteriors, or use the recipe kl-hnsw"
            )

    @classmethod
    def restore(cls, index: FaissIndex, bounded: Bounded, far: I64, *, prove: bool) -> ProjectedKl:
        """As it was built.

        Args:
            index: Its index.
            bounded: What it stores.
            far: int64, rows too far out, from `arrays`.
            prove: As built.
        """
        found = cls.__new__(cls)
        found.index, found.count, found.bounds = index, index.count, prove
        found.bounded, found.far = bounded, far
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `KlProposer`."""
        return {**_projection_arrays(self.bounded.projection), "scale": self.bounded.scale, "far": self.far}

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return self.count * (2 * self.bounded.width + 8)

    def propose(self, query: F64, count: int) -> Proposals:
        """See `KlProposer`; with lower bounds where it is to prove."""
        if not self.bounds:
            rows = self.index.search(-self.bounded.middle(query), count)
            return Proposals(np.concatenate([rows, np.setdiff1d(self.far, rows)]))
        vector, offset = self.bounded.lower(query)
        rows, products = self.index.nearest(-vector, count)
        lower = offset - products.astype(np.float64)
        if len(self.far):  # their zeros say nothing: they come first, as if they might be anything
            near = np.isin(rows, self.far, invert=True)
            rows = np.concatenate([self.far, rows[near]])
            lower = np.concatenate([np.full(len(self.far), -np.inf), lower[near]])
        return Proposals(rows, lower)


class GraphKl:
    """An HNSW graph over the first numbers of a projection: kinds `hnsw` (all of them) and `projected-hnsw`.

    Args:
        features: float32 [N, F].
        projection: Fitted to them.
        kept: How many numbers of it.
        links, ef_construction, ef_search: Of the graph.
        headroom: M², as a multiple of the longest squared length.

    Attributes:
        index: What is searched.
        projection: As given.
        kept: As given.
        links: As given.
        ef_search: As given.
        options: The same for faiss.
        bounds: False.
        longest: M.
    """

    def __init__(
        self,
        features: F32,
        projection: Projection,
        kept: int,
        *,
        links: int,
        ef_construction: int,
        ef_search: int,
        headroom: float,
    ) -> None:
        self.projection = projection
        self.kept = kept
        self.bounds = False
        self.options = SearchOptions(ef_search=ef_search)
        self.ef_search, self.links = ef_search, links
        squares = [np.square(self._kept_of(features[rows])).sum(axis=1) for rows in row_blocks(len(features))]
        self.longest = float(np.sqrt(headroom * max(float(part.max()) for part in squares)))
        self.index = FaissIndex.of_blocks(
            self._augmented(features[:1]),
            (
                (np.arange(rows.start, rows.stop), self._augmented(features[rows]))
                for rows in row_blocks(len(features))
            ),
            f"HNSW{links},Flat",
            ef_construction=ef_construction,
        )

    @classmethod
    def restore(
        cls, index: FaissIndex, projection: Projection, longest: float, *, links: int, ef_search: int
    ) -> GraphKl:
        """As it was built.

        Args:
            index: Its index.
            projection: As built.
            longest: M, from `arrays`.
            links: As built.
            ef_search: As built.
        """
        found = cls.__new__(cls)
        found.index, found.bounds, found.longest = index, False, longest
        found.projection, found.kept = projection, index.size - 1
        found.options, found.ef_search, found.links = SearchOptions(ef_search=ef_search), ef_search, links
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See `KlProposer`."""
        return {**_projection_arrays(self.projection), "longest": np.array([self.longest])}

    @property
    def bytes(self) -> int:
        """Memory taken, a few links of upper levels left out."""
        return self.count * (4 * self.index.size + 8 * self.links + 16 + 8)

    @property
    def count(self) -> int:
        """N."""
        return self.index.count

    def propose(self, query: F64, count: int) -> Proposals:
        """See `KlProposer`."""
        turned = np.append(-self.projection.query(query)[: self.kept], 0.0)
        # A graph returns what its breadth came across: it must not be narrower than the answer.
        options = self.options if count <= self.ef_search else SearchOptions(ef_search=count)
        return Proposals(self.index.search(turned.astype(np.float32), count, options))

    def add(self, features: F32) -> None:
        """Add images behind the others.

        Args:
            features: float32 [n, F].

        Raises:
            VectorError: bad features.
            IndexBuildError: an image is longer than M: L2 would no longer rank by inner products.
        """
        check_features(features)
        vectors = self._augmented(features)
        self.index.add(np.arange(self.count, self.count + len(features)), vectors)

    def _kept_of(self, features: F32) -> F64:
        return self.projection.project(features)[:, : self.kept]

    def _augmented(self, features: F32) -> F32:
        kept = self._kept_of(features)
        room = self.longest**2 - np.square(kept).sum(axis=1)
        if (room < 0).any():
            raise IndexBuildError(
                f"{int((room < 0).sum())} images are longer than a graph has room for "
                f"(M = {self.longest:.4g}): build the index again"
            )
        return np.concatenate([kept, np.sqrt(room)[:, None]], axis=1).astype(np.float32)


def _projection_arrays(projection: Projection) -> dict[str, NDArray[Any]]:
    return {
        "centre": projection.centre,
        "images": projection.images,
        "queries": projection.queries,
        "weights": projection.weights,
    }


def padded(size: int) -> int:
    """The next length that faiss' quantised scans are quick at."""
    return -(-size // _LANES) * _LANES
