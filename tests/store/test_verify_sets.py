"""Values of the metadata outside their sets."""

from __future__ import annotations

import pytest
from made_stores import fill
from sqlalchemy import text

from olrsearch.store.verify import verify


def execute(store, statement: str) -> None:
    (store.path / "metadata.sums").unlink(missing_ok=True)  # the change is accepted
    with store.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def decided(stores):
    """A store with a decision."""
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        writer.decisions.set([ids[0]], store.snapshot().label_names[0], -1, who="Ann", why="looked")
    assert verify(store).ok
    return store


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("label_override", "verdict", "'foo'", "set, accept, flip, unsure or undo"),
        ("label_override", "value", "9", "-1, 0 or 1"),
        ("label_override", "given", "-3", "-1, 0 or 1"),
        ("label_override", "revision", "99", "a label revision up to the present one"),
        ("image", "partition", "'foo'", "train, val or test"),
        ("image", "cause", "'foo'", "deleted, replaced or gone"),
        ("image", "width", "-5", "1 or more"),
        ("image", "identity", "-7", "a number below 10¹⁸"),
        ("image", "identity", "4611686018427387999", "a number below 10¹⁸"),
        ("source", "orientation", "9", "1, 2, 3, 4, 5, 6, 7 or 8"),
        ("source", "size_bytes", "-1", "1 or more"),
        ("dataset", "kind", "''", "a name on one line"),
        ("person", "name", "'a\tb'", "a name on one line"),
    ],
)
def test_values_outside_their_sets_are_named(decided, table, column, value, expected):
    if table == "person":
        execute(decided, "INSERT INTO person (id, name) VALUES (4611686018427387998, 'Ann')")
    key = {"image": "id", "source": "id"}.get(table)
    one = f" WHERE {key} = (SELECT min({key}) FROM {table})" if key else ""
    execute(decided, f'UPDATE {table} SET "{column}" = {value}{one}')
    found = [problem.message for problem in verify(decided).problems if "expected" in problem.message]
    assert [message for message in found if f"{column} of row " in message and expected in message], found
    assert f" of {table} is " in found[0]


def test_a_label_on_two_lines_is_named(decided):
    execute(decided, "UPDATE label SET name = 'Smi\nling' WHERE position = 0")
    (problem,) = verify(decided).problems
    assert "name of row 0 of label" in problem.message
    assert "\n" not in problem.message


def test_of_many_rows_some_are_named_and_the_others_counted(decided):
    execute(decided, "UPDATE image SET partition = 'foo'")
    messages = [problem.message for problem in verify(decided).problems]
    assert len(messages) == 6
    assert messages[-1].endswith("more rows of image is as wrong")
