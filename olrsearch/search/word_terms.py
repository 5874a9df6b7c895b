"""Word queries: which images' posteriors hold these words and not those.

Two ways to rank. `contains` asks of every word how likely it is of an image and adds up log-probabilities,
as attribute queries do. `match` asks how far the image's posterior is from the prior that the set of words
defines, in nats: an image that has more than the words lies farther, too.

Notation: N images (rows of a view), W own words, d dimensions.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019, section 3, "Image
retrieval" (`match`); `contains` and negations are not in the paper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.maths.calibration import log_sigmoid
from olrsearch.search.index.topk import top_k
from olrsearch.search.kl.query import interval
from olrsearch.search.kl.recall import query_kind
from olrsearch.search.page import Page, length_notes
from olrsearch.search.query import And, Node, Not, conjunction, negation, parse, weighted
from olrsearch.search.query import Literal as Word
from olrsearch.search.query.ast import canonical
from olrsearch.search.results import Contribution

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from olrsearch.core.arrays import F64, I64, Bool
    from olrsearch.encoders.words.vectors import WordVectors
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.calibration import Calibration
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.built import BuiltKl
    from olrsearch.search.kl.exact import KlAnswer, KlIndex
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.kl.view import KlView
    from olrsearch.search.kl.word_scores import WordScores

Mode = Literal["contains", "match"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

QUERY_TO_IMAGE: Final = "KL(query‖image)"
IMAGE_TO_QUERY: Final = "KL(image‖query)"
"""How contributions name divergences."""

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_GROUPING = re.compile(r"[()|]")
_FIRST_BLOCK: Final = 32
_LARGEST_BLOCK: Final = 1024
_FLOAT32: Final = 1e-7
"""What rounding to float32 takes of a number, and a little more."""


@dataclass(frozen=True, slots=True, eq=False)
class WordTerm:
    """One word of a query.

    Attributes:
        name: The encoder's spelling of an own word, else what was written.
        vector: float64 [d].
        weight: Above 0.
        negated: Whether the word is to be absent.
        own: Its position among the encoder's own words; None for a word of the table.
    """

    name: str
    vector: F64
    weight: float = 1.0
    negated: bool = False
    own: int | None = None

    @property
    def node(self) -> Node:
        """The term as an attribute query has it."""
        word = weighted(Word(self.name), self.weight)
        return negation(word) if self.negated else word

    @property
    def spelling(self) -> str:
        """`Beard`, `!Male`, `Blond_Hair^2`."""
        return canonical(self.node)


def parse_words(texts: str | Sequence[str]) -> tuple[Word | Not, ...]:
    """The words of a set, as they are written: each may be negated and weighed.

    Args:
        texts: Words or phrases: `beard`, `!male`, `blonde hair^2`; `a & b` counts as two.

    Raises:
        QueryError: there are none; or `|`, parentheses or a negated group, which sets do not have.
        QuerySyntaxError: a text does not parse.
    """
    given = (texts,) if isinstance(texts, str) else tuple(texts)
    if not given or not any(text.strip() for text in given):
        raise QueryError("no words: expected a set such as beard eyeglasses '!male'")
    text = " & ".join(given)
    set_alone = QueryError(
        f"{text!r} is no set of words: expected words, each with ! or ^weight at most; | and parentheses are "
        "for `olrsearch search`"
    )
    if _GROUPING.search(_QUOTED.sub("", text)):
        raise set_alone
    node = parse(text)
    terms: list[Word | Not] = []
    for term in node.children if isinstance(node, And) else (node,):
        word = term.child if isinstance(term, Not) else term
        if not isinstance(word, Word) or not isinstance(term, Word | Not):
            raise set_alone
        terms.append(term)
    return tuple(terms)


def resolve_words(
    words: Sequence[Word | Not], vocabulary: Vocabulary, table: Callable[[], WordVectors | None]
) -> tuple[WordTerm, ...]:
    """The vectors of a set's words.

    Args:
        words: From `parse_words`.
        vocabulary: The encoder's.
        table: Opens the encoder's table of word vectors; asked only where a word is none of its own.

    Raises:
        UnknownWordError: neither the encoder nor its table has a word; carries the nearest names.
        QueryError: a spelling that several of the encoder's names have.
        WordVectorsError, OptionalDependencyError: the table is needed and cannot be opened.
    """
    terms = []
    for term in words:
        word = term.child if isinstance(term, Not) else term
        if not isinstance(word, Word):  # `parse_words` gives no other
            raise QueryError(f"{canonical(term)!r} is no word: expected what parse_words returns")
        own = vocabulary.position(word.name)
        vector = vocabulary.resolve(word.name, table() if own is None else None)
        name = word.name.strip() if own is None else vocabulary.names[own]
        terms.append(WordTerm(name, vector, word.weight, isinstance(term, Not), own))
    return tuple(terms)


def query_of(terms: Sequence[WordTerm]) -> Node:
    """The set as an attribute query."""
    return conjunction([term.node for term in terms])


class WordProbabilities:
    """Log-probabilities of a query's words for all images; what `search_attributes` wants of scores.

    A word that is none of the encoder's own has no calibration of its own: it takes the median slope and
    offset of the own words that were calibrated.

    Args:
        scores: Ratios of densities.
        terms: The words.
        calibration: Of the own words: ratios → logits.

    Attributes:
        view: The images.
        label_names: The words' names, each once.
    """

    def __init__(self, scores: WordScores, terms: Sequence[WordTerm], calibration: Calibration) -> None:
        self.view: KlView = scores.view
        self.label_names = tuple(dict.fromkeys(term.name for term in terms))
        self._scores = scores
        self._terms = {term.name: term for term in terms}
        self._calibration = calibration
        self._ratios: dict[str, F64] = {}

    def ratios(self, name: str) -> F64:
        """Raw ratios of a word, float64 [N], nats."""
        if name not in self._ratios:
            own = self._terms[name].own
            if own is not None:
                self._ratios[name] = self._scores.own(own)
            else:  # all others at once: one pass over the posteriors
                others = [other for other in self._terms.values() if other.own is None]
                found = self._scores.other(np.stack([other.vector for other in others]))
                self._ratios |= {other.name: row for other, row in zip(others, found, strict=True)}
        return self._ratios[name]

    def logits(self, name: str) -> F64:
        """Calibrated logits of a word, float64 [N]."""
        slope, offset = slope_and_offset(self._calibration, self._terms[name].own)
        return self.ratios(name) * slope + offset

    def literal_values(self) -> Callable[[str, bool], F64]:
        """The function `evaluate` asks: a word's log p by name, or log(1 − p)."""
        known: dict[str, F64] = {}

        def literal_value(name: str, negate: bool) -> F64:
            if name not in known:
                known[name] = self.logits(name)
            return log_sigmoid(-known[name] if negate else known[name])

        return literal_value


