"""The words of a query: parsed, resolved, and their probabilities.

Three ways to rank. `contains` asks of every word how likely it is of an image and adds up log-probabilities,
as attribute queries do. `match` asks how far the image's posterior is from the prior that the set of words
defines, in nats: an image that has more than the words lies farther, too. `likelihood` asks how dense that
prior is at the image's mean.

Notation: N images (rows of a view), W own words, d dimensions.

Source: paper 004, section 3, "Image retrieval" (`match`); paper 003 (`likelihood`, where the prior is the
Gaussian that was learned of a label); `contains` and negations are in neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.encoders.words.phrases import holds_denial
from olrsearch.search.query.ast import And, Node, Not, canonical, conjunction, negation, weighted
from olrsearch.search.query.ast import Literal as Word
from olrsearch.search.query.evaluate import literals
from olrsearch.search.query.parser import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import F64
    from olrsearch.encoders.words.understanding import Understanding, Understood
    from olrsearch.encoders.words.vectors import WordVectors
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.calibration import Calibration
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.view import KlView
    from olrsearch.search.kl.word_scores import WordScores

Mode = Literal["contains", "match", "likelihood"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SIGNS = re.compile(r'[!&|^()"]')
"""What a query has and no phrase."""
_JOINING = re.compile(r"\b(?:and|or|nor|not)\b|['’/]", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_LONGEST_PHRASE: Final = 200
_GROUPING = re.compile(r"[()|]")


@dataclass(frozen=True, slots=True, eq=False)
class WordTerm:
    """One word of a query.

    Attributes:
        name: The encoder's name of the word.
        vector: float64 [d].
        own: Its position among the encoder's words; None of a word that it was not trained on.
        weight: Above 0.
        negated: Whether the word is to be absent.
        gaussian: What the encoder learned of it, a batch of one; None where its words are points.
    """

    name: str
    vector: F64
    own: int | None
    weight: float = 1.0
    negated: bool = False
    gaussian: Gaussians | None = None

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
    text = " & ".join(f'"{one.strip()}"' if _denies_within(one) else one for one in given)
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


def _denies_within(text: str) -> bool:
    """Whether a text is a phrase whose grammar says what it denies: `without hat or beard`.

    As a query it would not parse, or would lose how far the denial reaches.
    """
    if len(text) > _LONGEST_PHRASE or _SIGNS.search(text) or not _JOINING.search(text):
        return False
    rest = text.strip()
    if rest.casefold().startswith("not ") and not _OR.search(rest):
        rest = rest[4:]  # a query's own denial
    return holds_denial(rest)


def resolve_words(
    words: Sequence[tuple[Word, bool]],
    vocabulary: Vocabulary,
    understanding: Understanding,
    *,
    table: WordVectors | None = None,
) -> tuple[tuple[WordTerm, ...], tuple[Understood, ...]]:
    """What a set of words asks for, in the encoder's words, and what each was taken for.

    Args:
        words: From `parse_words`.
        vocabulary: The encoder's.
        understanding: Of its words.
        table: The encoder's table of word vectors: with it, a word that is none of the encoder's own is taken
            by its own vector, through the encoder's label encoder, and not for labels.

    Returns:
        The terms, of which a word may have several, and one answer for each word that was taken for labels.

    Raises:
        UnknownWordError: a word is not understood; carries the nearest of the encoder's.
        QueryError: a spelling that several of the encoder's names have, or a word that stands for several
            and is to be absent, or two words that ask for a label and for its absence.
    """
    terms: list[WordTerm] = []
    answers = []
    for word, negated in words:
        if table is not None and vocabulary.position(word.name) is None:
            gaussian = vocabulary.gaussian(word.name, table)
            terms.append(WordTerm(word.name, gaussian.mean[0], None, word.weight, negated, gaussian))
            continue
        found = understanding.of(word.name)
        answers.append(found)
        if negated and len(found.meaning) > 1:
            raise QueryError(
                f"!{word.name} denies {found.taken_for}, which is no set of words: name what is to be "
                "absent one by one"
            )
        for label, absent in found.meaning:
            own = vocabulary.names.index(label)
            learned = None if vocabulary.learned is None else vocabulary.learned.present[own]
            vector = vocabulary.vectors[own].copy()
            terms.append(WordTerm(label, vector, own, word.weight, absent != negated, learned))
    _check_agree(terms, answers)
    return tuple(terms), tuple(answers)


def _check_agree(terms: Sequence[WordTerm], answers: Sequence[Understood]) -> None:
    """Refuse words, other than labels, that ask for a label and for its absence.

    Raises:
        QueryError: they do.
    """
    sides: dict[str, set[bool]] = {}
    for term in terms:
        sides.setdefault(term.name, set()).add(term.negated)
    both = next((name for name, found in sides.items() if len(found) > 1), None)
    if both is not None and any(answer.basis != "label" for answer in answers):
        said = "; ".join(map(str, answers))
        raise QueryError(f"these words ask for {both} and for its absence ({said}): leave one of them out")


def query_of(terms: Sequence[WordTerm]) -> Node:
    """The set as an attribute query."""
    return conjunction([term.node for term in terms])


class WordProbabilities:
    """Log-probabilities of a query's words for all images; what `search_attributes` wants of scores.

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
            self._ratios[name] = self._computed(self._terms[name])
        return self._ratios[name]

    def logits(self, name: str) -> F64:
        """Calibrated logits of a word, float64 [N]."""
        own = self._terms[name].own
        if own is None:  # nothing was calibrated on it
            return self.ratios(name)
        return self.ratios(name) * float(self._calibration.slope[own]) + float(self._calibration.offset[own])

    def _computed(self, term: WordTerm) -> F64:
        if term.own is None and term.gaussian is not None:
            return self._scores.at_gaussian(term.gaussian)
        return self._scores.own(int(term.own or 0))

    def literal_values(self) -> Callable[[str, bool], F64]:
        """The function `evaluate` asks: a word's log p by name, or log(1 − p)."""
        return literals(self.logits)
