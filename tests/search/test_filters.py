import datetime as dt
import fnmatch
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    insert,
    select,
)

from olrsearch.core.errors import QueryError
from olrsearch.search.filters import allowed_rows, column_types, compile_where
from olrsearch.search.query.where import (
    COMPARISONS,
    Comparison,
    IsNull,
    LabelIs,
    Like,
    Membership,
    WhereAnd,
    WhereNot,
    WhereOr,
    parse_where,
)
from olrsearch.store.read.columns import FILTER_COLUMNS

IMAGE = Table(
    "image",
    MetaData(),
    Column("id", BigInteger, primary_key=True),
    Column("key", Text),
    Column("partition", Text),
    Column("identity", BigInteger),
    Column("width", Integer),
    Column("created_at", DateTime),
)
COLUMNS = {name: IMAGE.c[name] for name in ("key", "partition", "identity", "width", "created_at")}
LABELS = ("Smiling", "Male")
ROWS = [
    {
        "id": number * 3,
        "key": f"{number:03d}{'.JPG' if number % 2 else '.jpg'}",
        "partition": (None, "train", "val", "test")[number % 4],
        "identity": None if number % 5 == 0 else number % 7,
        "width": 50 + number,
        "created_at": dt.datetime.fromisoformat(f"2026-01-{1 + number % 20:02d}"),
    }
    for number in range(60)
]
IDS = np.array([row["id"] for row in ROWS])[::-1].copy()
STORED = np.random.default_rng(0).integers(-1, 2, (60, 2)).astype(np.int8)


@pytest.fixture(scope="module")
def select_ids():
    engine = create_engine("sqlite://")
    IMAGE.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(IMAGE), ROWS)
    statements = []

    def run(condition):
        statement = select(IMAGE.c.id).where(condition)
        statements.append(statement)
        with engine.connect() as connection:
            return np.fromiter(connection.scalars(statement), np.int64)

    run.statements = statements
    yield run
    engine.dispose()


def holds(node, row, labels):
    """The plain meaning of a condition for one image."""
    if isinstance(node, WhereNot):
        return not holds(node.child, row, labels)
    if isinstance(node, WhereAnd):
        return all(holds(child, row, labels) for child in node.children)
    if isinstance(node, WhereOr):
        return any(holds(child, row, labels) for child in node.children)
    if isinstance(node, LabelIs):
        return labels[LABELS.index(node.label)] == node.value
    value = row[node.column]
    if isinstance(node, IsNull):
        return value is None
    if value is None:
        return False
    if isinstance(node, Membership):
        return value in node.values
    if isinstance(node, Like):
        pattern = fnmatch.translate(node.pattern.replace("%", "*").replace("_", "?"))
        return re.match(pattern, value, re.IGNORECASE) is not None
    return COMPARISONS[node.operator](value, node.value)


