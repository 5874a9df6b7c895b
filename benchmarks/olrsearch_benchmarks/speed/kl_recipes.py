"""What recipes for searches by KL reach in a large gallery: recall, memory, and speed over the exact scan.

A gallery of a million is made from a smaller one: see `large_galleries`.

The exact scan is features @ query in float32 and a selection; it and a recipe answer the same queries in
turns, and the median ratio of their times counts.

Notation: n images given, N images searched, d dimensions, T = d(d+1)/2, F numbers a feature.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError, RecallError
from olrsearch.maths.kl_features import Frame, feature_size, image_features, query_features
from olrsearch.search.kl.projected import search_kl
from olrsearch.search.kl.projection import row_blocks
from olrsearch.search.kl.recall import (
    LARGEST_SET,
    HeldOut,
    WordSets,
    check_promise,
    exact_answers,
    measure_recall,
    sample_word_queries,
)
from olrsearch.search.kl.recipes import build_proposer, load_kl_recipe
from olrsearch_benchmarks.speed.kl_device import DeviceProposer, memory_shares
from olrsearch_benchmarks.speed.large_galleries import PosteriorArrays, resample
from olrsearch_benchmarks.speed.speed import SpeedCase, time_in_turns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.index.built import Recall
    from olrsearch.search.kl.projected import KlProposer
    from olrsearch.search.kl.recipes import KlRecipe

_log = logging.getLogger(__name__)

_ANSWER: Final = 10
"""Length of the answers that are timed."""

SAMPLED: Final = 2000
"""Queries of each kind that projections are fitted to."""

TARGETS: Final = {"words": (0.99, 10.0), "images": (0.95, 5.0)}
"""Kind of query → recall@10 and speed over the exact scan that one recipe shall reach together."""

SCANS: Final = ("kl-projected",)
"""Recipes that every machine can measure."""


@dataclass(frozen=True, slots=True)
class KlRow:
    """One measured number.

    Attributes:
        metric: `recipe/images/kind of query/what`; without a kind where all of them count.
        value: Measured.
        target: What it must reach, if anything.
        passed: Whether it does; None without a target.
        unit: `share`, `ratio`, `bytes an image`, `images` or `recipes`.
        seed: Of everything random in it.
    """

    metric: str
    value: float
    target: float | None
    passed: bool | None
    unit: str
    seed: int


@dataclass(frozen=True, slots=True)
class KlRecipesResult:
    """All rows, in the order measured."""

    rows: tuple[KlRow, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """A dict a row, for JSON; keys are those of `KlRow`."""
        return [asdict(row) for row in self.rows]


def run_kl_recipes(
    posteriors: PosteriorArrays,
    vectors: F64,
    *,
    shrinkage: float,
    count: int = 1_000_000,
    direction: Direction = "query-to-image",
    scans: Sequence[str | Path] = SCANS,
    queries: int = 20,
    turns: int = 15,
    seed: int = 0,
) -> KlRecipesResult:
    """Measure recipes.

    Args:
        posteriors: n images; a fifth of them, up to 2,000, is kept out of the gallery: half of it to sample
            image queries from, half to hold out.
        vectors: float64 [W, d], the vocabulary.
        shrinkage: λ of word sets.
        count: N.
        direction: Which divergence.
        scans: Recipes, by name or file.
        queries: Held-out queries a kind.
        turns: Pairs of timed answers a recipe and kind.
        seed: Of everything drawn.

    Returns:
        For every recipe and kind recall@10, recall@100, speed over the exact scan; its bytes an image; on a
        device the share of its memory's speed; and for words and images whether a recipe reaches both of
        `TARGETS`.

    Raises:
        BenchmarkError: fewer images than queries need.
        DeviceError: a recipe's device is not there, or has too little memory.
    """
    asked = min(len(posteriors) // 5, 2000) // 2
    if asked < queries:
        raise BenchmarkError(
            f"{len(posteriors)} posteriors hold out {asked} image queries, {queries} are needed"
        )
    rng = np.random.default_rng([seed, 0x4B1])
    order = rng.permutation(len(posteriors))
    base = PosteriorArrays(posteriors.mean[order[2 * asked :]], posteriors.packed[order[2 * asked :]])
    sets = WordSets.of_points(vectors, shrinkage)
    words = sample_word_queries(sets, SAMPLED, rng)
    held = sample_word_queries(
        sets,
        queries * (LARGEST_SET - 1),
        np.random.default_rng([seed, 0x4B2]),
        sizes=tuple(range(2, LARGEST_SET + 1)),
        exclude=words.sets,
    )
    # Every single word is among the samples: a vocabulary has no others to hold out.
    singles = sample_word_queries(sets, queries, rng, sizes=(1,)).gaussians
    held_words = {
        f"words-{size}": singles if size == 1 else held.of_size(size) for size in range(1, LARGEST_SET + 1)
    }
    sampled = {"words": words.gaussians, "images": posteriors.gaussians(order[:asked])}
    held_out = {**held_words, "images": posteriors.gaussians(order[asked : asked + queries])}
    gallery = _Gallery.of(resample(base, count, np.random.default_rng([seed, count])), direction)
    rows = gallery.measure(
        [load_kl_recipe(name) for name in scans], sampled, held_out, turns=turns, seed=seed
    )
    return KlRecipesResult((*rows, *_verdicts(rows, seed)))


@dataclass(frozen=True, slots=True, eq=False)
class _Gallery:
    """N images with their features in one direction."""

    posteriors: PosteriorArrays
    frame: Frame
    direction: Direction
    features: F32
    ids: I64

    @classmethod
    def of(cls, posteriors: PosteriorArrays, direction: Direction) -> _Gallery:
        frame = Frame.of(posteriors.gaussians(slice(0, 20_000)))
        features = np.empty((len(posteriors), feature_size(posteriors.mean.shape[1])), np.float32)
        for rows in row_blocks(len(posteriors)):
            features[rows] = image_features(frame.apply(posteriors.gaussians(rows)), direction)
        return cls(posteriors, frame, direction, features, np.arange(len(posteriors)))

    def asked(self, queries: Gaussians) -> F64:
        return query_features(self.frame.apply(queries), self.direction)[0]

    def rescore(self, query: F64, rows: I64) -> F64:
        """⟨f, g⟩ of some rows from their posteriors, float64."""
        found: F64 = image_features(self.frame.apply(self.posteriors.gaussians(rows)), self.direction) @ query
        return found

    def measure(
        self,
        recipes: Sequence[KlRecipe],
        sampled: Mapping[str, Gaussians],
        held_out: Mapping[str, Gaussians],
        *,
        turns: int,
        seed: int,
    ) -> list[KlRow]:
        samples = {kind: self.asked(queries) for kind, queries in sampled.items()}
        truths = {
            kind: exact_answers(self.features, self.asked(queries), self.rescore)
            for kind, queries in held_out.items()
        }
        rows: list[KlRow] = []
        for recipe in recipes:
            proposer: KlProposer = (
                DeviceProposer(self.features, recipe.parameters.device)
                if recipe.kind == "torch"
                else build_proposer(recipe, self.features, samples, seed=seed)
            )
            recall = measure_recall(proposer, recipe, self.ids, truths, self.rescore)
            speed = {
                kind: self._speed(
                    proposer, recipe, np.concatenate([truths[name].features for name in names]), turns
                )
                for kind, names in _groups(truths).items()
            }
            fresh = [
                *self._rows(recipe, proposer, recall, speed, seed),
                *self._device(recipe, proposer, truths, turns, seed),
            ]
            for row in fresh:
                _log.info("%s: %.4f", row.metric, row.value)
            rows += fresh
        return rows

    def _search(self, proposer: KlProposer, recipe: KlRecipe, query: F64) -> tuple[I64, F64]:
        proposals = recipe.parameters.asked(_ANSWER)
        return search_kl(proposer, self.ids, query, _ANSWER, self.rescore, proposals=proposals)

    def _speed(self, proposer: KlProposer, recipe: KlRecipe, queries: F64, turns: int) -> float:
        """How many times faster than the exact scan, the median over turns of both."""
        ours, theirs = itertools.cycle(queries), itertools.cycle(queries)

        def exact() -> object:
            return np.argpartition(self.features @ next(theirs).astype(np.float32), _ANSWER)[:_ANSWER]

        timed = time_in_turns(
            SpeedCase(
                recipe.name, "exact scan", lambda: self._search(proposer, recipe, next(ours)), exact, turns
            )
        )
        return 1.0 / timed.ratio

    def _rows(
        self,
        recipe: KlRecipe,
        proposer: KlProposer,
        recall: Mapping[str, Recall],
        speed: Mapping[str, float],
        seed: int,
    ) -> list[KlRow]:
        head = f"{recipe.name}/{len(self.ids)}"
        rows = []
        for kind, found in recall.items():
            promised = kind.partition("-")[0] in recipe.queries
            for what, value, promise in (
                ("recall@10", found.at_10, recipe.recall_at_10),
                ("recall@100", found.at_100, recipe.recall_at_100),
            ):
                target = promise if promised else None
                passed = value >= promise if promised else None
                rows.append(KlRow(f"{head}/{kind}/{what}", value, target, passed, "share", seed))
        rows += [
            KlRow(f"{head}/{kind}/speed", value, None, None, "ratio", seed) for kind, value in speed.items()
        ]
        size = proposer.bytes / len(self.ids)
        rows.append(KlRow(f"{head}/memory", size, None, None, "bytes an image", seed))
        rows.append(
            KlRow(
                f"{head}/promise kept",
                float(_kept(recipe, recall)),
                1.0,
                _kept(recipe, recall),
                "share",
                seed,
            )
        )
        return rows

    def _device(
        self,
        recipe: KlRecipe,
        proposer: KlProposer,
        truths: Mapping[str, HeldOut],
        turns: int,
        seed: int,
    ) -> list[KlRow]:
        if not isinstance(proposer, DeviceProposer):
            return []
        queries = np.concatenate([queries.features for queries in truths.values()])
        head = f"{recipe.name}/{len(self.ids)}"
        return [
            KlRow(f"{head}/{what}", value, None, None, "share", seed)
            for what, value in memory_shares(proposer.scan, queries, turns=turns).items()
        ]


def _kept(recipe: KlRecipe, recall: Mapping[str, Recall]) -> bool:
    try:
        check_promise(recipe, recall)
    except RecallError as error:
        _log.warning("%s", error)
        return False
    return True


def _groups(kinds: Mapping[str, object]) -> dict[str, list[str]]:
    """`words` and `images` → the kinds of query they are."""
    found: dict[str, list[str]] = {}
    for kind in kinds:
        found.setdefault(kind.partition("-")[0], []).append(kind)
    return found


def _verdicts(rows: Sequence[KlRow], seed: int) -> list[KlRow]:
    """For words and images, how many recipes reach both targets at once."""
    measured: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        recipe, _, rest = row.metric.partition("/")
        images, _, rest = rest.partition("/")
        kind, _, what = rest.partition("/")
        if what in {"recall@10", "speed"}:
            group = kind.partition("-")[0]
            measured.setdefault((f"{recipe}/{images}", group), {}).setdefault(what, []).append(row.value)
    verdicts = []
    for kind, (recall, speed) in TARGETS.items():
        reached = [
            name
            for (name, group), found in measured.items()
            if group == kind and min(found["recall@10"]) >= recall and min(found["speed"]) >= speed
        ]
        _log.info("%s: recall@10 ≥ %g at ≥ %g times the speed: %s", kind, recall, speed, ", ".join(reached))
        verdicts.append(
            KlRow(f"{kind}/recipes within targets", float(len(reached)), 1.0, bool(reached), "recipes", seed)
        )
    return verdicts
