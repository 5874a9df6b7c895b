"""Ranking images by divergences: from the prior of a set of words (`match`), and from an image's posterior.

Notation: N images (rows of a view).

Source: paper 004, section 3, "Image retrieval"; negations are not in the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.maths.calibration import log_sigmoid
from olrsearch.maths.gaussian_sets import joined, product
from olrsearch.search.index.view import without
from olrsearch.search.kl.bounded_search import score_by_bounds
from olrsearch.search.kl.exact_search import KlAnswer
from olrsearch.search.kl.query import SPELT, directions, interval
from olrsearch.search.kl.recall import query_kind
from olrsearch.search.page import Page, by_hit, length_notes
from olrsearch.search.query.ast import canonical
from olrsearch.search.word_terms import query_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from olrsearch.core.arrays import F64, I64, Bool
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.built import BuiltKl
    from olrsearch.search.kl.exact_search import KlIndex
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.page import Share
    from olrsearch.search.word_terms import WordProbabilities, WordTerm

_FLOAT32: Final = 1e-7
"""What rounding to float32 takes of a number, and a little more."""


def match_prior(terms: Sequence[WordTerm], vocabulary: Vocabulary, shrinkage: float | None) -> Gaussians:
    """The prior of the words that are to be there; N(0, I) where there are none.

    Where the encoder learned Gaussians, it is their product, each to the power of its word's weight.

    Args:
        terms: The words.
        vocabulary: The encoder's.
        shrinkage: λ; None where Gaussians were learned, which have none.

    Raises:
        GaussianError: λ outside (0, 1], or weights too far apart.
    """
    present = [term for term in terms if not term.negated]
    learned = [term.gaussian for term in present if term.gaussian is not None]
    if learned:
        return product(joined(learned), [term.weight for term in present])
    return vocabulary.prior([(term.vector, term.weight) for term in present], shrinkage)


def match_words(
    index: KlIndex,
    terms: Sequence[WordTerm],
    prior: Gaussians,
    probabilities: WordProbabilities,
    *,
    direction: Divergence = "query-to-image",
    count: int = 20,
    offset: int = 0,
    allowed: Bool | None = None,
    farthest: bool = False,
    built: BuiltKl | None = None,
) -> Page:
    """Rank images by the divergence between the prior of a set of words and their posteriors.

    Each negated word adds weight · ln(1 + exp r) nats, r its ratio: nothing where the image lacks the word,
    r where it has it.

    Args:
        index: Over the images.
        terms: The words.
        prior: From `match_prior`.
        probabilities: Of these words, over the same view.
        direction: Which divergence.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        allowed: bool [N], the images that count; all when None.
        farthest: The largest distances instead, the largest first.
        built: An index that proposes images, over the same view; it is passed over, with a note, where it
            does not apply or a word is negated.

    Returns:
        Hits by rising distance. The divergences and the negated words' penalties are contributions with
        values that add up to the score; a word that is to be there has the value 0 and its probability,
        because a divergence has no shares of words.

    Raises:
        EmptyStoreError: there are no images.
        GaussianError, IndexBuildError, VectorError: as `KlIndex.search`.
    """
    view = index.view
    penalty = match_penalty(terms, probabilities)
    wanted = offset + count
    notes: tuple[str, ...] = ()
    if penalty is None:
        kind = query_kind(len(terms))
        found, notes = _nearest(
            index, built, prior, wanted, kind, direction=direction, allowed=allowed, farthest=farthest
        )
    else:
        if built is not None:
            notes = (not_used(built, "negated words are scored for all images"),)
        found = _penalised(
            index, prior, penalty, wanted, direction=direction, allowed=allowed, farthest=farthest
        )
    ids, distances = found.ids[offset:], found.distances[offset:]
    rows = view.rows(ids)
    parts = divergences(index, prior, rows, direction)
    values = [*((name, -share, None) for name, share in parts), *term_shares(terms, probabilities, rows)]
    candidates = len(view) if allowed is None else int(allowed.sum())
    return Page(
        query=canonical(query_of(terms)),
        ids=ids,
        distances=distances,
        contributions=by_hit(values, len(rows)),
        first_rank=offset + 1,
        candidates=candidates,
        total=candidates,
        exact=found.exact,
        notes=(*notes, *length_notes(count, candidates, offset, candidates)),
    )


def similar_posteriors(
    index: KlIndex,
    query: Gaussians,
    *,
    direction: Divergence = "jeffreys",
    exclude: Collection[int] = (),
    count: int = 20,
    offset: int = 0,
    max_distance: float | None = None,
    allowed: Bool | None = None,
    farthest: bool = False,
    built: BuiltKl | None = None,
) -> Page:
    """Rank images by the divergence between an image's posterior, the query, and their own.

    Args:
        index: Over the images.
        query: The posterior of the image asked about.
        direction: Which divergence.
        exclude: Ids left out, such as the query image's own.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        max_distance: Leave out hits farther than this, nats.
        allowed: bool [N], the images that count; all when None.
        farthest: The largest distances instead, the largest first.
        built: An index that proposes images, over the same view; it is passed over, with a note, where it
            does not apply.

    Returns:
        Hits by rising distance; a contribution a direction, which add up to the score. With a cut-off,
        `total` counts the hits of this page and of those before it alone.

    Raises:
        EmptyStoreError: there are no images.
        QueryError: the cut-off is NaN.
        GaussianError, IndexBuildError, VectorError: as `KlIndex.search`.
    """
    if max_distance is not None and np.isnan(max_distance):
        raise QueryError("the cut-off is not a number, expected a distance such as 3")
    found, notes = _nearest(
        index,
        built,
        query,
        offset + count,
        query_kind(None),
        direction=direction,
        allowed=allowed,
        exclude=exclude,
        farthest=farthest,
    )
    counted = without(index.view, exclude, allowed)
    candidates = total = len(index.view) if counted is None else int(counted.sum())
    ids, distances = found.ids, found.distances
    if max_distance is not None:
        within = distances <= max_distance
        ids, distances, total = ids[within], distances[within], int(within.sum())
    ids, distances = ids[offset:], distances[offset:]
    parts = divergences(index, query, index.view.rows(ids), direction)
    return Page(
        query=direction,
        ids=ids,
        distances=distances,
        contributions=by_hit([(name, -value, None) for name, value in parts], len(ids)),
        first_rank=offset + 1,
        candidates=candidates,
        total=total,
        exact=found.exact,
        notes=(*notes, *length_notes(count, total, offset, candidates)),
    )


def not_used(built: BuiltKl, reason: str) -> str:
    """Says that an index that was asked for did not answer."""
    return f"{built.described.recipe.name} was not used, the answer is exact: {reason}"


def _nearest(
    index: KlIndex,
    built: BuiltKl | None,
    query: Gaussians,
    count: int,
    kind: str,
    *,
    direction: Divergence,
    allowed: Bool | None,
    exclude: Collection[int] = (),
    farthest: bool,
) -> tuple[KlAnswer, tuple[str, ...]]:
    """The nearest by an index where one is given and applies, else exactly; and what a reader must know."""
    notes: tuple[str, ...] = ()
    if built is not None:
        from olrsearch.search.kl.built import why_exact  # other queries do without

        reason = why_exact(built, direction, allowed=allowed, farthest=farthest)
        if reason is None:
            answer = built.search(query, count, allowed=allowed, exclude=exclude)
            return answer, built.notes(answer, kind)
        notes = (not_used(built, reason),)
    found = index.search(
        query, count, direction=direction, allowed=allowed, exclude=exclude, farthest=farthest
    )
    return found, notes


def divergences(index: KlIndex, query: Gaussians, rows: I64, direction: Divergence) -> list[tuple[str, F64]]:
    """The terms of a divergence by name, float64 [len(rows)] nats each: two of Jeffreys', else one."""
    return [(SPELT[one], index.distances_of(query, rows, one)) for one in directions(direction)]


