"""What words ask for, in labels: the table `meanings.toml` beside this file, and a user's own over it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from olrsearch.core.errors import WordVectorsError
from olrsearch.core.names import LabelNames, normalise_name
from olrsearch.encoders.words.negation import denial, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FILE: Final = "meanings.toml"
"""The name of a table of meanings, in the package and in a store's folder."""

_SHIPPED: Final = Path(__file__).resolve().parent / FILE
_ASKS, _OPPOSITES, _NONE = "asks", "opposites", "none"
_NEVER: Final = "never"
"""The line of [none] whose words spoil a phrase."""
_EXAMPLE: Final = '"!Male" = ["woman", "lady"] under [asks]'


class Asked(NamedTuple):
    """A label that is asked for, or its absence.

    Attributes:
        label: Its name.
        negated: Whether it is to be absent.
    """

    label: str
    negated: bool

    @property
    def opposite(self) -> Asked:
        """The same label, the other way round."""
        return Asked(self.label, not self.negated)


Meaning: TypeAlias = tuple[Asked, ...]
"""What a word asks for: all of these together."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """Words by what they ask for.

    Attributes:
        entries: Meanings with their words, a user's first. A meaning may stand here several times.
        nothing: Words that ask for nothing that labels say.
        opposites: Pairs of adjectives that turn a phrase round.
        never: Words that no label is taken for, and that spoil a phrase, whatever else it says; likeness is
            not measured to them.
        source: The user's file; None where there is none.
    """

    entries: tuple[tuple[Meaning, tuple[str, ...]], ...]
    nothing: tuple[str, ...]
    opposites: tuple[tuple[str, str], ...] = ()
    never: tuple[str, ...] = ()
    source: Path | None = None

    def of_labels(self, names: Sequence[str]) -> Meanings:
        """What of it says something of these labels, in their own spelling; the words of nothing stay.

        Args:
            names: The labels of an encoder.
        """
        known = LabelNames(names)
        kept = []
        for meaning, words in self.entries:
            places = [known.matches(asked.label) for asked in meaning]
            if all(len(found) == 1 for found in places):
                own = tuple(
                    Asked(names[found[0]], asked.negated)
                    for found, asked in zip(places, meaning, strict=True)
                )
                kept.append((own, words))
        return replace(self, entries=tuple(kept))

    def find(self, text: str) -> Meaning | None:
        """What a word or phrase asks for by this table: `()` for nothing, None where it does not stand here.

        Spelling matters as little as in labels, and an article in front not at all.
        """
        return self.by_word().get(plain(text))

    def by_word(self) -> dict[str, Meaning]:
        """What every word asks for, by its plain form; see `find`."""
        found: dict[str, Meaning] = {}
        for meaning, words in (*self.entries, ((), self.nothing), ((), self.never)):
            for word in words:
                found.setdefault(plain(word), meaning)
        return found

    def opposite(self, text: str) -> Meaning | None:
        """What a phrase asks for whose opposite stands here; None where none does.

        `happy` is the opposite of `unhappy`, and `thin brows` of `thick brows`.
        """
        wanted = plain(text)
        turned = self.turned(text)
        for meaning, words in self.entries:
            if len(meaning) > 1:
                continue
            for word in map(plain, words):
                denied = denial(word)
                if word in turned or (denied is not None and denied.rest == wanted):
                    return (meaning[0].opposite,)
        return None

    def turned(self, text: str) -> tuple[str, ...]:
        """A phrase with one of its adjectives turned round, in all ways there are."""
        words = plain(text).split(" ")
        return tuple(
            " ".join((*words[:place], other, *words[place + 1 :]))
            for place, word in enumerate(words)
            for pair in self.opposites
            for one, other in (pair, pair[::-1])
            if one == word
        )

    def words(self) -> Iterator[str]:
        """All words, those of nothing too."""
        for _, words in self.entries:
            yield from words
        yield from self.nothing


def read_meanings(path: Path | str | None = None) -> Meanings:
    """The table that comes with the package, under one of the user's.

    Args:
        path: A TOML file of the same form, whose words go before those of the package.

    Raises:
        WordVectorsError: the file is not there, or not of this form; the line is named.
    """
    shipped = _read(_SHIPPED)
    if path is None:
        return shipped
    own = _read(Path(path))
    asked = {plain(word) for _, words in own.entries for word in words}
    nothing = {plain(word) for word in own.nothing}
    below = [
        (meaning, tuple(word for word in words if plain(word) not in nothing))
        for meaning, words in shipped.entries
    ]
    return Meanings(
        (*own.entries, *((meaning, words) for meaning, words in below if words)),
        (*own.nothing, *(word for word in shipped.nothing if plain(word) not in asked)),
        (*own.opposites, *shipped.opposites),
        (*own.never, *(word for word in shipped.never if plain(word) not in asked)),
        Path(path),
    )


def spell(asked: Asked) -> str:
    """`Male`, `!Male`."""
    return ("!" if asked.negated else "") + asked.label


def _read(path: Path) -> Meanings:
    try:
        text = path.read_bytes().decode("utf-8")
        found = tomllib.loads(text)
    except OSError as error:
        raise WordVectorsError(
            f"the table of meanings {path} cannot be read ({error.strerror or error}): check the path"
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise WordVectorsError(f"{path} is no TOML ({error}): expected lines such as {_EXAMPLE}") from None
    sections = (_ASKS, _OPPOSITES, _NONE)
    if unknown := sorted(found.keys() - set(sections)):
        raise WordVectorsError(
            f"{path}{_line(text, unknown[0])}: {unknown[0]!r}, expected the sections "
            "[asks], [opposites] and [none]"
        )
    for section in sections:
        if not isinstance(found.get(section, {}), dict):
            raise WordVectorsError(
                f"{path}{_line(text, section)}: {section} is no section: write [{section}]"
            )
    entries = []
    for query, words in found.get(_ASKS, {}).items():
        entries.append((_meaning(query, path, text), _words(query, words, path, text)))
    _check_once(entries, path, text)
    none = {name: _words(name, words, path, text) for name, words in found.get(_NONE, {}).items()}
    nothing = [word for name, words in none.items() if name != _NEVER for word in words]
    opposites = [
        (plain(one), plain(word))
        for one, words in found.get(_OPPOSITES, {}).items()
        for word in _words(one, words, path, text)
    ]
    return Meanings(tuple(entries), tuple(nothing), tuple(opposites), none.get(_NEVER, ()), path)


def _meaning(query: str, path: Path, text: str) -> Meaning:
    """What stands before a line's words.

    Raises:
        WordVectorsError: it is no label, !label or several joined by &.
    """
    parts = [part.strip() for part in query.split("&")]
    asked = tuple(Asked(part.lstrip("!").strip(), part.startswith("!")) for part in parts)
    labels = {normalise_name(one.label) for one in asked}
    if any(part.startswith("!!") for part in parts) or "" in labels or len(labels) < len(asked):
        raise WordVectorsError(
            f"{path}{_line(text, query)}: {query!r}, expected a label, !label, or different ones joined by &"
        )
    return asked


def _words(name: str, words: Any, path: Path, text: str) -> tuple[str, ...]:  # noqa: ANN401, as TOML has it
    """The words of a line.

    Raises:
        WordVectorsError: they are no list of words.
    """
    good = isinstance(words, list) and words and all(isinstance(word, str) and plain(word) for word in words)
    if not good:
        raise WordVectorsError(
            f"{path}{_line(text, name)}: {name!r} has {words!r}, expected a list of words such as {_EXAMPLE}"
        )
    return tuple(words)


def _check_once(entries: Sequence[tuple[Meaning, tuple[str, ...]]], path: Path, text: str) -> None:
    """Refuse a word that asks for a label and for its absence: one of the two is a slip.

    Raises:
        WordVectorsError: there is one.
    """
    seen: dict[tuple[str, str], bool] = {}
    for meaning, words in entries:
        for asked in meaning:
            for word in words:
                place = (plain(word), normalise_name(asked.label))
                if seen.setdefault(place, asked.negated) != asked.negated:
                    raise WordVectorsError(
                        f"{path}{_line(text, spell(asked))}: {word!r} asks for {asked.label} and for "
                        f"!{asked.label}: leave one of them out"
                    )


def _line(text: str, name: str) -> str:
    """`, line 3` where a name stands at the beginning of a line; nothing where it is not found."""
    start = re.compile(r'\s*\[?\s*(["\']?)' + re.escape(name) + r"\1")
    for number, line in enumerate(text.splitlines(), 1):
        if start.match(line):
            return f", line {number}"
    return ""
