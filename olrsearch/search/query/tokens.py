"""The tokens of a query's text, read from left to right: what both query languages are parsed with."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from olrsearch.core.errors import QuerySyntaxError
from olrsearch.core.shown import QUOTED, escaped, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")

_ENDS_NAME: Final = re.compile(r"""[\s()&|,!^"'=<>]""").match

MAX_TOKENS: Final = 50_000
"""Words and signs in one query or condition; more are refused while they are read."""

MAX_DEPTH: Final = 64
"""Parentheses inside parentheses; far beyond what anyone writes, well within Python's stack."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query's text.

    Attributes:
        kind: What it is; `end` after the last.
        text: As written.
        position: Where it begins.
        sign: What the grammar calls an operator, a parenthesis or a keyword; empty for all else.
    """

    kind: str
    text: str
    position: int
    sign: str = ""

    @property
    def found(self) -> str:
        """How an error shows it."""
        if self.kind == "end":
            return "the end"
        return self.text if self.text[0] in "'\"" and len(self.text) <= QUOTED else shown(self.text)


def after_spaces(text: str, position: int) -> int:
    """The first place from a position on that is no space; the text's length where there is none."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def unexpected(text: str, position: int) -> str:
    """What to say of a character that begins no token: a name that it is part of needs quotes."""
    found = text[position]
    if not (found.isprintable() or unicodedata.category(found) == "Cf"):
        return f"unexpected {found!r}"
    start, end = position, position + 1
    while start and position - start <= QUOTED and not _ENDS_NAME(text[start - 1]):
        start -= 1
    while end < len(text) and end - position <= QUOTED and not _ENDS_NAME(text[end]):
        end += 1
    if text[start].isdigit():
        return f"unexpected {found!r}"
    name = f'"{escaped(text[start:end])}"' if end - start <= QUOTED else "as here"
    return f"unexpected {found!r}: names with such characters need double quotes, {name}"


def check_length(tokens: Sequence[Token], text: str) -> None:
    """Refuse a text while it is read, once it has more tokens than anyone writes.

    Raises:
        QuerySyntaxError: it has more than `MAX_TOKENS`.
    """
    if len(tokens) > MAX_TOKENS:
        message = f"more than {MAX_TOKENS:,} words and signs: split it"
        raise QuerySyntaxError(message, text=text, position=tokens[-1].position)


class Tokens:
    """The tokens of a text, and which is next.

    Args:
        text: The query.
        tokens: All of them, the end included.
    """

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> Token:
        """The next token."""
        return self._tokens[self._at]

    @property
    def after_next(self) -> Token:
        """The token behind the one after the next, the end where there is none."""
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token, which is passed; it must not be the end."""
        taken = self.next
        self._at += 1
        return taken

    def accept(self, sign: str) -> bool:
        """Pass the next token if it has this sign."""
        if self.next.sign != sign:
            return False
        self.take()
        return True

    def expect(self, sign: str, what: str) -> None:
        """Pass the next token, which must have this sign.

        Raises:
            QuerySyntaxError: it has another.
        """
        if not self.accept(sign):
            raise self.fault(f"expected {what}, found {self.next.found}")

    def negated(self) -> bool:
        """Pass every `not` that comes next; whether their number is odd."""
        odd = False
        while self.accept("not"):
            odd = not odd
        return odd

    def listed(self, part: Callable[[], _T], sign: str) -> list[_T]:
        """What `part` reads, again after every token of a sign."""
        parts = [part()]
        while self.accept(sign):
            parts.append(part())
        return parts

    def group(self, inner: Callable[[], _T]) -> _T:
        """What `inner` reads between the parenthesis that is next and the one that closes it.

        Raises:
            QuerySyntaxError: nothing closes it, or it is deeper than `MAX_DEPTH`.
        """
        opening = self.take()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.fault(
                f"more than {MAX_DEPTH} parentheses inside each other: write it flatter", opening
            )
        node = inner()
        self._depth -= 1
        self.expect(")", f"a closing parenthesis for the one at position {opening.position + 1}")
        return node

    def fault(self, message: str, token: Token | None = None) -> QuerySyntaxError:
        """An error at a token; at the next one when None."""
        return QuerySyntaxError(message, text=self._text, position=(token or self.next).position)
