"""Phrases of known words, with what they deny: `old man without glasses` is !Young & Male & !Eyeglasses.

A phrase is read from left to right: known words (the longest first), denials, and words that join. A denial
holds of the known word behind it, and of further ones that `or` or `nor` join to it; `with`, `who`, `but` and
the like end it. Where it is not clear how far a denial reaches, the phrase is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from olrsearch.encoders.words.negation import FILLERS, FRONT, VERBS, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DENIAL: Final = re.compile(rf"(?P<denial>{FRONT})(?: {VERBS})*(?= )")
_BEHIND: Final = frozenset(("free", "less"))
_ENDS: Final = frozenset(("with", "wearing", "wears", "has", "having", "who", "that", "but", "though", "yet"))
"""Words that begin something new behind a denial."""

_EITHER: Final = frozenset(("or", "nor"))
_JOINS: Final = frozenset((",", "and")) | _EITHER
_LONGEST: Final = 8
"""Words of a known phrase."""

_EVERYBODYS: Final = frozenset(
    ("eyes", "eye", "hair", "head", "nose", "mouth", "lips", "skin", "cheeks", "chin", "eyebrows", "brows")
)
"""What every face has: by itself it asks for nothing."""

_ONE_WORD: Final = "non"
"""The denial that holds of the next word alone: `non-smiling woman`."""

_HOLDS: Final = re.compile(
    rf"(?<!\S)(?:{FRONT}|free|less|except|excluding|hardly|barely|scarcely|rarely|seldom|instead of|"
    r"rather than|other than|none|nothing|nobody|zero|devoid|fails?|unless|opposite|off|far from|least|"
    r"(?:remov|refus|forg[oe]t|stopp|quitt?|ceas|lack|avoid)(?:es|e|ed|s|ing|ten|ting)?|ohne|sin)(?!\S)|"
    r"\w(?:n't|less)(?!\S)"
)


class Part(NamedTuple):
    """A known word of a phrase.

    Attributes:
        text: The word.
        denied: Whether the phrase denies it.
    """

    text: str
    denied: bool


class UnclearDenialError(ValueError):
    """How far a denial reaches is not clear, or words are joined by an `or` that nothing denies."""


def holds_denial(text: str) -> bool:
    """Whether any word of a phrase denies something: its likeness to other phrases then says nothing."""
    return _HOLDS.search(plain(text)) is not None


def is_denial(text: str) -> bool:
    """Whether a phrase is a denial of nothing: `without`, which a shell took from its phrase."""
    return re.fullmatch(rf"{FRONT}|free|less", plain(text)) is not None


def parts_of(text: str, is_known: Callable[[str], bool]) -> tuple[Part, ...] | None:
    """The known words of a phrase; None where it has others, or none.

    Args:
        text: The phrase.
        is_known: Whether a word, or several together, are known.

    Raises:
        UnclearDenialError: how far a denial reaches is not clear.
    """
    tokens = plain(text).replace(",", " , ").split()
    read = _Reading()
    at = 0
    while at < len(tokens):
        end = _known_to(tokens, at, is_known)
        denial = _DENIAL.match(" ".join(tokens[at:]))
        behind = at + len(denial[0].split(" ")) if denial is not None else at
        # `no beard or hat`: what is denied is better known by itself, so that its denial reaches farther.
        if end > at and not (denial is not None and _known_to(tokens, behind, is_known) > behind):
            read.known(" ".join(tokens[at:end]))
            at = end
        elif tokens[at] in _BEHIND and read.found and not read.open:
            read.deny_last()
            at += 1
        elif denial is not None and denial["denial"] not in _EITHER:
            read.deny(denial["denial"])
            at = behind
        elif tokens[at] in _JOINS:
            read.join(tokens[at])
            at += 1
        elif tokens[at] in _ENDS or tokens[at] in FILLERS:
            if tokens[at] in _ENDS:
                read.close()
            at += 1
        else:
            return None
    if read.open:
        return None
    read.close()
    return tuple(read.found) or None


def known_words(text: str, is_known: Callable[[str], bool]) -> tuple[str, ...]:
    """The known words of a phrase that may hold others too, the longest first where they overlap."""
    tokens, found, at = plain(text).replace(",", " ").split(), list[str](), 0
    while at < len(tokens):
        end = _known_to(tokens, at, is_known)
        if end > at:
            found.append(" ".join(tokens[at:end]))
        at = max(end, at + 1)
    return tuple(found)


def says_nothing(text: str) -> bool:
    """Whether a phrase has no word but such as join others or name what every face has: `a person's eyes`."""
    return all(token in FILLERS or token in _EVERYBODYS for token in plain(text).split())


def _known_to(tokens: Sequence[str], at: int, is_known: Callable[[str], bool]) -> int:
    """Where the longest known word that begins here ends; here, where none does."""
    ends = range(min(len(tokens), at + _LONGEST), at, -1)
    return next((end for end in ends if is_known(" ".join(tokens[at:end]))), at)


class _Reading:
    """A phrase as far as it is read.

    Attributes:
        found: The known words.
        open: Whether a denial waits for its first word.
    """

    def __init__(self) -> None:
        self.found: list[Part] = []
        self.open = False
        self._denied = False
        self._single = False
        self._chain: list[str] = []
        """How words behind a denial were joined to its first one."""
        self._joined = ""

    def known(self, text: str) -> None:
        if self.open:
            self.open = False
            self._chain = []
        elif self._denied:
            if self._single and not self._joined:
                self._denied = False
            else:
                self._chain.append(self._joined)
        elif self._joined in _EITHER:
            raise UnclearDenialError("words have no or: ask for one after the other")
        self.found.append(Part(text, self._denied))
        self._joined = ""

    def deny(self, denial: str) -> None:
        twice = self.open and self._denied
        if not self.open:
            self.close()
        self._denied, self._single, self.open = not twice, denial == _ONE_WORD, True
        self._joined = ""

    def deny_last(self) -> None:
        last = self.found.pop()
        if self._denied:
            raise UnclearDenialError(f"whether {last.text!r} is denied twice is not clear")
        self.found.append(Part(last.text, denied=True))

    def join(self, word: str) -> None:
        self._joined = word if self._joined not in _EITHER else self._joined

    def close(self) -> None:
        """End what is denied."""
        if self.open:
            return
        if self._chain and (not all(self._chain) or not _EITHER.intersection(self._chain)):
            raise UnclearDenialError(
                "how far its denial reaches is not clear: put what is denied last, joined by or, or ask "
                "for it as a word of its own"
            )
        self._denied, self._chain, self._joined = False, [], ""
