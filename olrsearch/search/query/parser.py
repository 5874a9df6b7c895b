"""Text of an attribute query → syntax tree.

```
query  = and-list { ("or" | "|") and-list }
list   = factor { ("and" | "&" | ",") factor }
factor = { "not" | "!" } atom [ "^" weight ]
atom   = name | "(" query ")"
name   = word { word } | '"' any characters, '"' doubled '"'
```

Operator words count in any case. Adjacent words are one name (`wavy hair`); a name
that holds an operator word or other characters is quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from olrsearch.core.errors import QueryError, QuerySyntaxError
from olrsearch.search.query.ast import RESERVED, Literal, Node, conjunction, disjunction, negation, weighted

MAX_DEPTH = 64
"""Parentheses inside parentheses; far beyond what anyone writes, well within Python's stack."""

_WORD = re.compile(r"\w[\w-]*")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_WEIGHT = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WEIGHT_TEXT = re.compile(r'[^\s()&|,!^"]+')
_SYMBOLS = {"&": "and", ",": "and", "|": "or", "!": "not", "(": "(", ")": ")", "^": "^"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # 'name', 'weight', 'and', 'or', 'not', '(', ')', 'end'
    text: str
    position: int


def parse(text: str) -> Node:
    """Parse an attribute query.

    Args:
        text: For example `smiling & (eyeglasses | sunglasses) & !male^2`.

    Returns:
        A normal tree (see `olrsearch.search.query.ast`); names are as written.

    Raises:
        QuerySyntaxError: the text is empty or does not parse; carries the position.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._tokenise()
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        if self._peek().kind == "end":
            raise self._error("an empty query: expected a label, as in smiling & !male", self._peek())
        node = self._disjunction()
        token = self._peek()
        if token.kind == ")":
            raise self._error("a closing parenthesis without an opening one", token)
        if token.kind != "end":
            raise self._error(f"expected &, | or the end, found {token.text!r}", token)
        return node

    def _disjunction(self) -> Node:
        parts = [self._conjunction()]
        while self._accept("or"):
            parts.append(self._conjunction())
        return disjunction(parts)

    def _conjunction(self) -> Node:
        parts = [self._factor()]
        while self._accept("and"):
            parts.append(self._factor())
        return conjunction(parts)

    def _factor(self) -> Node:
        negate = False
        while self._accept("not"):
            negate = not negate
        node = self._atom()
        if self._accept("^"):
            node = self._weight(node)
        return negation(node) if negate else node

    def _weight(self, node: Node) -> Node:
        token = self._peek()
        if token.kind != "weight" or not _WEIGHT.fullmatch(token.text):
            found = repr(token.text) if token.text else "nothing"
            raise self._error(f"expected a weight above 0 after ^, found {found}", token)
        self._next += 1
        try:
            return weighted(node, float(token.text))
        except QueryError as error:
            raise self._error(str(error), token) from error

    def _atom(self) -> Node:
        token = self._peek()
        if token.kind == "name":
            self._next += 1
            return Literal(token.text)
        if token.kind != "(":
            found = "the end" if token.kind == "end" else repr(token.text)
            raise self._error(f"expected a label or an opening parenthesis, found {found}", token)
        self._next += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses inside each other: write it flatter", token)
        node = self._disjunction()
        self._depth -= 1
        if not self._accept(")"):
            found = "the end" if self._peek().kind == "end" else repr(self._peek().text)
            message = (
                f"expected a closing parenthesis for the one at position {token.position + 1}, found {found}"
            )
            raise self._error(message, self._peek())
        return node

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, kind: str) -> bool:
        if self._tokens[self._next].kind != kind:
            return False
        self._next += 1
        return True

    def _error(self, message: str, token: _Token) -> QuerySyntaxError:
        return QuerySyntaxError(message, text=self._text, position=token.position)

    def _tokenise(self) -> list[_Token]:
        text, tokens, position = self._text, list[_Token](), 0
        joinable = False  # the token before is a bare name, so that a word now continues it
        while True:
            while position < len(text) and text[position].isspace():
                position += 1
            if position == len(text):
                tokens.append(_Token("end", "", position))
                return tokens
            token, position, bare = self._token(position, after_caret=bool(tokens) and tokens[-1].kind == "^")
            if bare and joinable:
                before = tokens.pop()
                token = _Token("name", f"{before.text} {token.text}", before.position)
            joinable = bare
            tokens.append(token)

    def _token(self, position: int, *, after_caret: bool) -> tuple[_Token, int, bool]:
        """The token at a position, where it ends, and whether it is a bare name."""
        text = self._text
        if after_caret and (match := _WEIGHT_TEXT.match(text, position)):
            return _Token("weight", match.group(), position), match.end(), False
        if kind := _SYMBOLS.get(text[position]):
            return _Token(kind, text[position], position), position + 1, False
        if match := _QUOTED.match(text, position):
            name = match.group(1).replace('""', '"')
            if not name.strip():
                raise QuerySyntaxError("an empty name in quotes", text=text, position=position)
            return _Token("name", name, position), match.end(), False
        if text[position] == '"':
            raise QuerySyntaxError("a quoted name without its closing quote", text=text, position=position)
        match = _WORD.match(text, position)
        if not match:
            message = f"unexpected {text[position]!r}: names with such characters need double quotes"
            raise QuerySyntaxError(message, text=text, position=position)
        word = match.group()
        if word.casefold() in RESERVED:
            return _Token(word.casefold(), word, position), match.end(), False
        return _Token("name", word, position), match.end(), True
