"""The languages of queries: attributes, conditions (`--where`), names of labels, sets of words, edits."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import create_engine, insert, select
from sqlalchemy.pool import StaticPool

from olrsearch.core.names import LabelNames
from olrsearch.encoders.words.understanding import Understanding
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.search.filters import allowed_rows, column_types
from olrsearch.search.query.ast import canonical, quote_name, resolve_names
from olrsearch.search.query.edits import parse_edits, resolve_edits, spell_edits
from olrsearch.search.query.evaluate import evaluate
from olrsearch.search.query.parser import parse
from olrsearch.search.query.where import parse_where
from olrsearch.search.word_terms import parse_words, query_of, resolve_words
from olrsearch.store.read.columns import FILTER_COLUMNS, with_source
from olrsearch.store.sql import schema
from olrsearch_benchmarks.fuzzing.harness import Parser
from olrsearch_benchmarks.fuzzing.making import ODD_NUMBERS, ODD_TEXT, changed_text, joined, repeated

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from numpy.typing import NDArray
    from sqlalchemy import ColumnElement, Connection

    from olrsearch.core.arrays import I64

LABELS: Final = (
    "Smiling",
    "Male",
    "Wavy_Hair",
    "5_o_Clock_Shadow",
    "No_Beard",
    "width",
    "not",
    "Rock & Roll",
    'say "cheese"',
    "笑顔",
    "Straße",
)
"""Of several words, named like a column or an operator, with signs in them, of other scripts."""

_QUERY_PIECES: Final = (
    *LABELS,
    *('"Wavy_Hair"', '""', '"', "&", "|", "!", ",", "(", ")", "^", "and", "or", "NOT", "^2", "^0.5", "^-1"),
    *ODD_NUMBERS,
)
_EDIT_PIECES: Final = (*_QUERY_PIECES, "+", "-", "\N{MINUS SIGN}", "^1.5", " ")
_TIMES: Final = (
    *("2026-01-31", "2024-02-29", "2023-02-29", "0000-01-01", "0001-01-01", "9999-12-31", "10000-01-01"),
    *("2026-01-31T12:00", "2026-01-31T24:00", "2026-01-31 12:00:00.123456789", "20260131", "2026-W05-6"),
    *("0001-01-01T00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-31T12:00Z", "2026-01-31T12:00+99:99"),
    *("2026-06-30T23:59:60", "٢٠٢٦-٠١-٣١", "-2026-01-31", "T", ""),
)
_CONDITION_PIECES: Final = (
    *FILTER_COLUMNS,
    *LABELS,
    *('"Rock & Roll"', "=", "!=", "<>", "<", "<=", ">", ">=", "in", "like", "is", "not", "null", "and", "or"),
    *("(", ")", ",", "present", "absent", "unknown", "'test'", "''", "'%'", "'_\\'", "'", '"', ";", "--"),
    *(f"'{time}'" for time in _TIMES),
    *ODD_NUMBERS,
)
_TIMES_OVER: Final = (10, 63, 64, 65, 400, 401, 2_000, 20_000, 1_000_000)


def _make(good: Callable[[Random], str], pieces: tuple[str, ...]) -> Callable[[Random], str]:
    """A maker of text: good text, the same changed, pieces in any order, or, seldom, one piece very often."""

    def make(random: Random) -> str:
        how = random.random()
        if how < 0.35:
            return good(random)
        if how < 0.7:
            return changed_text(random, good(random))
        if how < 0.998:
            return joined(random, pieces)
        return repeated(random, (*pieces, *ODD_TEXT), _TIMES_OVER)

    return make


def _query(random: Random, depth: int = 0) -> str:
    """A query as the grammar has it."""
    how = random.random()
    if depth < 4 and how < 0.4:
        parts = [_query(random, depth + 1) for _ in range(random.randint(2, 4))]
        return random.choice((" & ", ", ", " and ", "|", " OR ")).join(parts)
    if depth < 4 and how < 0.5:
        return f"{random.choice(('', '!', 'not '))}({_query(random, depth + 1)}){_weight(random)}"
    return random.choice(("", "", "!", "!!", "not ")) + _name(random) + _weight(random)


def _words(random: Random) -> str:
    """A set of words: no groups, no alternatives."""
    parts = [random.choice(("", "!")) + _name(random) + _weight(random) for _ in range(random.randint(1, 4))]
    return random.choice((" & ", ", ")).join(parts)


def _edits(random: Random) -> str:
    """Labels to add and to remove."""
    strengths = ("", "", "^1.5", "^0", "^10", "^10.1", "^-1", "^nan")
    parts = [
        random.choice("+-!") + _name(random) + random.choice(strengths) for _ in range(random.randint(1, 4))
    ]
    return random.choice((" ", ", ", "")).join(parts)


def _name(random: Random) -> str:
    """A label in one of its spellings, in quotes where it needs them."""
    name = random.choice(LABELS)
    spelt = quote_name(random.choice((name, name.upper(), name.replace("_", " "), name.replace("_", "-"))))
    return spelt if random.random() < 0.95 else f'"{name}x"'


def _weight(random: Random) -> str:
    return random.choice(("", "", "", "^2", "^.5", "^1e3", "^1e-300"))


def _condition(random: Random, depth: int = 0) -> str:
    """A condition as the grammar has it; its values are often at the edge of what a column holds."""
    how = random.random()
    if depth < 3 and how < 0.3:
        parts = [_condition(random, depth + 1) for _ in range(random.randint(2, 3))]
        return random.choice((" and ", " OR ")).join(parts)
    if depth < 3 and how < 0.4:
        return f"{random.choice(('', 'not '))}({_condition(random, depth + 1)})"
    if how < 0.6:
        sign, value = random.choice(("=", "!=", "<>")), random.choice(("present", "absent", "unknown"))
        return f"{quote_name(random.choice(LABELS))} {sign} {value}"
    column, kind = random.choice(list(column_types(FILTER_COLUMNS).items()))
    values = [_value(random, kind) for _ in range(random.randint(1, 3))]
    if len(values) > 1:
        return f"{column} {random.choice(('', 'not '))}in ({', '.join(values)})"
    signs = ("=", "!=", "<", "<=", ">", ">=", *(("like", "not like") if kind is str else ()))
    return random.choice((f"{column} {random.choice(signs)} {values[0]}", f"{column} is null"))


def _value(random: Random, kind: type) -> str:
    if kind is dt.datetime:
        return f"'{random.choice(_TIMES)}'"
    if kind is str:
        pieces = ("train", "test", "faces", "3.jpg", "a\\\\", "%", "_", "\\%", *ODD_TEXT)
        return "'" + joined(random, pieces, 3).replace("'", "''") + "'"
    return str(random.randint(-2, 400)) if random.random() < 0.5 else random.choice(ODD_NUMBERS)


def _make_name(random: Random) -> str:
    """A label's name, misspelt; now and then a very long one."""
    if random.random() < 0.001:
        return random.choice(LABELS) * random.choice((100, 1_000, 100_000))
    return changed_text(random, random.choice(LABELS))


