"""Text of a `--where` condition → syntax tree.

```
condition = list { "or" list }
list      = factor { "and" factor }
factor    = { "not" } ( test | "(" condition ")" )
test      = column ("=" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
          | column ["not"] "in" "(" value { "," value } ")"
          | column ["not"] "like" string
          | column "is" ["not"] "null"
          | label ("=" | "!=" | "<>") ("present" | "absent" | "unknown")
value     = 'text' | number        (a time is text: '2026-01-31' or '2026-01-31T12:00', UTC)
```

Looks like SQL and is none: only the columns given to the parser exist, and the text never
reaches a database. Logic is two-valued: a test of a value that is missing is false, and
`!=` and `not` are exact opposites (SQL would leave images without the value out of both).
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from olrsearch.core.errors import QueryError, QuerySyntaxError, UnknownLabelError
from olrsearch.core.names import LabelNames, nearest_names, normalise_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_DEPTH = 64
MAX_TESTS = 400
"""Tests in one condition: SQLite refuses expressions more than 1,000 deep."""

MAX_VALUES = 10_000
"""Values in one list; databases take some tens of thousands of parameters, no more."""

STORED = {"present": 1, "absent": -1, "unknown": 0}

Value: TypeAlias = str | int | float | dt.datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column operator value`; `operator` is one of = < <= > >=."""

    column: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """`column in (values)`."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    r"""`column like pattern`, case ignored: `%` any text, `_` any character, `\` before either: itself."""

    column: str
    pattern: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """`column is null`."""

    column: str


@dataclass(frozen=True, slots=True)
class LabelIs:
    """The stored label, overrides applied, is −1, 0 (unknown) or +1."""

    label: str
    value: int


@dataclass(frozen=True, slots=True)
class WhereNot:
    """The exact opposite of a condition."""

    child: Where


@dataclass(frozen=True, slots=True)
class WhereAnd:
    """All of some conditions."""

    children: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class WhereOr:
    """At least one of some conditions."""

    children: tuple[Where, ...]


Test: TypeAlias = Comparison | Membership | Like | IsNull | LabelIs
Where: TypeAlias = Test | WhereNot | WhereAnd | WhereOr

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""What each `Comparison.operator` means, for values and for column expressions alike."""

_LEXER = re.compile(
    r"""(?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w]))
      | (?P<symbol><=|>=|<>|!=|[=<>(),])
      | (?P<word>\w[\w-]*)""",
    re.VERBOSE,
)
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # 'string', 'quoted', 'number', 'symbol', 'word', 'end'
    text: str
    position: int

    @property
    def lower(self) -> str:
        return self.text.casefold() if self.kind in {"word", "symbol"} else ""


def parse_where(text: str, columns: Mapping[str, type], labels: Sequence[str] = ()) -> Where:
    """Parse a condition on the images' recorded properties and stored labels.

    Args:
        text: For example `partition = 'test' and (width >= 100 or Smiling = present)`.
        columns: The columns that may be named, each with the type of its values: int, float, str or datetime.
        labels: Names of the stored labels; a column of the same name comes first.

    Raises:
        QuerySyntaxError: the text is empty, does not parse, names another column or
            compares a column with a value of another type; carries the position.
    """
    return _Parser(text, columns, labels).parse()


class _Parser:
    def __init__(self, text: str, columns: Mapping[str, type], labels: Sequence[str]) -> None:
        self._text = text
        self._columns = {normalise_name(name): (name, kind) for name, kind in columns.items()}
        self._labels = LabelNames(labels)
        self._tokens = self._tokenise()
        self._next = 0
        self._depth = 0
        self._tests = 0

    def parse(self) -> Where:
        if self._token.kind == "end":
            raise self._error("an empty condition: expected a test, as in partition = 'test'")
        node = self._disjunction()
        if self._token.kind != "end":
            raise self._error(f"expected and, or or the end, found {self._token.text!r}")
        return node

    def _disjunction(self) -> Where:
        parts = [self._conjunction()]
        while self._accept("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else WhereOr(tuple(parts))

    def _conjunction(self) -> Where:
        parts = [self._factor()]
        while self._accept("and"):
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else WhereAnd(tuple(parts))

    def _factor(self) -> Where:
        negate = False
        while self._accept("not"):
            negate = not negate
        node = self._group() if self._token.lower == "(" else self._test()
        return _opposite(node) if negate else node

    def _group(self) -> Where:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses inside each other: write it flatter")
        self._next += 1
        node = self._disjunction()
        self._expect(")", "a closing parenthesis")
        self._depth -= 1
        return node

    def _test(self) -> Where:
        token = self._token
        self._tests += 1
        if self._tests > MAX_TESTS:
            raise self._error(f"more than {MAX_TESTS} tests in one condition: use in (…), or split the query")
        if token.kind not in {"word", "quoted"}:
            raise self._error(f"expected a column or a label, found {_found(token)}")
        self._next += 1
        name = token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')
        column = self._columns.get(normalise_name(name))
        if column is None:
            return self._label_test(name, token)
        return self._column_test(*column)

    def _column_test(self, column: str, kind: type) -> Where:
        if self._accept("is"):
            negate = self._accept("not")
            self._expect("null", "null")
            return _opposite(IsNull(column)) if negate else IsNull(column)
        negate = self._accept("not")
        node: Where
        if self._accept("in"):
            node = Membership(column, self._values(column, kind))
        elif self._accept("like"):
            node = Like(column, self._pattern(column, kind))
        elif negate:
            raise self._error(f"expected in or like after not, found {_found(self._token)}")
        else:
            sign = self._sign(column)
            node = Comparison(column, sign.replace("!=", "="), self._value(column, kind))
            negate = sign == "!="
        return _opposite(node) if negate else node

    def _label_test(self, name: str, token: _Token) -> Where:
        try:
            label = self._labels.find(name)
        except UnknownLabelError:
            known = [column for column, _ in self._columns.values()]
            near = nearest_names(name, [*known, *self._labels.names])
            hint = f"did you mean {', '.join(near)}?" if near else f"columns are {', '.join(known)}"
            raise self._error(f"no column or label {name!r}; {hint}", token) from None
        except QueryError as error:
            raise self._error(str(error), token) from None
        sign = self._sign(label)
        value = self._token
        if sign not in {"=", "!="} or value.lower not in STORED:
            at = value if sign in {"=", "!="} else self._tokens[self._next - 1]
            raise self._error(f"expected {label} = present, absent or unknown, found {_found(at)}", at)
        self._next += 1
        node = LabelIs(label, STORED[value.lower])
        return node if sign == "=" else _opposite(node)

    def _sign(self, name: str) -> str:
        token = self._token
        if token.lower in {"<>", "!="} or token.lower in COMPARISONS:
            self._next += 1
            return token.lower.replace("<>", "!=")
        raise self._error(f"expected a comparison after {name}, as in {name} = …, found {_found(token)}")

    def _values(self, column: str, kind: type) -> tuple[Value, ...]:
        self._expect("(", "an opening parenthesis after in")
        values = [self._value(column, kind)]
        while self._accept(","):
            values.append(self._value(column, kind))
            if len(values) > MAX_VALUES:
                raise self._error(f"more than {MAX_VALUES} values in one list: split the query")
        self._expect(")", "a comma or a closing parenthesis")
        return tuple(values)

    def _pattern(self, column: str, kind: type) -> str:
        if kind is not str:
            raise self._error(f"like needs a column of text, and {column} holds numbers")
        token = self._token
        pattern = str(self._value(column, kind))
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise self._error("a pattern must not end with a single backslash", token)
        return pattern

    def _value(self, column: str, kind: type) -> Value:
        token = self._token
        quoted = kind in {str, dt.datetime}
        wanted = "text in single quotes" if quoted else "a number"
        if token.kind != ("string" if quoted else "number"):
            raise self._error(f"expected {wanted} for {column}, found {_found(token)}")
        self._next += 1
        if quoted:
            text = token.text[1:-1].replace("''", "'")
            return text if kind is str else self._time(text, token)
        number = float(token.text)
        if abs(number) >= _INT64:
            raise self._error(f"{token.text} is beyond the numbers a store holds", token)
        if kind is int and re.fullmatch(r"[+-]?\d+", token.text):
            return int(token.text)
        return number

    def _time(self, text: str, token: _Token) -> dt.datetime:
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            raise self._error(
                f"expected a time such as '2026-01-31T12:00', found {token.text}", token
            ) from None
        # Stores keep UTC without a zone.
        return time.astimezone(dt.UTC).replace(tzinfo=None) if time.tzinfo else time

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, text: str) -> bool:
        if self._token.lower != text:
            return False
        self._next += 1
        return True

    def _expect(self, text: str, what: str) -> None:
        if not self._accept(text):
            raise self._error(f"expected {what}, found {_found(self._token)}")

    def _error(self, message: str, token: _Token | None = None) -> QuerySyntaxError:
        return QuerySyntaxError(message, text=self._text, position=(token or self._token).position)

    def _tokenise(self) -> list[_Token]:
        text, tokens, position = self._text, list[_Token](), 0
        while True:
            while position < len(text) and text[position].isspace():
                position += 1
            if position == len(text):
                tokens.append(_Token("end", "", position))
                return tokens
            match = _LEXER.match(text, position)
            if match is None:
                found = text[position]
                message = "a quotation without its end" if found in "'\"" else f"unexpected {found!r}"
                raise QuerySyntaxError(message, text=text, position=position)
            if "\0" in match.group() or not _encodable(match.group()):
                raise QuerySyntaxError("text no database can hold", text=text, position=position)
            tokens.append(_Token(str(match.lastgroup), match.group(), position))
            position = match.end()


def _opposite(node: Where) -> Where:
    return node.child if isinstance(node, WhereNot) else WhereNot(node)


def _found(token: _Token) -> str:
    return "the end" if token.kind == "end" else token.text


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, from undecodable bytes on the command line
        return False
    return True
