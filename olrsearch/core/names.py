"""Matching the names people write with the names labels have, and which names can be had at all.

`wavy hair`, `Wavy_Hair` and `WAVY-HAIR` are one name. An exact spelling always wins, so
even labels that differ in case alone can be told apart.

Names of images and labels may hold whatever stands on one line: any script, blanks of any kind,
joiners and emoji. What breaks a line or drives a terminal is refused (`unfit_character`).
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import QueryError, UnknownLabelError
from olrsearch.core.shown import escaped, shown

if TYPE_CHECKING:
    from collections.abc import Sequence


_SEPARATORS = re.compile(r"[\s_\-]+")


_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates, and separators of lines and paragraphs."""

_CUTOFF = 0.55
"""Similarity below which a name is no help; `smile` and `Smiling` have 0.67."""

LONGEST: Final = 255
"""Characters of a name up to which similar ones are looked for; file systems allow no longer ones."""


def unfit_character(text: str) -> str | None:
    """What keeps a text from being a name; None where nothing does.

    A name is printed on a line of its own and kept in databases. Blanks of any kind, joiners and marks
    are fit: files have them in their names.

    Returns:
        `the line break U+000A`, `the control character U+001B`, `a byte that is no UTF-8` or `half a
        character (U+D83D)`.
    """
    if text.isprintable():
        return None
    found = next((one for one in text if unicodedata.category(one) in _UNFIT), None)
    if found is None:
        return None
    code = ord(found)
    if 0xDC80 <= code <= 0xDCFF:  # how Python marks such bytes in arguments and file names
        return "a byte that is no UTF-8"
    if unicodedata.category(found) == "Cs":
        return f"half a character (U+{code:04X})"
    kind = "line break" if len(f"-{found}-".splitlines()) > 1 else "control character"
    return f"the {kind} U+{code:04X}"


def is_storable(text: str) -> bool:
    """Whether every database can hold a text: whole characters, none of them NUL."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text))


def normalise_name(name: str) -> str:
    """The form in which names are compared: case folded, `_`, `-` and spaces alike."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _SEPARATORS.sub(" ", folded).strip()


def unicode_forms(text: str) -> tuple[str, ...]:
    """A text as different systems write it: `ü` as one character, and as two."""
    return tuple(dict.fromkeys(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))


def path_form(key: str) -> str:
    r"""The form in which two spellings of one path are the same.

    macOS writes `ü` as two characters, most other systems as one; Windows writes `\` between folders.
    """
    return unicodedata.normalize("NFC", key).replace("\\", "/")


class LabelNames:
    """Label names in their fixed order, found by any of their spellings."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._exact = {name: position for position, name in enumerate(self.names)}
        self._normal: dict[str, list[int]] = {}
        for position, name in enumerate(self.names):
            self._normal.setdefault(normalise_name(name), []).append(position)

    def position(self, name: str) -> int:
        """Where a label stands.

        Raises:
            UnknownLabelError: no label has this name; carries the nearest ones.
            QueryError: several labels do.
        """
        found = self.matches(name)
        if len(found) > 1:
            several = " or ".join(escaped(self.names[position]) for position in found)
            msg = f"the label name {shown(name)} may mean {several}: write it exactly as one of them"
            raise QueryError(msg)
        if not found:
            raise UnknownLabelError(name, nearest_names(name, self.names))
        return found[0]

    def matches(self, name: str) -> list[int]:
        """Where the label of exactly this name stands, or else all those that it may mean."""
        if name in self._exact:
            return [self._exact[name]]
        return self._normal.get(normalise_name(name), [])

    def find(self, name: str) -> str:
        """A label's own spelling; raises as `position` does."""
        return self.names[self.position(name)]


def nearest_names(name: str, candidates: Sequence[str], count: int = 3) -> tuple[str, ...]:
    """The most similar of some names, best first; fewer, or none, where little is similar.

    Comparing takes the product of two lengths: nothing is similar to a name longer than `LONGEST`, and of
    candidates that are longer the beginning counts.
    """
    if len(name) > LONGEST:
        return ()
    wanted = normalise_name(name).replace(" ", "")
    scored = [(-_similarity(wanted, candidate), candidate) for candidate in candidates]
    return tuple(candidate for score, candidate in sorted(scored) if -score >= _CUTOFF)[:count]


def _similarity(wanted: str, candidate: str) -> float:
    """0 to 1: by edits of the whole name, or nearly as good by one of its words, its beginning or a part."""
    normal = normalise_name(candidate[:LONGEST])
    whole = normal.replace(" ", "")
    forms = [(whole, 1.0), *((word, 0.9) for word in normal.split(" "))]
    best = max(factor * SequenceMatcher(None, wanted, form).ratio() for form, factor in forms)
    if wanted[:4] == whole[:4] and len(wanted) >= 4:  # 'smile' means Smiling rather than Male
        return max(best, 0.9)
    return max(best, 0.85) if len(wanted) >= 3 and wanted in whole else best
