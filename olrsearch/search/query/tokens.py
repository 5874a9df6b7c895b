"""The tokens of a query's text, read from left to right: what both query languages are parsed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from olrsearch.core.errors import QuerySyntaxError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")

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
        return self.text if self.text[0] in "'\"" else repr(self.text)


def after_spaces(text: str, position: int) -> int:
    """The first place from a position on that is no space; the text's length where there is none."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position


class Tokens:
    """The tokens of a text, and which is next.

    Args:
        text: The query.
        tokens: All of them, the end included.

    Attributes:
        next: The next token.
    """

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self._text = text
        self._rest = iter(tokens)
        self._depth = 0
        self.next = next(self._rest)

    def take(self) -> Token:
        """The next token, which is passed; it must not be the end."""
        taken, self.next = self.next, next(self._rest)
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