def slope_and_offset(calibration: Calibration, own: int | None) -> tuple[float, float]:
    """What turns a word's ratio into a logit.

    Args:
        calibration: Of the own words.
        own: The word's position among them; None for another word, which takes the medians. Words that
            had too few examples keep their raw ratio, and do not count for it where others were fitted.
    """
    if own is not None:
        return float(calibration.slope[own]), float(calibration.offset[own])
    raw = (calibration.slope == 1.0) & (calibration.offset == 0.0)
    fitted = ~raw if not raw.all() else raw
    return float(np.median(calibration.slope[fitted])), float(np.median(calibration.offset[fitted]))


# -- match -------------------------------------------------------------------------------


def match_prior(terms: Sequence[WordTerm], vocabulary: Vocabulary, shrinkage: float) -> Gaussians:
    """The prior of the words that are to be there; N(0, I) where there are none.

    Raises:
        GaussianError: λ outside (0, 1], or weights too far apart.
    """
    return vocabulary.prior([(term.vector, term.weight) for term in terms if not term.negated], shrinkage)


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
        found, notes = _nearest(
            index,
            built,
            prior,
            wanted,
            words=len(terms),
            direction=direction,
            allowed=allowed,
            farthest=farthest,
        )
        ids, distances, exact = found.ids[offset:], found.distances[offset:], found.exact
    else:
        if built is not None:
            notes = (not_used(built, "negated words are scored for all images"),)
        ids, distances = _penalised(
            index, prior, penalty, wanted, direction=direction, allowed=allowed, farthest=farthest
        )
        ids, distances, exact = ids[offset:], distances[offset:], True
    rows = view.rows(ids)
    parts = divergences(index, prior, rows, direction)
    values: list[tuple[str, F64, F64 | None]] = [(name, -share, None) for name, share in parts]
    for term in terms:
        chance = np.exp(log_sigmoid(probabilities.logits(term.name)[rows] * (-1.0 if term.negated else 1.0)))
        share = -_penalty(term, probabilities)[rows] if term.negated else np.zeros(len(rows))
        values.append((term.spelling, share, chance))
    candidates = len(view) if allowed is None else int(allowed.sum())
    return Page(
        query=canonical(query_of(terms)),
        ids=ids,
        distances=distances,
        contributions=tuple(
            tuple(
                Contribution(
                    name, float(value[place]) + 0.0, None if chance is None else float(chance[place])
                )
                for name, value, chance in values
            )
            for place in range(len(rows))
        ),
        first_rank=offset + 1,
        candidates=candidates,
        total=candidates,
        exact=exact,
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
        words=None,
        direction=direction,
        allowed=allowed,
        exclude=exclude,
        farthest=farthest,
    )
    excluded = index.view.find(np.fromiter(exclude, np.int64, len(exclude)))
    counted = np.ones(len(index.view), np.bool_) if allowed is None else allowed.copy()
    counted[excluded[excluded >= 0]] = False
    candidates = total = int(counted.sum())
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
        contributions=tuple(
            tuple(Contribution(name, -float(value[place])) for name, value in parts)
            for place in range(len(ids))
        ),
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
    *,
    words: int | None,
    direction: Divergence,
    allowed: Bool | None,
    exclude: Collection[int] = (),
    farthest: bool,
) -> tuple[KlAnswer, tuple[str, ...]]:
    """The nearest by an index where one is given and applies, else exactly; and what a reader must know."""
    reason = None if built is None else built.why_exact(direction, allowed=allowed, farthest=farthest)
    if built is None or reason is not None:
        found = index.search(
            query, count, direction=direction, allowed=allowed, exclude=exclude, farthest=farthest
        )
        return found, () if built is None or reason is None else (not_used(built, reason),)
    found = built.search(query, count, allowed=allowed, exclude=exclude)
    return found, built.notes(found, query_kind(words))


