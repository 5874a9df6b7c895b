"""P7, exact search by divergence: against torch, against the memory limit, and against brute force.

Ours and each baseline run in turns in one process (`speed.speed`), and only ratios are reported.

Notation: N images, d dimensions, T = d(d+1)/2, F numbers of a KL feature, m queries of a batch.
"""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import BenchmarkError, VectorError
from olrsearch.maths.triangles import unpack
from olrsearch.search.index.faiss_index import installed_faiss, load_faiss
from olrsearch.search.kl.exact_search import KlIndex
from olrsearch.search.kl.kept_features import KlFeatures, choose_frame, kept_frame
from olrsearch.search.kl.query import ask
from olrsearch.search.kl.view import KlView, PlainPosteriors
from olrsearch_benchmarks.speed.speed import SpeedCase, time_in_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.exact_search import KlAnswer
    from olrsearch_benchmarks.speed.speed import SpeedRatio

_log = logging.getLogger(__name__)

OVER_PRODUCT: Final = 1.5
"""Exact search may take this many times a bare matrix–vector product over the same features."""

OVER_TORCH: Final = 40.0
"""So many times as long as a bare scan took `torch.distributions` when this search was designed."""

JITTER: Final = 0.1
"""Standard deviations of its own posterior by which a resampled mean is moved."""

BATCH: Final = 64
"""Queries answered together."""

