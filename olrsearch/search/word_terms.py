"""The words of a query: parsed, resolved, and their probabilities.

Two ways to rank. `contains` asks of every word how likely it is of an image and adds up log-probabilities,
as attribute queries do. `match` asks how far the image's posterior is from the prior that the set of words
defines, in nats: an image that has more than the words lies farther, too.

Notation: N images (rows of a view), W own words, d dimensions.

Source: paper 004, section 3, "Image retrieval" (`match`); `contains` and negations are not in the paper.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.search.query.ast import And, Node, Not, canonical, conjunction, negation, weighted
from olrsearch.search.query.ast import Literal as Word
from olrsearch.search.query.evaluate import literals
from olrsearch.search.query.parser import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import F64
    from olrsearch.encoders.words.vectors import WordVectors
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.calibration import Calibration
    from olrsearch.search.kl.view import KlView
    from olrsearch.search.kl.word_scores import WordScores

Mode = Literal["contains", "match"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_GROUPING = re.compile(r"[()|]")


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


def parse_words(texts: str | Sequence[str]) -> tuple[tuple[Word, bool], ...]:
    """The words of a set, as they are written: each may be negated and weighed.

    Args:
        texts: Words or phrases: `beard`, `!male`, `blonde hair^2`; `a & b` counts as two.

    Raises:
        QueryError: there are none; or `|`, parentheses or a negated group, which sets do not have.
        QuerySyntaxError: a text does not parse.

    Returns:
        The words, each with whether it is negated.
    """
    given = (texts,) if isinstance(texts, str) else tuple(texts)
    if not given or not any(text.strip() for text in given):
        raise QueryError("no words: expected a set such as beard eyeglasses '!male'")
    text = " & ".join(given)
    set_alone = QueryError(
        f"{shown(text)} is no set of words: expected words, each with ! or ^weight at most; | and "
        "parentheses are for `olrsearch search`"
    )
    if _GROUPING.search(_QUOTED.sub("", text)):
        raise set_alone
    node = parse(text)
    words = []
    for term in node.children if isinstance(node, And) else (node,):
        word = term.child if isinstance(term, Not) else term
        if not isinstance(word, Word):
            raise set_alone
        words.append((word, word is not term))
    return tuple(words)


def resolve_words(
    words: Sequence[tuple[Word, bool]], vocabulary: Vocabulary, table: Callable[[], WordVectors | None]
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
    for word, negated in words:
        own = vocabulary.position(word.name)
        vector = vocabulary.resolve(word.name, table() if own is None else None)
        name = word.name.strip() if own is None else vocabulary.names[own]
        terms.append(WordTerm(name, vector, word.weight, negated, own))
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
        return literals(self.logits)


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