def divergences(index: KlIndex, query: Gaussians, rows: I64, direction: Divergence) -> list[tuple[str, F64]]:
    """The terms of a divergence by name, float64 [len(rows)] nats each: two of Jeffreys', else one."""
    named = {"query-to-image": QUERY_TO_IMAGE, "image-to-query": IMAGE_TO_QUERY}
    return [
        (name, index.distances_of(query, rows, one))  # type: ignore[arg-type]  # the keys are directions
        for one, name in named.items()
        if direction in {one, "jeffreys"}
    ]


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
) -> tuple[I64, F64]:
    """The first images by divergence plus penalty: ids and distances, exactly.

    As in `KlIndex`: the scan bounds every image's distance, and images are scored by the direct formula
    until the next would have to lie beyond the last one that is returned.
    """
    sign = -1.0 if farthest else 1.0
    scan = index.distances(prior, direction).astype(np.float64)
    lower, _ = interval(sign * (scan + penalty), index.bounds(prior, direction) + _FLOAT32 * scan)
    rows = np.arange(len(scan)) if allowed is None else np.flatnonzero(allowed)
    count = min(count, len(rows))
    if not count:
        return np.empty(0, np.int64), np.empty(0)
    rows = rows[np.argsort(lower[rows], kind="stable")]
    lower = lower[rows]
    values, done, limit, block = np.empty(len(rows)), 0, np.inf, max(count, _FIRST_BLOCK)
    while True:
        # rows as near as the last one count too: their ids decide
        stop = min(done + block, int(np.searchsorted(lower, limit, side="right")))
        if stop <= done:
            break
        some = rows[done:stop]
        values[done:stop] = sign * (index.distances_of(prior, some, direction) + penalty[some])
        done, block = stop, min(2 * block, _LARGEST_BLOCK)
        if done >= count:
            limit = float(np.partition(values[:done], count - 1)[count - 1])
    ids = index.view.ids[rows[:done]]
    best = top_k(values[:done], ids, count).rows
    return ids[best], sign * values[best]
