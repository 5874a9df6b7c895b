"""What a word or phrase asks an encoder for: one of its labels, or the absence of one, and how surely.

In this order: a label of this name; a table of meanings, and what is the opposite of its phrases; the grammar
of denials (`without glasses`); likeness to the words of the table, by a sentence encoder where one is
installed, else by GloVe. What none of these is sure of is refused.

Notation: W labels of an encoder.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from olrsearch.core.errors import QueryError, UnknownWordError
from olrsearch.core.names import LabelNames, nearest_names
from olrsearch.core.shown import shown
from olrsearch.encoders.words.label_words import own_words
from olrsearch.encoders.words.likeness import LEAST, LEAST_SIMILAR, GloveVectors, References, SentenceVectors
from olrsearch.encoders.words.meanings import Asked, Meanings, read_meanings, spell
from olrsearch.encoders.words.negation import affirmed, denial, joined, plain
from olrsearch.encoders.words.phrases import (
    UnclearDenialError,
    holds_denial,
    is_denial,
    known_words,
    parts_of,
    says_nothing,
)
from olrsearch.encoders.words.sentences import INSTALL, find_sentences
from olrsearch.encoders.words.vectors import GLOVE, GLOVE_MODULE, WordVectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.encoders.words.likeness import Likely, TextVectors
    from olrsearch.encoders.words.meanings import Meaning

Basis = Literal["label", "table", "sentence encoder", "GloVe"]

_SUGGESTED: Final = 3
_LONGEST: Final = 200
_SHOWN: Final = 60
"""Characters of a refused word that are repeated."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What a word was taken for.

    Attributes:
        text: The word as it was written.
        meaning: The labels it asks for, all of them together, each to be there or to be absent.
        basis: What it was understood by.
        similarity: Cosine to the nearest words of the table, −1 to 1; None where it stands there itself.
        sureness: Estimated probability that it is understood rightly, 0 to 1, as measured on words that stand
            in no table; None of a label and of a word of the table, which are certain.
    """

    text: str
    meaning: Meaning
    basis: Basis
    similarity: float | None = None
    sureness: float | None = None

    @property
    def taken_for(self) -> str:
        """`!Male`, or `No_Beard & !Goatee`."""
        return " & ".join(map(spell, self.meaning))

    def __str__(self) -> str:
        """`specs: taken for Eyeglasses (sentence encoder, similarity 0.61, 0.93 sure)`."""
        how: str = self.basis
        if self.similarity is not None and self.sureness is not None:
            how = f"{self.basis}, similarity {self.similarity:.2f}, {self.sureness:.2f} sure"
        return f"{self.text}: taken for {self.taken_for} ({how})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "word": self.text,
            "taken_for": self.taken_for,
            "basis": self.basis,
            "similarity": self.similarity,
            "sureness": self.sureness,
        }


class Understanding:
    """Understands words for the labels of one encoder.

    Args:
        names: The W labels.
        phrases: For each what people call it, which is as good as its name; none where None.
        meanings: The table; see `read_meanings`.
        vectors: What makes vectors of other words; `installed_vectors()` by default.
        cache: The cache folder; see `tables.cache_folder`.
    """

    def __init__(
        self,
        names: Sequence[str],
        meanings: Meanings | None = None,
        *,
        phrases: Sequence[str] | None = None,
        vectors: TextVectors | Literal["installed"] | None = "installed",
        cache: Path | None = None,
    ) -> None:
        self.names = tuple(names)
        self.meanings = (read_meanings() if meanings is None else meanings).of_labels(self.names)
        self._meant = self.meanings.by_word()
        self._labels = LabelNames(self.names)
        self._phrases = dict(zip(map(plain, reversed(phrases or ())), reversed(self.names), strict=False))
        self._vectors = vectors
        self._cache = cache

    @cached_property
    def vectors(self) -> TextVectors | None:
        """What makes vectors of words that are in no table; None where nothing is installed."""
        return installed_vectors(self._cache) if self._vectors == "installed" else self._vectors

    @cached_property
    def references(self) -> References | None:
        """The words of the table with their vectors; read when a word first needs them."""
        if self.vectors is None:
            return None
        return References(self._words(), self.vectors, cache=self._cache)

    def of(self, text: str) -> Understood:
        """What a word or phrase asks for.

        Args:
            text: What somebody wrote.

        Raises:
            UnknownWordError: nothing is sure enough; carries the nearest labels.
            QueryError: a spelling that several labels have, or a denial of several labels at once.
        """
        if len(text) > _LONGEST and not self._labels.matches(text):
            why = f"a phrase has up to {_LONGEST} characters, this has {len(text):,}"
            raise self._refusal(text, (), why)
        if not any(letter.isalnum() for letter in text):
            raise self._refusal(text, (), "it has neither letters nor digits")
        self._refuse_never(text)
        known = self._sure(text) or self._composed(text) or self._denies(text)
        if known is not None:
            return known
        if says_nothing(text):
            raise self._refusal(text, (), "it says nothing of how anybody looks", near=False)
        if len(joined(text)) > 1 and " or " in plain(text):
            raise self._refusal(text, (), "words have no or: ask for one after the other")
        if holds_denial(text):
            why = (
                "a denial needs its word, and a shell takes words apart: quote the phrase, 'without glasses'"
                if is_denial(text)
                else "it denies something, and not all of its words are known: leave out those that are not"
            )
            raise self._refusal(text, (), why, near=False)
        return self._likely(text, text)

    def _sure(self, text: str) -> Understood | None:
        """What is certain: labels, words of the table, their opposites, and these with `with` before them."""
        found = self._certain(text) or self._turned(text)
        if found is None and "-" in text:  # wo-man
            found = self._certain(text.replace("-", ""))
        if found is None and (rest := affirmed(text)) is not None:
            found = self._certain(rest) or self._turned(rest)
        if found is None or found.text == text:
            return found
        return Understood(text, found.meaning, "table")

    def _denies(self, text: str) -> Understood | None:
        """The opposite of what a phrase denies; None of a phrase that denies nothing, or nothing known.

        Raises:
            UnknownWordError: it denies something that is not understood.
            QueryError: it denies several labels together.
        """
        denied = denial(text)
        if denied is None:
            return None
        if denied.certain and len(parts := joined(denied.rest)) > 1:
            found = [self._sure(part) for part in parts]
            if any(one is None for one in found):
                raise self._refusal(text, (), "not all that it denies is known: deny one after the other")
            opposites = [_opposite(one.meaning, text)[0] for one in found if one is not None]
            return Understood(text, tuple(dict.fromkeys(opposites)), "table")
        known = self._sure(denied.rest)
        if known is None and denied.certain:
            twice = denial(denied.rest)
            if twice is None and holds_denial(denied.rest):
                return None
            known = self._denied(denied.rest, text) if twice is None else self.of(denied.rest)
        if known is None:
            return None
        basis: Basis = "table" if known.basis == "label" else known.basis
        return Understood(text, _opposite(known.meaning, text), basis, known.similarity, known.sureness)

    def _composed(self, text: str) -> Understood | None:
        """What the words of a phrase ask for together, where every one is certain: `old man without glasses`.

        Raises:
            QueryError: it asks for a label and for its absence, or denies several labels together.
            UnknownWordError: how far a denial reaches is not clear.
        """
        try:
            parts = parts_of(text, self._is_known)
        except UnclearDenialError as error:
            raise self._refusal(text, (), str(error), near=False) from None
        found: list[Asked] = []
        for part in parts or ():
            known = self._by_itself(part.text)
            if known is not None:
                found += _opposite(known, text) if part.denied else known
        meaning = tuple(dict.fromkeys(found))
        if both := [asked.label for asked in meaning if asked.opposite in meaning]:
            raise QueryError(f"{shown(text)} asks for {both[0]} and for its absence: leave one of them out")
        return Understood(text, meaning, "table") if meaning else None

    def _is_known(self, part: str) -> bool:
        return bool(self._by_itself(part))

    def _by_itself(self, part: str) -> Meaning | None:
        """What a part of a phrase asks for by itself: `()` for nothing that labels say; None if unknown."""
        if self._meant.get(plain(part)) == () and not self._labels.matches(part):
            return () if self.meanings.entries else None
        known = self._certain(part)
        denied = denial(part) if known is None else None
        if denied is not None and not denied.certain:  # hatless
            inner = self._certain(denied.rest) if self._meant.get(plain(denied.rest)) != () else None
            return _opposite(inner.meaning, part) if inner is not None else None
        return None if known is None else known.meaning

    def _refuse_never(self, text: str) -> None:
        """Refuse what no label may be taken for: origin, religion and the like, within phrases too.

        Raises:
            UnknownWordError: the phrase has such a word.
        """
        if self._labels.matches(text) or plain(text) in self._phrases or self._meant.get(plain(text)):
            return
        never = set(map(plain, self.meanings.never))
        found = known_words(text, lambda part: part in never or self._is_known(part))
        if said := [part for part in found if part in never]:
            raise self._refusal(text, (), f"no label is taken for {said[0]}", near=False)

    def _certain(self, text: str) -> Understood | None:
        """A label of this name, or a word of the table; None where it is neither.

        Raises:
            UnknownWordError: the table says that it asks for nothing that labels say.
        """
        if self._labels.matches(text):
            return Understood(text, (Asked(self._labels.find(text), negated=False),), "label")
        if (name := self._phrases.get(plain(text))) is not None:
            return Understood(text, (Asked(name, negated=False),), "label")
        meaning = self._meant.get(plain(text))
        if meaning == () and not self.meanings.entries:
            return None  # a table of faces says nothing of labels of other things
        if meaning == ():
            raise self._refusal(
                text, (), f"the table of meanings has it as none of the {len(self.names)} labels", near=False
            )
        return None if meaning is None else Understood(text, meaning, "table")

    def _turned(self, text: str) -> Understood | None:
        """The absence of what the opposite of a phrase asks for, where a label or the table has that."""
        meaning = self.meanings.opposite(text)
        if meaning is None:
            for phrase in self.meanings.turned(text):
                if found := self._labels.matches(phrase):
                    meaning = (Asked(self.names[found[0]], negated=True),)
        return None if meaning is None else Understood(text, meaning, "table")

    def _likely(self, text: str, written: str) -> Understood:
        """The meaning that a word is likest to.

        Raises:
            UnknownWordError: it is not sure enough.
        """
        if self.references is None or self.vectors is None:
            why = f"it is no label and in no table; a sentence encoder understands more words: {INSTALL}"
            raise self._refusal(written, (), why)
        likely = self.references.likely(text)
        if likely and likely[0].meaning and likely[0].sureness >= LEAST and self._near(text, likely[0]):
            best = likely[0]
            self._keeps_all(text, best.meaning, written)
            basis: Basis = "GloVe" if self.vectors.name == "GloVe" else "sentence encoder"
            return Understood(written, best.meaning, basis, best.similarity, best.sureness)
        more = "" if self.vectors.name != "GloVe" else f"; a sentence encoder understands more: {INSTALL}"
        raise self._refusal(written, likely, f"nothing is near enough by the {self.vectors.name}{more}")

    def _near(self, text: str, best: Likely) -> bool:
        """Whether a word alone is near enough: what it is made of may be like anything."""
        return " " in plain(text) or best.similarity >= LEAST_SIMILAR

    def _keeps_all(self, text: str, meaning: Meaning, written: str) -> None:
        """Refuse a phrase whose likeness would lose words that are known by themselves.

        `man with a tattoo` is not Male alone, nor `friendly old smile` Smiling.

        Raises:
            UnknownWordError: it would.
        """
        parts = known_words(text, lambda part: self._by_itself(part) is not None)
        wanted = [self._by_itself(part) or () for part in parts]
        for part, asked in zip(parts, wanted, strict=True):
            if any(one not in meaning for one in asked) or (not asked and any(wanted)):
                means = " & ".join(map(spell, asked)) or "none of the labels"
                why = f"{part!r} in it asks for {means}, and not all of its words are known"
                raise self._refusal(written, (), why, near=False)

    def _denied(self, rest: str, written: str) -> Understood:
        """The meaning of what a phrase denies.

        Raises:
            UnknownWordError: it is not sure enough, or the phrase is more like a word of that meaning with
                its denial than without: `no hair on the head` says bald, and denies something like it.
        """
        found = self._likely(rest, written)
        whole = self.references.likely(written, 1) if self.references is not None else ()
        if whole and whole[0].meaning == found.meaning and whole[0].similarity > (found.similarity or 0):
            raise self._refusal(written, whole, "whether it denies that or says it is not clear")
        return found

    def _refusal(
        self, text: str, likely: Sequence[Likely], why: str, *, near: bool = True
    ) -> UnknownWordError:
        """Says which labels are near, and what to do; no labels where `near` is false."""
        names = nearest_names(text[:_SHOWN], self.names) if near else ()  # a slip of the pen, before all else
        names = names or tuple(
            " & ".join(map(spell, one.meaning))
            for one in likely
            if one.meaning and one.similarity >= LEAST_SIMILAR
        )
        return UnknownWordError(
            text if len(text) <= _SHOWN else text[:_SHOWN] + "…",
            names[:_SUGGESTED],
            f"{why}; olrsearch label list shows labels, and a table of yours says what it means: --meanings",
        )

    def _words(self) -> list[tuple[str, Meaning]]:
        """Every reference once, with what it asks for: labels by their own names, then the table's words."""
        found: dict[str, tuple[str, Meaning]] = {}
        for name in self.names:
            phrase = " ".join(own_words(name))
            found.setdefault(plain(phrase), (phrase, (Asked(name, negated=False),)))
        for phrase, name in self._phrases.items():
            found.setdefault(phrase, (phrase, (Asked(name, negated=False),)))
        for meaning, words in self.meanings.entries:
            for word in words:
                denied = denial(word)
                if denied is None or not denied.certain:  # `without hair` makes nothing like `with hair` bald
                    found.setdefault(plain(word), (word, meaning))
        for word in self.meanings.nothing:
            found.setdefault(plain(word), (word, ()))
        return list(found.values())


def installed_vectors(cache: Path | None = None) -> TextVectors | None:
    """The sentence encoder where it is installed, else GloVe, else None."""
    folder = find_sentences()
    if folder is not None:
        return SentenceVectors(folder)
    if importlib.util.find_spec(GLOVE_MODULE) is not None:
        return GloveVectors(WordVectors.open(GLOVE, cache=cache))
    return None


def _opposite(meaning: Meaning, text: str) -> Meaning:
    """What is asked for where a meaning is denied.

    Raises:
        QueryError: it is several labels together, whose denial is no set.
    """
    if len(meaning) > 1:
        labels = " & ".join(map(spell, meaning))
        raise QueryError(
            f"{shown(text)} denies {labels}, which is no set of words: name what is to be absent one by one"
        )
    return (meaning[0].opposite,)
