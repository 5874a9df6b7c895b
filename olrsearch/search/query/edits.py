"""The editing language: which labels an image is to gain and to lose, and how strongly.

```
edits  = edit { [ "," ] edit }
edit   = ("+" | "-" | "!") name [ "^" strength ]
name   = word { word } | '"' any characters, '"' doubled '"'
```

`+Smiling -Eyeglasses +Chubby^1.5` adds two labels and takes one away. `!` takes away too, as in queries, for
shells and programs that take a word with `-` for an option of theirs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import QueryError, QuerySyntaxError, UnknownLabelError
from olrsearch.core.names import LabelNames
from olrsearch.core.shown import shown
from olrsearch.search.query.ast import quote_name, spell_weight
from olrsearch.search.query.tokens import after_spaces, unexpected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_STRENGTH: Final = 10.0
"""Ten times what tells a label from its absence lies far outside of every image's embedding."""

MAX_EDITS: Final = 1_000
"""Edits of one image; more are refused while they are read."""

_ADDS: Final = {"+": True, "-": False, "!": False, "\N{MINUS SIGN}": False}
_NAME: Final = re.compile(r"\w[\w-]*(?:\s+\w[\w-]*)*")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')
_STRENGTH: Final = re.compile(r'[^\s,"]*')
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Edit:
    """One label that an image is to gain or to lose.

    Attributes:
        label: The label's name, as written until `resolve_edits` replaces it.
        added: Whether it is added; else it is removed.
        strength: How strongly, above 0; 1 is what tells images with the label from those without.
    """

    label: str
    added: bool
    strength: float = 1.0

    @property
    def spelling(self) -> str:
        """As `parse_edits` reads it: `+Chubby^1.5`."""
        return ("+" if self.added else "-") + quote_name(self.label) + spell_weight(self.strength)


def parse_edits(text: str | Sequence[str]) -> tuple[Edit, ...]:
    """Parse edits.

    Args:
        text: For example `+Smiling -Eyeglasses +Chubby^1.5`, as one text or as several.

    Returns:
        The edits in their order; names are as written.

    Raises:
        QuerySyntaxError: the text is empty or does not parse; carries the position.
    """
    line = text if isinstance(text, str) else " ".join(text)
    found: list[Edit] = []
    position = after_spaces(line, 0)
    while position < len(line):
        edit, position = _edit(line, position)
        found.append(edit)
        if len(found) > MAX_EDITS:
            raise QuerySyntaxError(
                f"more than {MAX_EDITS:,} edits of one image: leave some out", text=line, position=position
            )
        position = after_spaces(line, position)
        if line[position : position + 1] == ",":
            position = after_spaces(line, position + 1)
    if not found:
        raise QuerySyntaxError(
            "nothing to edit: expected labels to add and to remove, as in +Smiling -Eyeglasses",
            text=line,
            position=0,
        )
    return tuple(found)


def resolve_edits(
    edits: Sequence[Edit], label_names: Sequence[str], *, instead: Callable[[Edit], str] | None = None
) -> tuple[Edit, ...]:
    """The same edits with every name in the label's own spelling.

    Args:
        edits: As they were parsed.
        label_names: What can be edited.
        instead: What to say of an edit whose name no label has; see `UnknownLabelError`.

    Raises:
        UnknownLabelError: a name no label has; carries the nearest ones.
        QueryError: a name that several labels have, a label twice, or strengths that are none.
    """
    names = LabelNames(label_names)
    found: dict[str, Edit] = {}
    for edit in edits:
        try:
            label = names.find(edit.label)
        except UnknownLabelError as error:
            said = "" if instead is None else instead(edit)
            raise UnknownLabelError(error.name, error.nearest, instead=said) from error
        before = found.get(label)
        if before is not None:
            raise QueryError(
                f"{label} is both added and removed: leave one of the two out"
                if before.added != edit.added
                else f"{label} is {'added' if edit.added else 'removed'} twice: give it one strength, as in "
                f"{replace(before, label=label, strength=1.5).spelling}"
            )
        check_strength(edit.strength, f"the strength of {label}")
        found[label] = replace(edit, label=label)
    return tuple(found.values())


def spell_edits(edits: Sequence[Edit]) -> str:
    """Edits as `parse_edits` reads them."""
    return " ".join(edit.spelling for edit in edits)


def check_strength(strength: float, what: str = "a strength") -> float:
    """Refuse a strength that is none.

    Args:
        strength: A number.
        what: Whose it is.

    Raises:
        QueryError: it is not above 0 and at most `MAX_STRENGTH`.
    """
    if not 0 < strength <= MAX_STRENGTH:
        advice = ""
        if strength == 0:
            advice = "; leave the label out to keep it as it is"
        elif strength < 0:
            advice = "; - in the place of + removes a label"
        raise QueryError(
            f"{what} is a number above 0 and up to {MAX_STRENGTH:g}, found {shown(strength)}{advice}"
        )
    return strength


def _edit(line: str, position: int) -> tuple[Edit, int]:
    """The edit at a position, and where it ends."""
    sign = line[position]
    if sign not in _ADDS:
        found = shown(line[position:].split(maxsplit=1)[0])
        raise QuerySyntaxError(
            f"an edit begins with + to add a label or - to remove it, found {found}",
            text=line,
            position=position,
        )
    name, end = _label(line, after_spaces(line, position + 1))
    strength = 1.0
    if line[end : end + 1] == "^":
        strength, end = _strength(line, end + 1)
    after = line[end : end + 1]
    if after and not after.isspace() and after != "," and after not in _ADDS:
        raise QuerySyntaxError(unexpected(line, end), text=line, position=end)
    return Edit(name, _ADDS[sign], strength), end


def _label(line: str, position: int) -> tuple[str, int]:
    if match := _QUOTED.match(line, position):
        name = match.group(1).replace('""', '"')
        if not name.strip():
            raise QuerySyntaxError("an empty name in quotes", text=line, position=position)
        return name, match.end()
    if line[position : position + 1] == '"':
        raise QuerySyntaxError("a quoted name without its closing quote", text=line, position=position)
    match = _NAME.match(line, position)
    if match is None:
        message = (
            unexpected(line, position)
            if position < len(line) and line[position] not in {*_ADDS, ",", "^"}
            else "expected a label after the sign, as in +Smiling"
        )
        raise QuerySyntaxError(message, text=line, position=min(position, len(line)))
    return match.group(), match.end()


def _strength(line: str, position: int) -> tuple[float, int]:
    match = _STRENGTH.match(line, position)
    written = "" if match is None else match.group()
    number = float(written) if _NUMBER.fullmatch(written) else math.nan
    if math.isnan(number):
        found = shown(written) if written else "nothing"
        raise QuerySyntaxError(
            f"expected a strength after ^, a number such as 1.5, found {found}", text=line, position=position
        )
    try:
        check_strength(number)
    except QueryError as error:
        raise QuerySyntaxError(str(error), text=line, position=position) from error
    return number, position + len(written)
