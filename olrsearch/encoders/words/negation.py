"""The grammar of phrases: what denies (`without glasses`), what affirms (`with glasses`), what joins."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from olrsearch.core.names import normalise_name

FRONT: Final = (
    r"(?:(?:does|do|did|is|are|was|were|has|have|had|ca|wo|could|would|should|ai)(?:n't|nt| not)|cannot|not|"
    r"no longer|no|non|never|without|w/o|sans|lacking|lacks|lack of|free of|free from|absence of|absent|"
    r"missing|minus|nor|neither|anything but|(?:is|are) no)"
)
"""What denies, in front of what is denied."""

VERBS: Final = (
    r"(?:wearing|wears?|having|has|have|with|any|being|at all|longer|really|very|a pair of|an?|the)"
)
"""What may stand between a denial and what is denied."""

_DENIED = re.compile(rf"{FRONT}(?: {VERBS})* (?P<rest>.+)")
_FREE = re.compile(r"(?P<rest>.+) (?:free|less|lacking|missing|absent)")
_LESS = re.compile(r"(?P<rest>\w{2,})less")
_UN = re.compile(r"(?:un ?|non|in|im|dis)(?P<rest>\w{3,})")


_AFFIRMED = re.compile(rf"(?:with|{VERBS})(?: {VERBS})* (?P<rest>.+)")
_JOINED = re.compile(r" ?, ?| (?:and|or|nor) ")

FILLERS: Final = frozenset(
    (
        "a",
        "an",
        "the",
        "with",
        "and",
        "of",
        "in",
        "wearing",
        "wears",
        "has",
        "having",
        "is",
        "who",
        "that",
        "looks",
        "looking",
        "person",
        "people",
        "face",
        "someone",
        "but",
        "though",
        "yet",
        "some",
        "any",
    )
)
"""Words that join others in a phrase and ask for nothing themselves."""

_ARTICLE = re.compile(r"\A(?:an?|the|some) (?=.)")


class Denial(NamedTuple):
    """What a phrase denies.

    Attributes:
        rest: The phrase without the denial.
        certain: Whether the denial is a word of its own. Within a word it may be none (`uniform`, `unless`),
            so that `rest` counts only where it is a known word.
    """

    rest: str
    certain: bool


def plain(text: str) -> str:
    """The form in which words are compared: as label names are, without an article in front."""
    return _ARTICLE.sub("", normalise_name(text.replace("’", "'")), count=1)


def denial(text: str) -> Denial | None:
    """What a phrase denies; None where it denies nothing."""
    phrase = plain(text)
    for form in (_DENIED, _FREE):
        if found := form.fullmatch(phrase):
            return Denial(plain(found["rest"]), certain=True)
    for form in (_LESS, _UN):
        if found := form.fullmatch(phrase):
            return Denial(found["rest"], certain=False)
    return None


def affirmed(text: str) -> str | None:
    """What `with glasses` or `wears a hat` speaks of; None of a phrase without such a beginning."""
    found = _AFFIRMED.fullmatch(plain(text))
    return None if found is None else plain(found["rest"])


def joined(text: str) -> tuple[str, ...]:
    """The parts of `a hat, glasses or a beard`; the phrase itself where nothing is joined."""
    return tuple(plain(part) for part in _JOINED.split(plain(text)) if plain(part))