tests = st.one_of(
    st.builds(
        Comparison,
        st.sampled_from(["identity", "width"]),
        st.sampled_from(list(COMPARISONS)),
        st.integers(-3, 120),
    ),
    st.builds(
        Comparison,
        st.just("partition"),
        st.sampled_from(["=", "<", ">="]),
        st.sampled_from(["train", "test", "x'"]),
    ),
    st.builds(Comparison, st.just("width"), st.just("<"), st.floats(40, 120)),
    st.builds(
        Membership,
        st.just("identity"),
        st.lists(st.one_of(st.integers(0, 8), st.just(2.5)), min_size=1).map(tuple),
    ),
    st.builds(Like, st.just("key"), st.sampled_from(["0%", "%.jpg", "_1_.JPG", "%", "01"])),
    st.builds(IsNull, st.sampled_from(["partition", "identity", "width"])),
    st.builds(LabelIs, st.sampled_from(LABELS), st.sampled_from([-1, 0, 1])),
)
trees = st.recursive(
    tests,
    lambda inner: st.one_of(
        inner.map(WhereNot),
        st.lists(inner, min_size=2, max_size=3).map(lambda c: WhereAnd(tuple(c))),
        st.lists(inner, min_size=2, max_size=3).map(lambda c: WhereOr(tuple(c))),
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(trees)
def test_any_condition_means_what_it_says(select_ids, node):
    found = selected(node, select_ids)
    by_id = {row["id"]: row for row in ROWS}
    expected = [
        holds(node, by_id[image], labels) for image, labels in zip(IDS.tolist(), STORED.tolist(), strict=True)
    ]
    assert found.tolist() == expected


def selected(node, select_ids, stored=STORED):
    by_id = {row["id"]: row for row in ROWS}
    return allowed_rows(
        node,
        IDS,
        columns=COLUMNS,
        select_ids=select_ids,
        texts=lambda column: np.array([by_id[image][column] or "" for image in IDS.tolist()], np.str_),
        stored=stored,
        label_names=LABELS,
    )


def ids_of(text, select_ids):
    node = parse_where(text, column_types(COLUMNS), LABELS)
    mask = selected(node, select_ids)
    return {image // 3 for image in IDS[mask].tolist()}


def test_not_and_unequal_are_opposites_even_where_nothing_is_stored(select_ids):
    test = ids_of("partition = 'test'", select_ids)
    assert test == {number for number in range(60) if number % 4 == 3}
    assert (
        ids_of("partition != 'test'", select_ids)
        == ids_of("not partition = 'test'", select_ids)
        == set(range(60)) - test
    )


def test_like_ignores_case_and_knows_escapes(select_ids):
    assert ids_of("key like '01_.jpg'", select_ids) == set(range(10, 20))
    assert ids_of(r"key like '01\_.jpg'", select_ids) == set()


def test_times_and_labels(select_ids):
    assert ids_of("created_at < '2026-01-03'", select_ids) == {n for n in range(60) if n % 20 < 2}
    smiling = {int(image) // 3 for image, row in zip(IDS, STORED, strict=True) if row[0] == 1}
    assert ids_of("smiling = present and width < 90 and key like '0%'", select_ids) == {
        n for n in smiling if n < 40
    }


def test_no_text_of_the_users_reaches_the_statement(select_ids):
    select_ids.statements.clear()
    ids_of("key = 'x'' or 1=1 --' or partition in ('a;b') or key = 'q''%'", select_ids)
    text = str(select_ids.statements[0])
    assert len(select_ids.statements) == 1
    assert not any(part in text for part in ("1=1", "a;b", "q'"))
    assert ids_of("key = 'x'' or 1=1 --'", select_ids) == set()


def test_the_stores_columns_compile():
    text = (
        "dataset = 'celeba' and width > 3 and created_at > '2026-01-01' "
        "and uri > '%.jpg' and identity is null"
    )
    node = parse_where(text, column_types(FILTER_COLUMNS))
    assert "celeba" not in str(compile_where(node, FILTER_COLUMNS))


def test_errors(select_ids):
    with pytest.raises(QueryError, match="filter by rows"):
        compile_where(LabelIs("Smiling", 1), COLUMNS)
    with pytest.raises(QueryError, match="no column 'secret'"):
        compile_where(Comparison("secret", "=", 1), COLUMNS)
    with pytest.raises(QueryError, match="import labels"):
        selected(LabelIs("Smiling", 1), select_ids, stored=None)
    with pytest.raises(QueryError, match="filter by rows"):
        compile_where(Like("key", "a"), COLUMNS)


def test_the_longest_condition_is_still_answered(select_ids):
    text = " or ".join(f"not (width = {number} and partition is null)" for number in range(200))
    assert ids_of(text, select_ids) == set(range(60))
    assert ids_of("identity in (" + ",".join(map(str, range(10_000))) + ")", select_ids) == {
        n for n in range(60) if n % 5
    }