def _read_query(text: str) -> None:
    """Parse a query, spell it, parse that, and compute its value for two images."""
    node = parse(text)
    if parse(canonical(node)) != node:
        raise AssertionError(f"{canonical(node)!r} is another query")
    chances = np.log(np.array([0.25, 1.0]))
    values, _ = evaluate(resolve_names(node, LABELS), lambda _, negate: chances[::-1] if negate else chances)
    if np.isnan(values).any():
        raise AssertionError("a value that is no number")


def _read_condition(text: str) -> None:
    """Parse a condition and ask a database for it."""
    connection, ids = _gallery()
    node = parse_where(text, column_types(FILTER_COLUMNS), LABELS)
    stored = np.resize(np.array([-1, 0, 1], np.int8), (len(ids), len(LABELS)))

    def select_ids(condition: ColumnElement[bool]) -> I64:
        statement = with_source(select(schema.image.c.id)).where(condition)
        return np.array(connection.scalars(statement).all(), np.int64)

    def texts(column: str) -> NDArray[np.str_]:
        statement = with_source(select(FILTER_COLUMNS[column])).order_by(schema.image.c.id)
        return np.array([value or "" for value in connection.scalars(statement)], np.str_)

    allowed_rows(
        node,
        ids,
        columns=FILTER_COLUMNS,
        select_ids=select_ids,
        texts=texts,
        stored=stored,
        label_names=LABELS,
    )


def _read_name(text: str) -> None:
    LabelNames(LABELS).position(text)


def _read_words(text: str) -> None:
    """Parse a set of words and look each up in an encoder's vocabulary."""
    canonical(query_of(resolve_words(parse_words(text), _VOCABULARY, _UNDERSTANDING)[0]))


def _read_edits(text: str) -> None:
    """Parse edits, find their labels, spell them and parse that."""
    edits = resolve_edits(parse_edits(text), LABELS)
    if parse_edits(spell_edits(edits)) != edits:
        raise AssertionError(f"{spell_edits(edits)!r} is another edit")


_VOCABULARY: Final = Vocabulary.one_hot(LABELS)
_UNDERSTANDING: Final = Understanding(LABELS, vectors=None)


@cache
def _gallery() -> tuple[Connection, I64]:
    """Six images in a database in memory, and their ids."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    schema.metadata.create_all(engine)
    connection = engine.connect()
    made = dt.datetime.fromisoformat("2026-01-31T12:00")
    connection.execute(
        insert(schema.dataset), {"id": 1, "name": "faces", "kind": "folder", "root": "/", "created_at": made}
    )
    ids = np.arange(1, 7, dtype=np.int64)
    for number in ids.tolist():
        connection.execute(
            insert(schema.source),
            {
                "id": number,
                "dataset_id": 1,
                "uri": f"{number}.jpg",
                "sha256": bytes(32),
                "size_bytes": 100 * number,
                "orientation": 1,
                "created_at": made,
            },
        )
        connection.execute(
            insert(schema.image),
            {
                "id": number,
                "source_id": number,
                "dataset_id": 1,
                "key": f"{number}.jpg",
                "partition": (None, "train", "test")[number % 3],
                "identity": None if number % 2 else number,
                "width": 178,
                "height": 218,
                "created_at": made,
            },
        )
    return connection, ids


PARSERS: Final = (
    Parser("queries", _make(_query, _QUERY_PIECES), _read_query),
    Parser("where", _make(_condition, _CONDITION_PIECES), _read_condition),
    Parser("label-names", _make_name, _read_name),
    Parser("word-sets", _make(_words, _QUERY_PIECES), _read_words),
    Parser("edits", _make(_edits, _EDIT_PIECES), _read_edits),
)
