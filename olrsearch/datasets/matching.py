"""Which row of a table means which image, where the two are not named exactly alike.

Tables come with other suffixes (`000001.jpg` for `000001.png`), with absolute paths, without folders, in
other case, or in the other of Unicode's forms. Whoever is named exactly is found first. For the rest, the one
reading of all names is taken that finds most; a name that two would then have finds nobody.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from olrsearch.core.names import path_form
from olrsearch.datasets.kinds import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence


class Match(NamedTuple):
    """What was found.

    Attributes:
        names: The name that the table has for an image, by the image's key.
        differing: The keys of images that the table names otherwise, but for Unicode's forms.
    """

    names: dict[str, str]
    differing: list[str]


_TRIED: Final = 50
"""Images by which a reading without leading folders is looked for."""


def match_names(keys: Sequence[str], rows: Collection[str]) -> Match:
    """Finds what a table calls images.

    Args:
        keys: Of N images, unique.
        rows: The names in the table, unique.
    """
    known = set(rows)
    found = {key: key for key in keys if key in known}
    images = [key for key in keys if key not in found]
    others = [row for row in rows if row not in found]
    if not images or not others:
        return Match(found, [])
    best: dict[str, str] = {}
    differing = False
    for reading in _readings(images, others):
        there, here = _unique(others, reading.row), _unique(images, reading.image)
        matched = {image: there[form] for form, image in here.items() if form in there}
        if len(matched) > len(best):
            best, differing = matched, not reading.strict
    names = {key: found.get(key) or best[key] for key in keys if key in found or key in best}
    return Match(names, list(best) if differing else [])


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read all names.

    Attributes:
        spelt: How a name's letters are read.
        rows: The leading folders of rows that are left out; None for all folders.
        images: Those of images.
        strict: Whether names differ in nothing but Unicode's forms.
    """

    spelt: Callable[[str], str]
    rows: str | None = ""
    images: str | None = ""
    strict: bool = False

    def row(self, name: str) -> str:
        """What a row's name is read as; empty for one that this reading leaves out."""
        return _below(self.rows, self.spelt(name))

    def image(self, name: str) -> str:
        """What an image's key is read as, likewise."""
        return _below(self.images, self.spelt(name))


def _readings(images: Sequence[str], rows: Sequence[str]) -> Iterator[_Reading]:
    """Those that are worth trying, the strictest first."""
    for spelt in (_composed, _folded, _stem):
        yield _Reading(spelt, strict=spelt is _composed)
        # Folders that all rows or all images lie in may lack on the other side: absolute paths, zips.
        by_name = _unique(rows, _Reading(spelt, None).row)
        tried: set[tuple[str, str]] = set()
        for image in images[:_TRIED]:
            row = by_name.get(_below(None, spelt(image)))
            pair = ("", "") if row is None else _leading(spelt(row), spelt(image))
            if any(pair) and pair not in tried:
                tried.add(pair)
                yield _Reading(spelt, *pair)
        # Names alone, where one side has no folders at all: otherwise a name may stand in several of them.
        if not any("/" in spelt(name) for name in rows) or not any("/" in name for name in images):
            yield _Reading(spelt, None, None)


def _below(folders: str | None, name: str) -> str:
    """A name without its leading folders, empty where it has others; without any, where they are None."""
    if folders is None:
        return name.rpartition("/")[2]
    return name[len(folders) :] if name.startswith(folders) else ""


def _leading(one: str, other: str) -> tuple[str, str]:
    """What stands before the longest end that two paths share, folder by folder."""
    left, right = one.split("/"), other.split("/")
    while left and right and left[-1] == right[-1]:
        left.pop()
        right.pop()
    return "".join(f"{part}/" for part in left), "".join(f"{part}/" for part in right)


def _composed(name: str) -> str:
    return path_form(name).removeprefix("./")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", _composed(name).casefold())


def _stem(name: str) -> str:
    folded = _folded(name)
    suffix = PurePosixPath(folded).suffix
    return folded.removesuffix(suffix) if suffix in SUFFIXES else folded


def _unique(names: Iterable[str], form: Callable[[str], str]) -> dict[str, str]:
    """Names by a form that they alone have."""
    found: dict[str, str | None] = {}
    for name in names:
        said = form(name)
        if said:
            found[said] = None if said in found else name
    return {said: name for said, name in found.items() if name is not None}
