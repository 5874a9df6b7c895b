"""What an index for KL finds of the truly nearest, on held-out queries of every kind.

Kinds of query: `words-1` to `words-5`, sets of that many words, and `images`, posteriors of images. A recipe
that promises for `words` promises for each size of set.

Notation: N images, F numbers a feature, W words of d dimensions, q queries.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.core.errors import GaussianError, RecallError, VectorError
from olrsearch.maths.gaussian import Gaussians, word_prior
from olrsearch.maths.gaussian_sets import joined
from olrsearch.search.index.built import Recall
from olrsearch.search.index.topk import top_k
from olrsearch.search.kl.projected import search_kl
from olrsearch.search.kl.projection import check_features

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.search.kl.projected import KlProposer
    from olrsearch.search.kl.recipes import KlRecipe

_log = logging.getLogger(__name__)

LARGEST_SET: Final = 5
"""Words of a set at most, here; queries may have more."""

COUNTS: Final = (10, 100)
"""Lengths of answers that recall is measured at."""

_ATTEMPTS: Final = 200

_SCORED: Final = 1000
"""Rows scored in float64 for the truth: float32 misplaces an image by a few places, not by 900."""


def query_kind(words: int | None) -> str:
    """The kind of query whose recall tells most of a set of so many words, or (None) of an image."""
    return "images" if words is None else f"words-{min(max(words, 1), LARGEST_SET)}"


@dataclass(frozen=True, slots=True, eq=False)
class WordSample:
    """Sampled sets of words.

    Attributes:
        sets: The words' rows, ascending, a set a tuple.
        gaussians: The prior of each set, as a batch.
    """

    sets: tuple[tuple[int, ...], ...]
    gaussians: Gaussians

    def of_size(self, words: int) -> Gaussians:
        """The priors of the sets of so many words."""
        return self.gaussians[np.array([len(chosen) == words for chosen in self.sets], np.bool_)]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Queries of one kind with their exact answers.

    Attributes:
        features: float64 [q, F].
        values: float64 [q, ≤ 100], the smallest ⟨f, g⟩ of the gallery, ascending.
        own: int64 [q], the row a query is itself and that is left out of its answers; −1: none.
    """

    features: F64
    values: F64
    own: I64


class WordSets(NamedTuple):
    """Sets of an encoder's words, as Gaussians.

    Attributes:
        words: W.
        size: d.
        prior_of: From the positions of a set's words to its Gaussian, a batch of one.
    """

    words: int
    size: int
    prior_of: Callable[[Sequence[int]], Gaussians]

    @classmethod
    def of_points(cls, vectors: F64, shrinkage: float) -> WordSets:
        """Of words that are points, float64 [W, d], with priors of this λ.

        Raises:
            GaussianError: vectors that are none.
        """
        if vectors.ndim != 2:
            raise GaussianError(f"word vectors of shape {vectors.shape}: expected [W, d]")
        words, size = vectors.shape
        return cls(words, size, lambda chosen: word_prior(vectors[list(chosen)], shrinkage))


def sample_word_queries(
    words: WordSets,
    count: int,
    rng: np.random.Generator,
    *,
    sizes: tuple[int, ...] = (1, 2, 3, 4, 5),
    exclude: Collection[tuple[int, ...]] = (),
) -> WordSample:
    """Sets of words as people may ask for, sizes equally often.

    Args:
        words: The vocabulary's.
        count: How many sets; the same set may come twice where there are few.
        rng: Drawn from.
        sizes: Words of a set, in turn.
        exclude: Sets not to draw, such as those an index was fitted to.

    Raises:
        GaussianError: a λ that is none, or too few words for a set.
        VectorError: all sets of a size are excluded.
    """
    if not sizes or min(sizes) < 1 or words.words < max(sizes):
        raise GaussianError(f"{words.words} words for sets of {sizes} of them: expected enough")
    share = np.full(words.words, 1.0 / words.words)
    known, sets = set(exclude), []
    for number in range(count):
        size = sizes[number % len(sizes)]
        for _ in range(_ATTEMPTS):
            drawn = rng.choice(words.words, size, replace=False, p=share)
            chosen = tuple(sorted(int(word) for word in drawn))
            if chosen not in known:
                break
        else:
            raise VectorError(
                f"no set of {size} of {words.words} words is left beside {len(known)} excluded ones: "
                "sample fewer, or hold fewer out"
            )
        sets.append(chosen)
    priors = [words.prior_of(chosen) for chosen in sets]
    none = Gaussians(np.empty((0, words.size)), np.empty((0, words.size, words.size)))
    return WordSample(tuple(sets), joined(priors) if priors else none)


