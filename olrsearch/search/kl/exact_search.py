"""Exact search by divergence between Gaussians: float32 proposes, float64 decides.

A divergence is an inner product of KL features (`olrsearch.maths.kl_features`), so one product over all
images, straight from memory maps, ranks them. What that loses in float32 is bounded for every image
(`olrsearch.search.kl.rounding`): those which the bound leaves open are looked at again in float64, and
those still open are scored from their stored posteriors by the direct formula, until the next image
would have to lie beyond the last one that is returned.

Notation: N images (rows of a view), d dimensions, F numbers of a KL feature, m queries or points.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import IndexBuildError, VectorError
from olrsearch.maths.divergences import check_direction, jeffreys, kl
from olrsearch.search.index.view import without
from olrsearch.search.kl.bounded_search import LARGEST_BLOCK, score_by_bounds
from olrsearch.search.kl.kept_features import frame_digest
from olrsearch.search.kl.query import ask, check_divergence, interval, open_rows
from olrsearch.search.kl.rounding import add_up

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, I64, Bool
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.maths.kl_features import Frame
    from olrsearch.search.kl.kept_features import KlFeatures
    from olrsearch.search.kl.query import Asked, Divergence
    from olrsearch.search.kl.view import KlView

_log = logging.getLogger(__name__)

MANY: Final = 0.2
"""Share of the images searched past which a log line says that a query needed so many proposals."""

_REFINED: Final = 4096
"""Rows looked at in float64 at once."""

_FORMULAS: Final[Mapping[Divergence, Callable[[Gaussians, Gaussians], F64]]] = {
    "query-to-image": kl,
    "image-to-query": lambda query, image: kl(image, query),
    "jeffreys": jeffreys,
}
"""The direct formulas, of a query and images."""

_BATCH_NUMBERS: Final = 1 << 25
"""Scan values of a batch of queries kept at once, 128 MB."""

# 64 queries over 100,000 images on one thread, d = 32 and 50: numpy's product with a selection of the top 100
# takes 0.07 to 0.25 times what `faiss.knn` takes, and gives all scan values; faiss gives the first alone.


@dataclass(frozen=True, slots=True, eq=False)
class KlAnswer:
    """The nearest images by divergence, or the farthest.

    Attributes:
        ids: int64 [≤ count], in order, ties by id.
        distances: float64 [≤ count], nats, from the stored posteriors by the direct formula.
        exact: Whether no other image can belong among them.
        proposals: Images that were scored by the direct formula.
    """

    ids: I64
    distances: F64
    exact: bool
    proposals: int


class KlIndex:
    """Search over the posteriors of all images.

    Nothing is read before a query needs it, and features of a direction not before a query asks for it.

    Args:
        view: The images.
        frame: Of the features.
        features: For a direction, the features of each part of the view, in the view's order.
        products: From the features of a part and queries float32 [m, F] to their inner products float32
            [m, n], in float32 and in any order of summation; numpy's when None.
    """

    def __init__(
        self,
        view: KlView,
        frame: Frame,
        features: Callable[[Direction], Sequence[KlFeatures]],
        products: Callable[[KlFeatures, F32], F32] | None = None,
    ) -> None:
        self.view = view
        self.frame = frame
        self._source = features
        self._multiply = _products if products is None else products
        self._made: dict[Direction, tuple[KlFeatures, ...]] = {}
        self._told = False

    def features(self, direction: Direction) -> tuple[KlFeatures, ...]:
        """The features of every part of the view in one direction.

        Raises:
            GaussianError: there is no such direction.
            IndexBuildError: features are damaged, or are not those of the view's parts.
        """
        check_direction(direction)
        if direction not in self._made:
            found = tuple(self._source(direction))
            counts = [len(kept.features) for kept in found]
            if counts != [len(part.ids) for part in self.view.parts]:
                raise IndexBuildError(
                    f"KL features of {counts} images do not fit segments of "
                    f"{[len(part.ids) for part in self.view.parts]}: run index build"
                )
            wanted = (direction, frame_digest(self.frame))
            for kept in found:
                if (kept.direction, kept.frame) != wanted:
                    raise IndexBuildError(
                        f"KL features are of {kept.direction} and the frame {kept.frame[:12]}, expected "
                        f"{direction} and {wanted[1][:12]}: run index build"
                    )
            self._made[direction] = found
        return self._made[direction]

    def search(
        self,
        query: Gaussians,
        count: int,
        *,
        direction: Divergence = "query-to-image",
        allowed: Bool | None = None,
        exclude: Collection[int] | I64 = (),
        farthest: bool = False,
    ) -> KlAnswer:
        """The nearest images, exactly.

        Args:
            query: One Gaussian.
            count: How many; all when there are fewer.
            direction: Which divergence.
            allowed: bool [N], the rows to search; all when None. Never fewer are returned because of it
                than exist.
            exclude: Ids left out of the answer; those of no image are ignored.
            farthest: The images with the largest divergences instead, the largest first.

        Raises:
            EmptyStoreError: there are no images.
            GaussianError: the query is not one Gaussian of the images' dimensions with finite numbers,
                lies too far from the images for float32, or there is no such direction.
            VectorError: a negative count, a mask of another length, or a damaged posterior.
            IndexBuildError: as `features`.
        """
        eligible = self._eligible(count, allowed, exclude)
        asked = ask(query, direction, self.frame, self.view.size)
        return self._decide(
            query, asked, self._scan(asked), count, direction, eligible=eligible, farthest=farthest
        )

    def search_batch(
        self, queries: Gaussians, count: int, *, direction: Divergence = "query-to-image"
    ) -> list[KlAnswer]:
        """`search` for m queries, by one matrix product: the same answers, sooner.

        Args:
            queries: m Gaussians.
            count: How many, for each query.
            direction: Which divergence.

        Raises:
            EmptyStoreError, GaussianError, VectorError, IndexBuildError: as `search`.
        """
        self._eligible(count, None, ())
        asked = [
            ask(queries[number], direction, self.frame, self.view.size) for number in range(len(queries))
        ]
        step = max(1, _BATCH_NUMBERS // len(self.view))
        out = []
        for start in range(0, len(queries), step):
            block = asked[start : start + step]
            # one term a direction: a sum of them in float32 would round once more
            terms = [
                self._products(one.direction, np.stack([parts[term].rounded for parts in block]))
                for term, one in enumerate(block[0])
            ]
            for place, parts in enumerate(block):
                values = np.zeros(len(self.view))
                for term, one in zip(terms, parts, strict=True):
                    values += term[place]
                    values += one.constant
                out.append(self._decide(queries[start + place], parts, values, count, direction))
        return out

    def distances(self, query: Gaussians, direction: Divergence = "query-to-image") -> F32:
        """Divergences of all images by the scan alone: float32 [N] nats, in the view's rows.

        Raises:
            EmptyStoreError, GaussianError, IndexBuildError: as `search`.
        """
        self.view.check_any()
        found = self._scan(ask(query, direction, self.frame, self.view.size))
        return np.maximum(found, 0.0).astype(np.float32)

    def distances_of(self, query: Gaussians, rows: I64, direction: Divergence = "query-to-image") -> F64:
        """Divergences of some images by the direct formula: float64 [len(rows)] nats.

        Raises:
            GaussianError: the query does not fit, or there is no such direction.
            VectorError: a posterior holds NaN or infinity, or is singular.
        """
        check_divergence(direction)
        out = np.empty(len(rows))
        for start in range(0, len(rows), LARGEST_BLOCK):
            block = slice(start, start + LARGEST_BLOCK)
            out[block] = _FORMULAS[direction](query, self.view.gaussians(rows[block]))
        return out

    def bounds(self, query: Gaussians, direction: Divergence = "query-to-image") -> F64:
        """How far `search` takes the scan to be from float64 at most: float64 [N] nats, a row each.

        Raises:
            EmptyStoreError, GaussianError, IndexBuildError: as `search`.
        """
        self.view.check_any()
        return self._bounds(ask(query, direction, self.frame, self.view.size))

    # -- the scan ------------------------------------------------------------------------

    def _scan(self, asked: Sequence[Asked]) -> F64:
        """Divergences of all images, float64 [N], of products in float32."""
        values = np.zeros(len(self.view))
        for one in asked:
            values += self._products(one.direction, one.rounded[None])[0]
            values += one.constant
        return values

    def _products(self, direction: Direction, queries: F32) -> F32:
        """Inner products of all images with m queries, float32 [m, N]."""
        out = np.empty((len(queries), len(self.view)), np.float32)
        for kept, rows, alive in self._parts(direction):
            found = self._multiply(kept, queries)
            out[:, rows] = found if alive is None else found[:, alive]
        return out

    def _bounds(self, asked: Sequence[Asked]) -> F64:
        out = np.zeros(len(self.view))
        for one in asked:
            for kept, rows, alive in self._parts(one.direction):
                found = add_up(kept.bounds, one.scan)
                out[rows] += found if alive is None else found[alive]
            out += one.extra
        return out

    def _parts(self, direction: Direction) -> Iterator[tuple[KlFeatures, slice | I64, I64 | None]]:
        features = self.features(direction)
        for number, rows, alive in self.view.layout():
            yield features[number], rows, alive

    # -- the decision --------------------------------------------------------------------

    def _decide(
        self,
        query: Gaussians,
        asked: Sequence[Asked],
        values: F64,
        count: int,
        direction: Divergence,
        *,
        eligible: Bool | None = None,
        farthest: bool = False,
    ) -> KlAnswer:
        """The first images, from scan values float64 [N]; with `farthest`, everything is ranked negated."""
        sign = -1.0 if farthest else 1.0
        rows = np.arange(len(values)) if eligible is None else np.flatnonzero(eligible)
        searched = len(rows)
        count = min(count, searched)
        if not count:
            return KlAnswer(np.empty(0, np.int64), np.empty(0), exact=True, proposals=0)
        lower, upper = interval(-values if farthest else values, self._bounds(asked))
        if eligible is not None:
            lower, upper = lower[rows], upper[rows]
        rows, lower, upper = open_rows(rows, lower, upper, count)
        if len(rows) > count:
            closer, wider = interval(*self._refine(rows, asked, sign))
            rows, lower, _ = open_rows(rows, np.maximum(lower, closer), np.minimum(upper, wider), count)
        found = score_by_bounds(
            self.view.ids, rows, lower, count, lambda some: sign * self.distances_of(query, some, direction)
        )
        self._tell(found.scored - count, searched)
        return KlAnswer(found.ids, sign * found.values, exact=True, proposals=found.scored)

    def _refine(self, rows: I64, asked: Sequence[Asked], sign: float) -> tuple[F64, F64]:
        """Values, negated where sign is −1, and bounds of products in float64: float64 [len(rows)] each."""
        values, bounds = np.zeros(len(rows)), np.zeros(len(rows))
        for one in asked:
            features = self.features(one.direction)
            for start in range(0, len(rows), _REFINED):
                block = slice(start, start + _REFINED)
                for part, mine, places in self.view.split(rows[block]):
                    kept = features[part]
                    with np.errstate(over="ignore", invalid="ignore"):
                        found = kept.features[places].astype(np.float64) @ one.features
                    values[block][mine] += found
                    bounds[block][mine] += add_up(kept.bounds[places], one.refined)
            values += one.constant
            bounds += one.extra
        return sign * values, bounds

    def _tell(self, proposals: int, searched: int) -> None:
        if proposals > MANY * searched and not self._told:
            self._told = True
            _log.info(
                "a query needed %d of %d posteriors scored in float64: they lie closer together than "
                "float32 can tell; the answer is exact all the same",
                proposals,
                searched,
            )

    def _eligible(self, count: int, allowed: Bool | None, exclude: Collection[int] | I64) -> Bool | None:
        """The rows that may be answered with; None for all."""
        self.view.check_any()
        if count < 0:
            raise VectorError(f"count {count} must not be negative")
        if allowed is not None and (allowed.shape != (len(self.view),) or allowed.dtype != np.bool_):
            raise VectorError(
                f"a mask of {allowed.dtype} {allowed.shape} does not fit {len(self.view)} images: expected a "
                "bool each"
            )
        return without(self.view, exclude, allowed)


def _products(kept: KlFeatures, queries: F32) -> F32:
    with np.errstate(over="ignore", invalid="ignore"):
        # one query: a matrix–vector product, which reads each number once and keeps nothing
        found = kept.features @ queries[0] if len(queries) == 1 else queries @ kept.features.T
    return np.atleast_2d(found)
