"""Text of a `--where` condition → syntax tree.

```
condition = list { "or" list }
list      = factor { "and" factor }
factor    = { "not" } ( test | "(" condition ")" )
test      = column ("=" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
          | column ["not"] "in" "(" value { "," value } ")"
          | column ["not"] "like" string
          | column "is" ["not"] "null"
          | [ "label:" ] label ("=" | "!=" | "<>") ("present" | "absent" | "unknown")
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
from olrsearch.core.names import LabelNames, is_storable, nearest_names, normalise_name
from olrsearch.core.shown import shown
from olrsearch.search.query.tokens import Token, Tokens, after_spaces, check_length, unexpected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
    r"""`column like pattern`, case ignored: `%` any text, `_` any character, `\` before either: itself.

    See `olrsearch.search.query.like`.
    """

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


def tests_of(node: Where) -> Iterator[Test]:
    """The tests of a condition, from left to right."""
    if isinstance(node, WhereAnd | WhereOr):
        for child in node.children:
            yield from tests_of(child)
    elif isinstance(node, WhereNot):
        yield from tests_of(node.child)
    else:
        yield node


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
      | (?P<prefix>label:)
      | (?P<word>\w[\w-]*)""",
    re.VERBOSE | re.IGNORECASE,
)
_INT64 = 2**63
_KNOWN = "columns are {}, and olrsearch label list shows the labels"


def parse_where(text: str, columns: Mapping[str, type], labels: Sequence[str] = ()) -> Where:
    """Parse a condition on the images' recorded properties and stored labels.

    Args:
        text: For example `partition = 'test' and (width >= 100 or Smiling = present)`.
        columns: The columns that may be named, each with the type of its values: int, float, str or datetime.
        labels: Names of the stored labels. Of a label that is named like a column, `= present`, `= absent` or
            `= unknown` means the label, as `label:` before its name always does.

    Raises:
        QuerySyntaxError: the text is empty, does not parse, names another column or
            compares a column with a value of another type; carries the position.
    """
    tokens = Tokens(text, _tokenise(text))
    if tokens.next.kind == "end":
        raise tokens.fault("an empty condition: expected a test, as in partition = 'test'")
    node = _Parser(tokens, columns, labels).condition()
    if tokens.next.kind != "end":
        raise tokens.fault(f"expected and, or or the end, found {tokens.next.found}")
    return node


class _Parser:
    def __init__(self, tokens: Tokens, columns: Mapping[str, type], labels: Sequence[str]) -> None:
        self._tokens = tokens
        self._columns = {normalise_name(name): (name, kind) for name, kind in columns.items()}
        self._labels = LabelNames(labels)
        self._tests = 0

    def condition(self) -> Where:
        parts = self._tokens.listed(self._list, "or")
        return parts[0] if len(parts) == 1 else WhereOr(tuple(parts))

    def _list(self) -> Where:
        parts = self._tokens.listed(self._factor, "and")
        return parts[0] if len(parts) == 1 else WhereAnd(tuple(parts))

    def _factor(self) -> Where:
        negate = self._tokens.negated()
        node = self._tokens.group(self.condition) if self._tokens.next.sign == "(" else self._test()
        return _opposite(node) if negate else node

    def _test(self) -> Where:
        is_label = self._tokens.accept("label:")
        token = self._tokens.next
        self._tests += 1
        if self._tests > MAX_TESTS:
            raise self._tokens.fault(
                f"more than {MAX_TESTS} tests in one condition: use in (…), or split the query"
            )
        if token.kind not in {"word", "quoted"}:
            wanted = "a label" if is_label else "a column or a label"
            raise self._tokens.fault(f"expected {wanted}, found {token.found}")
        self._tokens.take()
        name = token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')
        column = None if is_label else self._columns.get(normalise_name(name))
        # No value of a column is a bare word.
        if column is None or (self._tokens.after_next.sign in STORED and self._labels.matches(name)):
            return self._label_test(
                name, token, [] if is_label else [name for name, _ in self._columns.values()]
            )
        return self._column_test(*column)

    def _column_test(self, column: str, kind: type) -> Where:
        if self._tokens.accept("is"):
            negate = self._tokens.accept("not")
            self._tokens.expect("null", "null")
            return _opposite(IsNull(column)) if negate else IsNull(column)
        negate = self._tokens.accept("not")
        node: Where
        if self._tokens.accept("in"):
            self._tokens.expect("(", "an opening parenthesis after in")
            column, kind = self._said_by(column, kind)
            node = Membership(column, self._values(column, kind))
        elif self._tokens.accept("like"):
            column, kind = self._said_by(column, kind)
            node = Like(column, self._pattern(column, kind))
        elif negate:
            raise self._tokens.fault(f"expected in or like after not, found {self._tokens.next.found}")
        else:
            sign = self._sign(column)
            said, kind = self._said_by(column, kind)
            value = self._value(said, kind)
            if said != column and isinstance(value, str) and _NUMBER.fullmatch(value):
                said, value = column, int(value)  # a store has such names as numbers
            node = Comparison(said, sign.replace("!=", "="), value)
            negate = sign == "!="
        return _opposite(node) if negate else node

    def _said_by(self, column: str, kind: type) -> tuple[str, type]:
        """The column that a value is of: people are told by numbers or by names."""
        by_name = column == "identity" and self._tokens.next.kind == "string"
        return self._columns.get("person", (column, kind)) if by_name else (column, kind)

    def _label_test(self, name: str, token: Token, columns: Sequence[str]) -> Where:
        """A test of a label; `columns` are what its name might have been meant for."""
        try:
            label = self._labels.find(name)
        except UnknownLabelError:
            what, prefix, known = "column or label", "", _KNOWN.format(", ".join(columns))
            if not columns:
                what, prefix, known = "label", "label:", "olrsearch label list shows the labels"
            near = [f"{prefix}{other}" for other in nearest_names(name, [*columns, *self._labels.names])]
            hint = f"did you mean {', '.join(near)}?" if near else known
            raise self._tokens.fault(f"no {what} {shown(name)}; {hint}", token) from None
        except QueryError as error:
            raise self._tokens.fault(str(error), token) from None
        comparison, sign = self._tokens.next, self._sign(label)
        value = self._tokens.next
        if sign not in {"=", "!="} or value.sign not in STORED:
            at = value if sign in {"=", "!="} else comparison
            raise self._tokens.fault(f"expected {label} = present, absent or unknown, found {at.found}", at)
        self._tokens.take()
        node = LabelIs(label, STORED[value.sign])
        return node if sign == "=" else _opposite(node)

    def _sign(self, name: str) -> str:
        token = self._tokens.next
        if token.sign in {"<>", "!="} or token.sign in COMPARISONS:
            self._tokens.take()
            return token.sign.replace("<>", "!=")
        raise self._tokens.fault(f"expected a comparison after {name}, as in {name} = …, found {token.found}")

    def _values(self, column: str, kind: type) -> tuple[Value, ...]:
        values = [self._value(column, kind)]
        while self._tokens.accept(","):
            values.append(self._value(column, kind))
            if len(values) > MAX_VALUES:
                raise self._tokens.fault(f"more than {MAX_VALUES} values in one list: split the query")
        self._tokens.expect(")", "a comma or a closing parenthesis")
        return tuple(values)

    def _pattern(self, column: str, kind: type) -> str:
        if kind is not str:
            raise self._tokens.fault(f"like needs a column of text, and {column} holds numbers")
        token = self._tokens.next
        pattern = str(self._value(column, kind))
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise self._tokens.fault("a pattern must not end with a single backslash", token)
        return pattern

    def _value(self, column: str, kind: type) -> Value:
        token = self._tokens.next
        quoted = kind in {str, dt.datetime}
        wanted = "text in single quotes" if quoted else "a number"
        if token.kind != ("string" if quoted else "number"):
            raise self._tokens.fault(f"expected {wanted} for {column}, found {token.found}")
        self._tokens.take()
        if quoted:
            text = token.text[1:-1].replace("''", "'")
            return text if kind is str else self._time(text, token)
        number = float(token.text)
        if abs(number) >= _INT64:
            raise self._tokens.fault(f"{shown(token.text)} is beyond the numbers a store holds", token)
        if kind is int and (digits := re.fullmatch(r"([+-]?)0*(\d+)", token.text)):
            return int("".join(digits.groups()))  # leading zeros count against Python's longest number
        return number

    def _time(self, text: str, token: Token) -> dt.datetime:
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            raise self._tokens.fault(
                f"expected a time such as '2026-01-31T12:00', found {token.found}", token
            ) from None
        try:  # Stores keep UTC without a zone.
            return time.astimezone(dt.UTC).replace(tzinfo=None) if time.tzinfo else time
        except OverflowError:
            raise self._tokens.fault(
                f"{token.found} lies outside of the years 1 to 9999 in UTC: leave the zone out", token
            ) from None


_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
"""How a person's number is written; `007` is a name."""


def _tokenise(text: str) -> list[Token]:
    tokens, position = list[Token](), 0
    while (position := after_spaces(text, position)) < len(text):
        match = _LEXER.match(text, position)
        if match is None:
            found = text[position]
            message = "a quotation without its end" if found in "'\"" else unexpected(text, position)
            raise QuerySyntaxError(message, text=text, position=position)
        written, kind = match.group(), str(match.lastgroup)
        if not is_storable(written):
            raise QuerySyntaxError("text no database can hold", text=text, position=position)
        sign = written.casefold() if kind in {"word", "symbol", "prefix"} else ""
        tokens.append(Token(kind, written, position, sign))
        check_length(tokens, text)
        position = match.end()
    return [*tokens, Token("end", "", position)]


def _opposite(node: Where) -> Where:
    return node.child if isinstance(node, WhereNot) else WhereNot(node)
