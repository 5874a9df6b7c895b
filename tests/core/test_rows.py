"""Answers that are rows: sequences, tables, and what notebooks show."""

from __future__ import annotations

import datetime as dt
import pickle
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from olrsearch.core.errors import OptionalDependencyError, StoreError
from olrsearch.core.label_values import as_json
from olrsearch.core.rows import SHOWN_ROWS, Rows

if TYPE_CHECKING:
    from olrsearch.core.label_values import LabelValue


@dataclass(frozen=True, slots=True)
class Row:
    image_id: int | None
    key: str
    given: LabelValue
    both: tuple[LabelValue, LabelValue] = (1, -1)
    when: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer(Rows[Row]):
    ROWS: ClassVar[str] = "rows"

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    thumbnails: Any = field(default=None, repr=False, compare=False)


ANSWER = Answer(tuple(Row(number, f"{number}.jpg", number - 1) for number in range(3)))


def test_it_is_a_sequence():
    assert (len(ANSWER), ANSWER[0].key, ANSWER[-1].key) == (3, "0.jpg", "2.jpg")
    assert list(ANSWER) == list(ANSWER.rows)
    assert ANSWER[np.int64(1)] is ANSWER.rows[1]
    assert ANSWER[1:] == Answer(ANSWER.rows[1:])
    assert list(reversed(ANSWER)) == list(ANSWER.rows[::-1])
    assert ANSWER.rows[1] in ANSWER
    with pytest.raises(IndexError):
        ANSWER[3]


def test_label_values_are_words_as_json():
    assert [row["given"] for row in ANSWER.to_dicts()] == ["absent", "unknown", "present"]
    row = as_json(Row(1, "a", 0, when=dt.datetime.fromisoformat("2026-01-31T12:00")))
    assert (row["both"], row["when"]) == (["present", "absent"], "2026-01-31T12:00:00")


def test_it_is_a_table_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = ANSWER.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert table["key"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert list(table.columns) == ["image_id", "key", "given", "both", "when"]


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OptionalDependencyError, match=r"olrsearch\[pandas\]"):
        ANSWER.to_pandas()


def test_notebooks_show_pictures_and_escape_text():
    bad = Row(7, "<script>\n&", 1)
    rows = (bad, Row(None, "b", 0))
    page = Answer(rows, ("<note>",), lambda ids: dict.fromkeys(ids, b"jpeg"))._repr_html_()
    assert page.count("data:image/jpeg;base64,anBlZw==") == 1
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;note&gt;" in page
    assert "\n" not in page


def test_notebooks_show_so_many_rows_and_so_much_text():
    many = Answer(tuple(Row(number, "x" * 10_000, 1) for number in range(300)), (), lambda _: {1: b"a"})
    page = many._repr_html_()
    assert page.count("<tr>") == SHOWN_ROWS + 1
    assert "… and 250 more" in page
    assert len(page) < 60_000


def test_a_store_that_is_gone_costs_the_pictures_alone():
    def gone(ids):
        raise StoreError(f"no store for {ids}")

    assert "1.jpg" in Answer(ANSWER.rows, (), gone)._repr_html_()
    assert "0 rows" in Answer(())._repr_html_()


def test_it_can_be_sent_elsewhere():
    assert pickle.loads(pickle.dumps(ANSWER)) == ANSWER