def term_shares(terms: Sequence[WordTerm], probabilities: WordProbabilities, rows: I64) -> list[Share]:
    """The words of a set beside what the whole set is ranked by: 0, or a negated one's penalty."""
    shares: list[Share] = []
    for term in terms:
        chance = np.exp(log_sigmoid(probabilities.logits(term.name)[rows] * (-1.0 if term.negated else 1.0)))
        share = -_penalty(term, probabilities)[rows] if term.negated else np.zeros(len(rows))
        shares.append((term.spelling, share, chance))
    return shares


def match_penalty(terms: Sequence[WordTerm], probabilities: WordProbabilities) -> F64 | None:
    """What negated words add to a divergence, float64 [N] nats; None where no word is negated."""
    penalties = [_penalty(term, probabilities) for term in terms if term.negated]
    return np.sum(penalties, axis=0) if penalties else None


def _penalty(term: WordTerm, probabilities: WordProbabilities) -> F64:
    found: F64 = term.weight * np.logaddexp(0.0, probabilities.ratios(term.name))
    return found


def _penalised(
    index: KlIndex,
    prior: Gaussians,
    penalty: F64,
    count: int,
    *,
    direction: Divergence,
    allowed: Bool | None,
    farthest: bool,
) -> KlAnswer:
    """The first images by divergence plus penalty, exactly.

    As in `KlIndex`: the scan bounds every image's distance, and images are scored by the direct formula
    until the next would have to lie beyond the last one that is returned.
    """
    sign = -1.0 if farthest else 1.0
    scan = index.distances(prior, direction).astype(np.float64)
    lower, _ = interval(sign * (scan + penalty), index.bounds(prior, direction) + _FLOAT32 * scan)
    rows = np.arange(len(scan)) if allowed is None else np.flatnonzero(allowed)
    count = min(count, len(rows))
    if not count:
        return KlAnswer(np.empty(0, np.int64), np.empty(0), exact=True, proposals=0)
    found = score_by_bounds(
        index.view.ids,
        rows,
        lower[rows],
        count,
        lambda some: sign * (index.distances_of(prior, some, direction) + penalty[some]),
    )
    return KlAnswer(found.ids, sign * found.values, exact=True, proposals=found.scored)