def exact_answers(
    features: F32, queries: F64, rescore: Callable[[F64, I64], F64], *, own: I64 | None = None
) -> HeldOut:
    """The truth, by a scan of all features and float64 for what comes near.

    Args:
        features: float32 [N, F].
        queries: float64 [q, F].
        rescore: From a query and rows to ⟨f, g⟩ in float64.
        own: int64 [q], the row to leave out of each query's answer; −1: none. None: of no query.

    Raises:
        VectorError: bad features, or queries of another length.
    """
    check_features(features)
    if queries.ndim != 2 or queries.shape[1] != features.shape[1]:
        raise VectorError(f"queries {queries.shape} do not fit features of {features.shape[1]} numbers")
    left = np.full(len(queries), -1, np.int64) if own is None else own
    ids = np.arange(len(features))
    found = []
    for query, row in zip(queries, left, strict=True):
        near = top_k(features @ query.astype(np.float32), ids, _SCORED).rows
        found.append(np.sort(rescore(query, near[near != row]))[: max(COUNTS)])
    return HeldOut(queries, np.array(found).reshape(len(queries), -1), left)


def measure_recall(
    proposer: KlProposer,
    recipe: KlRecipe,
    ids: I64,
    held_out: Mapping[str, HeldOut],
    rescore: Callable[[F64, I64], F64],
) -> dict[str, Recall]:
    """Recall of every kind of query, by value: among equally near images any may be returned.

    Args:
        proposer: Built from the recipe.
        recipe: Says how many proposals to score.
        ids: int64 [N].
        held_out: Kind → queries with their answers.
        rescore: From a query and rows to ⟨f, g⟩ in float64.

    Raises:
        VectorError: queries or ids that do not fit the index.
    """
    found = {}
    for kind, queries in held_out.items():
        shares: list[list[float]] = [[] for _ in COUNTS]
        for query, values, own in zip(queries.features, queries.values, queries.own, strict=True):
            for count, share in zip(COUNTS, shares, strict=True):
                wanted = min(count, len(values))
                if not wanted:
                    continue
                asked = wanted + int(own >= 0)  # the query's own row is found too
                proposals = recipe.parameters.asked(asked)
                rows, nearest = search_kl(proposer, ids, query, asked, rescore, proposals=proposals)
                limit = values[wanted - 1] + 1e-9 * (1.0 + abs(values[wanted - 1]))
                hits = int(((nearest <= limit) & (rows != own)).sum())
                share.append(min(1.0, hits / wanted))
        found[kind] = Recall(*(float(np.mean(share)) if share else 1.0 for share in shares))
    return found


def check_promise(recipe: KlRecipe, recall: Mapping[str, Recall]) -> None:
    """Refuse an index that finds less than its recipe promises.

    Args:
        recipe: What was promised.
        recall: Kind → measured.

    Raises:
        RecallError: it finds less, or a promised kind was not measured.
    """
    for promised in recipe.queries:
        measured = {kind: value for kind, value in recall.items() if kind.partition("-")[0] == promised}
        if not measured:
            raise RecallError(
                f"{recipe.name} promises for {promised}, of which no query was held out: hold some out"
            )
        for kind, value in measured.items():
            _log.info("%s, %s: recall@10 %.3f, recall@100 %.3f", recipe.name, kind, value.at_10, value.at_100)
            if value.at_10 < recipe.recall_at_10 or value.at_100 < recipe.recall_at_100:
                raise RecallError(
                    f"{recipe.name} finds {value.at_10:.3f} of the ten and {value.at_100:.3f} of the hundred "
                    f"nearest to {kind}, promised are {recipe.recall_at_10} and {recipe.recall_at_100}: "
                    "raise its proposals, width or effort, or search exactly"
                )
