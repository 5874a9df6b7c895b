"""Text of an attribute query → syntax tree.

```
query  = list { ("or" | "|") list }
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
from typing import Final

from olrsearch.core.errors import QueryError, QuerySyntaxError
from olrsearch.search.query.ast import RESERVED, Literal, Node, conjunction, disjunction, negation, weighted
from olrsearch.search.query.tokens import Token, Tokens, after_spaces, check_length, unexpected

_WORD = re.compile(r"\w[\w-]*")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_WEIGHT = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WEIGHT_TEXT = re.compile(r'[^\s()&|,!^"]+')
_SYMBOLS = {"&": "and", ",": "and", "|": "or", "!": "not", "(": "(", ")": ")", "^": "^"}


MAX_LABELS: Final = 1_000
"""Labels in one query, repetitions counted: each takes a number an image while it is answered."""


def parse(text: str) -> Node:
    """Parse an attribute query.

    Args:
        text: For example `smiling & (eyeglasses | sunglasses) & !male^2`.

    Returns:
        A normal tree (see `olrsearch.search.query.ast`); names are as written.

    Raises:
        QuerySyntaxError: the text is empty or does not parse; carries the position.
    """
    tokens = Tokens(text, _tokenise(text))
    if tokens.next.kind == "end":
        raise tokens.fault("an empty query: expected a label, as in smiling & !male")
    node = _Parser(tokens).query()
    if tokens.next.sign == ")":
        raise tokens.fault("a closing parenthesis without an opening one")
    if tokens.next.kind != "end":
        raise tokens.fault(f"expected &, | or the end, found {tokens.next.found}")
    return node


class _Parser:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def query(self) -> Node:
        return disjunction(self._tokens.listed(self._list, "or"))

    def _list(self) -> Node:
        return conjunction(self._tokens.listed(self._factor, "and"))

    def _factor(self) -> Node:
        negate = self._tokens.negated()
        node = self._atom()
        if self._tokens.accept("^"):
            node = self._weight(node)
        return negation(node) if negate else node

    def _weight(self, node: Node) -> Node:
        token = self._tokens.next
        if token.kind != "weight" or not _WEIGHT.fullmatch(token.text):
            found = token.found if token.text else "nothing"
            raise self._tokens.fault(f"expected a weight above 0 after ^, found {found}")
        self._tokens.take()
        try:
            return weighted(node, float(token.text))
        except QueryError as error:
            raise self._tokens.fault(str(error), token) from error

    def _atom(self) -> Node:
        token = self._tokens.next
        if token.kind == "name":
            return Literal(self._tokens.take().text)
        if token.sign != "(":
            raise self._tokens.fault(f"expected a label or an opening parenthesis, found {token.found}")
        return self._tokens.group(self.query)


def _tokenise(text: str) -> list[Token]:
    tokens, position = list[Token](), 0
    labels = 1
    bare = list[Token]()  # adjacent words, which are one name
    while (position := after_spaces(text, position)) < len(text):
        after_caret = not bare and bool(tokens) and tokens[-1].sign == "^"
        token, position, is_bare = _token(text, position, after_caret=after_caret)
        if is_bare:
            bare.append(token)
        else:
            tokens += [*_name(bare), token]
            bare = []
            check_length(tokens, text)
            labels += token.sign in {"and", "or"}
            if labels > MAX_LABELS:
                message = f"more than {MAX_LABELS:,} labels in one query: split it"
                raise QuerySyntaxError(message, text=text, position=token.position)
    return [*tokens, *_name(bare), Token("end", "", position)]


def _name(words: list[Token]) -> list[Token]:
    """Words as one name, if there are any."""
    return [Token("name", " ".join(word.text for word in words), words[0].position)] if words else []


def _token(text: str, position: int, *, after_caret: bool) -> tuple[Token, int, bool]:
    """The token at a position, where it ends, and whether it is a bare name."""
    if after_caret and (match := _WEIGHT_TEXT.match(text, position)):
        return Token("weight", match.group(), position), match.end(), False
    if sign := _SYMBOLS.get(text[position]):
        return Token("sign", text[position], position, sign), position + 1, False
    if match := _QUOTED.match(text, position):
        name = match.group(1).replace('""', '"')
        if not name.strip():
            raise QuerySyntaxError("an empty name in quotes", text=text, position=position)
        return Token("name", name, position), match.end(), False
    if text[position] == '"':
        raise QuerySyntaxError("a quoted name without its closing quote", text=text, position=position)
    match = _WORD.match(text, position)
    if not match:
        raise QuerySyntaxError(unexpected(text, position), text=text, position=position)
    word = match.group()
    if word.casefold() in RESERVED:
        return Token("sign", word, position, word.casefold()), match.end(), False
    return Token("name", word, position), match.end(), True