_TORCH_TURNS: Final = 3
_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class KlSpeedRow:
    """One figure.

    Attributes:
        metric: What was measured.
        value: The figure; of ratios, the median over turns.
        target: What it must reach, or not exceed; None where there is nothing to reach.
        passed: Whether it does; None without a target.
        unit: `ratio`, `share` or `images`.
        seed: Of the resampling.
        low: First quartile of a ratio; None of other figures.
        high: Third quartile.
    """

    metric: str
    value: float
    target: float | None
    passed: bool | None
    unit: str
    seed: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class KlSpeed:
    """The exact part of the speed protocol.

    Attributes:
        rows: The figures.
        images: N.
        dimensions: d.
        direction: Of the divergence.
        count: Images of an answer.
        threads: What BLAS and torch were told to use; None where nothing was said.
    """

    rows: tuple[KlSpeedRow, ...]
    images: int
    dimensions: int
    direction: Direction
    count: int
    threads: str | None

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a figure, with what it was measured on."""
        about = {
            "images": self.images,
            "dimensions": self.dimensions,
            "direction": self.direction,
            "count": self.count,
            "threads": self.threads,
        }
        return [{**asdict(row), **about} for row in self.rows]


def resample(mean: F32, factor: F32, count: int, *, seed: int) -> tuple[F32, F32]:
    """A gallery of any size from one of another: rows drawn with replacement, their means moved.

    A drawn mean is moved by `JITTER` of a draw from its own posterior, μ + 0.1 C ε, so that no two images
    are the same, and none lies where its posterior would not have it; factors stay as they are.

    Args:
        mean: float32 [n, d].
        factor: float32 [n, T], packed.
        count: N.
        seed: Of drawing and moving.

    Returns:
        Means float32 [N, d] and packed factors float32 [N, T].

    Raises:
        BenchmarkError: there is nothing to draw from, or nothing to be drawn.
    """
    if not len(mean) or count < 1:
        raise BenchmarkError(f"{count} images out of {len(mean)} posteriors: expected 1 or more of both")
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(mean), count)
    means, factors = mean[rows], factor[rows]
    for start in range(0, count, _ROWS):
        block = slice(start, start + _ROWS)
        noise = rng.standard_normal(means[block].shape, np.float32)
        moved = np.einsum("nij,nj->ni", unpack(factors[block], mean.shape[1]), noise)
        means[block] += np.float32(JITTER) * moved
    return means, factors


def run_kl_speed(
    mean: F32,
    factor: F32,
    queries: Gaussians,
    *,
    images: int | None = 100_000,
    count: int = 100,
    direction: Direction = "query-to-image",
    folder: Path | None = None,
    turns: int = 15,
    seed: int = 0,
    torch_double: bool = False,
) -> KlSpeed:
    """Time exact search, and check its answers.

    Args:
        mean: float32 [n, d], posteriors of a gallery.
        factor: float32 [n, T], packed.
        queries: What is asked, word-set priors or posteriors; they take turns.
        images: N, to which the gallery is resampled; as it is when None.
        count: Images of an answer.
        direction: Of the divergence.
        folder: Where KL features are kept, to be scanned from a memory map; in memory when None.
        turns: Pairs of calls; against torch, three at most.
        seed: Of the resampling.
        torch_double: Also time torch in float64, the precision of our answers: some 3 GB at d = 32 and
            100,000 images, 8 GB at d = 50.

    Raises:
        BenchmarkError: no posteriors or no queries.
        GaussianError: queries that do not fit.
    """
    if not len(queries):
        raise BenchmarkError("no query to time; give at least one")
    if images is not None:
        mean, factor = resample(mean, factor, images, seed=seed)
    view = KlView([PlainPosteriors(np.arange(len(mean)), mean, factor)])
    # named by content: a folder may hold the features of another gallery
    index = open_index(view, [digest(mean, factor)[:32]], folder)
    singles = [queries[number] for number in range(len(queries))]
    rows = [
        *_correct(index, singles, count, direction, seed),
        *_over_product(index, singles, count, direction, turns, seed),
        *(
            _over_torch(index, singles, count, direction, min(turns, _TORCH_TURNS), seed, double=double)
            for double in ((False, True) if torch_double else (False,))
        ),
        *_batches(index, queries, count, direction, turns, seed),
    ]
    threads = os.environ.get("OMP_NUM_THREADS")
    return KlSpeed(tuple(rows), len(mean), mean.shape[1], direction, count, threads)


def open_index(view: KlView, segments: Sequence[str], folder: Path | None) -> KlIndex:
    """An exact index, whose features are mapped where they are kept, and computed and kept where not.

    Args:
        view: The images.
        segments: A name for each part of the view.
        folder: Where KL features are kept; None keeps nothing.
    """
    frame = choose_frame(view) if folder is None else kept_frame(folder, view)

    def features(direction: Direction) -> list[KlFeatures]:
        if folder is None:
            return [KlFeatures.compute(part, frame, direction) for part in view.parts]
        return [
            KlFeatures.open(folder, part, frame, direction, segment=segment)
            or KlFeatures.write(folder, part, frame, direction, segment=segment)
            for part, segment in zip(view.parts, segments, strict=True)
        ]

    return KlIndex(view, frame, features)


def _correct(
    index: KlIndex, queries: Sequence[Gaussians], count: int, direction: Direction, seed: int
) -> list[KlSpeedRow]:
    """Whether answers are those of scoring every image in float64, and what that took."""
    answers = [index.search(query, count, direction=direction) for query in queries]
    every = np.arange(len(index.view))
    same = []
    for query, answer in zip(queries, answers, strict=True):
        scores = index.distances_of(query, every, direction)
        same.append(np.array_equal(answer.ids, index.view.ids[np.lexsort((every, scores))[:count]]))
    share, proven = float(np.mean(same)), float(np.mean([answer.exact for answer in answers]))
    proposals = float(np.median([answer.proposals for answer in answers]))
    return [
        KlSpeedRow("answers identical to float64 brute force", share, 1.0, share == 1, "share", seed),
        KlSpeedRow("answers proven exact", proven, 1.0, proven == 1, "share", seed),
        KlSpeedRow("images scored in float64, median", proposals, None, None, "images", seed),
    ]


def _over_product(
    index: KlIndex, queries: Sequence[Gaussians], count: int, direction: Direction, turns: int, seed: int
) -> list[KlSpeedRow]:
    """Exact search, and the scan alone, against one matrix–vector product over the same bytes."""
    features = index.features(direction)[0].features
    vectors = [ask(query, direction, index.frame, index.view.size)[0].rounded for query in queries]

    def product() -> Callable[[], F32]:
        turn = cycle(vectors)
        return lambda: features @ next(turn)

    baseline = "a matrix–vector product over the same features"
    searched = _in_turn(queries, lambda query: index.search(query, count, direction=direction))
    scanned = _in_turn(queries, lambda query: index.distances(query, direction))
    whole = time_in_turns(SpeedCase("exact search", baseline, searched, product(), turns, OVER_PRODUCT))
    scan = time_in_turns(SpeedCase("the scan alone", baseline, scanned, product(), turns))
    return [_ratio(whole, seed), _ratio(scan, seed)]


def _ratio(found: SpeedRatio, seed: int) -> KlSpeedRow:
    name = f"{found.name} over {found.baseline}"
    return KlSpeedRow(name, found.ratio, found.limit, found.within, "ratio", seed, found.low, found.high)


def _over_torch(
    index: KlIndex,
    queries: Sequence[Gaussians],
    count: int,
    direction: Direction,
    turns: int,
    seed: int,
    *,
    double: bool,
) -> KlSpeedRow:
    """`torch.distributions` with its selection against exact search: how many times as long it takes."""
    from olrsearch_benchmarks.speed.oracle import TorchKl  # torch, and only for this

    part = index.view.parts[0]
    oracle = TorchKl(part.mean, part.factor, double=double)

    def rank(query: Gaussians) -> I64:
        found = oracle.divergences(query, direction)
        return np.argpartition(found, min(count, len(found)) - 1)[:count]

    theirs = _in_turn(queries, rank)
    ours = _in_turn(queries, lambda query: index.search(query, count, direction=direction))
    found = time_in_turns(SpeedCase("torch.distributions.kl_divergence", "exact search", theirs, ours, turns))
    # the target stands for the faster of the two: torch in float32, whose values are not exact
    target = None if double else OVER_TORCH
    return KlSpeedRow(
        f"torch.distributions.kl_divergence in float{64 if double else 32} over exact search",
        found.ratio,
        target,
        None if target is None else found.ratio >= target,
        "ratio",
        seed,
        found.low,
        found.high,
    )


def _batches(
    index: KlIndex, queries: Gaussians, count: int, direction: Direction, turns: int, seed: int
) -> list[KlSpeedRow]:
    """Queries answered together against one by one, and numpy's matrix product against faiss' search."""
    chosen = np.arange(BATCH) % len(queries)
    together = queries[chosen]
    features = index.features(direction)[0].features
    asked = [ask(queries[int(number)], direction, index.frame, index.view.size)[0] for number in chosen]
    vectors = np.stack([one.rounded for one in asked])

    def one_by_one() -> list[KlAnswer]:
        return [index.search(queries[int(row)], count, direction=direction) for row in chosen]

    def by_numpy() -> I64:
        return np.argpartition(vectors @ features.T, min(count, len(features)) - 1, axis=1)[:, :count]

    turns = max(1, turns // 3)
    cases = [
        SpeedCase(
            f"a batch of {BATCH} exact searches",
            "the same one by one",
            lambda: index.search_batch(together, count, direction=direction),
            one_by_one,
            turns,
            1.0,
        )
    ]
    if installed_faiss():
        cases.append(
            SpeedCase(
                f"numpy's product and selection for {BATCH} queries",
                "faiss.knn",
                by_numpy,
                lambda: largest_products(-vectors, features, count),
                turns,
            )
        )
    else:
        _log.warning("no faiss is installed: batches are not compared with it")
    return [_ratio(time_in_turns(case), seed) for case in cases]


def largest_products(queries: F32, vectors: F32, count: int) -> tuple[I64, F32]:
    """The vectors with the largest inner product with each query, by a scan over all of them.

    Args:
        queries: float32 [m, d], finite.
        vectors: float32 [n, d], finite, which is not checked.
        count: How many for each query; all when there are fewer.

    Returns:
        Rows int64 [m, ≤ count] and inner products float32, largest first.

    Raises:
        VectorError: queries of another length or dtype, or not finite.
        FaissInstallError: no usable faiss.
    """
    if queries.ndim != 2 or queries.shape[1] != vectors.shape[1] or queries.dtype != np.float32:
        raise VectorError(
            f"{queries.dtype} queries {queries.shape} do not fit vectors of {vectors.shape[1]} numbers"
        )
    if not np.isfinite(queries).all():
        raise VectorError("queries hold NaN or infinity: expected finite numbers")
    faiss = load_faiss()
    wanted = min(count, len(vectors))
    values, rows = faiss.knn(queries, vectors, wanted, metric=faiss.METRIC_INNER_PRODUCT)
    return rows, values


def _in_turn(queries: Sequence[Gaussians], call: Callable[[Gaussians], object]) -> Callable[[], object]:
    """A call for the next query each time, so that no query stays in a processor's cache."""
    turn = cycle(queries)
    return lambda: call(next(turn))
