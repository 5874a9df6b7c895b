import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.core.errors import QuerySyntaxError
from olrsearch.search.query.where import (
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

COLUMNS = {
    "partition": str,
    "identity": int,
    "width": int,
    "key": str,
    "dataset": str,
    "created_at": dt.datetime,
}
LABELS = ("Smiling", "5_o_Clock_Shadow", "Say so", "big_nose", "Big Nose", "width", "label", "मुस्कान")


def test_the_whole_grammar():
    text = """partition = 'test' and (identity in (1,2,3) or width >= 100) and key like '0001%'
              and not dataset = 'it''s'"""
    assert parse_where(text, COLUMNS) == WhereAnd(
        (
            Comparison("partition", "=", "test"),
            WhereOr((Membership("identity", (1, 2, 3)), Comparison("width", ">=", 100))),
            Like("key", "0001%"),
            WhereNot(Comparison("dataset", "=", "it's")),
        )
    )


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("identity IS NULL", IsNull("identity")),
        ("identity is not null", WhereNot(IsNull("identity"))),
        ("partition <> 'x'", WhereNot(Comparison("partition", "=", "x"))),
        ("not partition != 'x'", Comparison("partition", "=", "x")),
        ("KEY not like 'a%'", WhereNot(Like("key", "a%"))),
        ("identity not in (7)", WhereNot(Membership("identity", (7,)))),
        ("width < -2", Comparison("width", "<", -2)),
        ("width <= 2.5", Comparison("width", "<=", 2.5)),
        ("smiling = present", LabelIs("Smiling", 1)),
        ("Smiling != ABSENT", WhereNot(LabelIs("Smiling", -1))),
        ("5_o_Clock_Shadow = unknown", LabelIs("5_o_Clock_Shadow", 0)),
        ('"say so" = present', LabelIs("Say so", 1)),
        (
            "created_at >= '2026-01-31'",
            Comparison("created_at", ">=", dt.datetime.fromisoformat("2026-01-31")),
        ),
        (
            "created_at < '2026-01-31T12:00+02:00'",
            Comparison("created_at", "<", dt.datetime.fromisoformat("2026-01-31T10:00")),
        ),
        ("width = present", LabelIs("width", 1)),
        (
            "WIDTH != absent and width = 3",
            WhereAnd((WhereNot(LabelIs("width", -1)), Comparison("width", "=", 3))),
        ),
        ("label:width = unknown", LabelIs("width", 0)),
        ('Label:"say so" = present', LabelIs("Say so", 1)),
        ("label = present", LabelIs("label", 1)),
        ('"मुस्कान" = present', LabelIs("मुस्कान", 1)),
        ("width = " + "0" * 5_000 + "7", Comparison("width", "=", 7)),
        ("width < -" + "0" * 5_000 + "7", Comparison("width", "<", -7)),
        (
            "created_at < '9999-12-31T23:59:59'",
            Comparison("created_at", "<", dt.datetime.fromisoformat("9999-12-31T23:59:59")),
        ),
        ("created_at > '2024-02-29'", Comparison("created_at", ">", dt.datetime.fromisoformat("2024-02-29"))),
        ("((width = 1))", Comparison("width", "=", 1)),
        (r"key like 'a\%\\'", Like("key", r"a\%\\")),
    ],
)
def test_tests(text, node):
    assert parse_where(text, COLUMNS, LABELS) == node


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "empty condition"),
        ("partition", 9, "expected a comparison after partition"),
        ("partition = 3", 12, "text in single quotes"),
        ("width = 'x'", 8, "a number for width"),
        ("partition = 'a' 'b'", 16, "expected and, or or the end"),
        ("partition = 'a' and", 19, "expected a column or a label"),
        ("partitoin = 'a'", 0, "did you mean partition?"),
        ("zqx = 3", 0, "columns are partition"),
        ("smilling = present", 0, "did you mean Smiling?"),
        ("label:smilling = present", 6, "no label 'smilling'; did you mean label:Smiling?"),
        ("label:keyy = present", 6, "no label 'keyy'; olrsearch label list shows the labels"),
        ("Smiling = 1", 10, "present, absent or unknown"),
        ("Smiling > present", 8, "present, absent or unknown"),
        ("BIG_NOSE = present", 0, "may mean"),
        ("width in ()", 10, "a number"),
        ("width in 3", 9, "opening parenthesis"),
        ("width in (1", 11, "a comma or a closing"),
        ("width like 'a'", 11, "column of text"),
        ("key like 'a\\'", 9, "backslash"),
        ("(width = 1", 10, "closing parenthesis"),
        ("width not = 3", 10, "in or like"),
        ("width is 3", 9, "expected null"),
        ("1 = 1", 0, "expected a column"),
        ("width = 1; drop table image", 9, "unexpected ';'"),
        ("key = 'x", 6, "without its end"),
        ("key = '\0'", 6, "no database"),
        ("key = '\udcff'", 6, "no database"),
        ("width = 99999999999999999999", 8, "beyond"),
        ("created_at > 'soon'", 13, "a time such as"),
        ("created_at > '0000-01-01'", 13, "a time such as"),
        ("created_at > '2023-02-29'", 13, "a time such as"),
        ("created_at > '2026-01-31T12:00+99:99'", 13, "a time such as"),
        ("created_at > '9999-12-31T23:59:59-12:00'", 13, "outside of the years 1 to 9999"),
        ("created_at > '0001-01-01T00:00+14:00'", 13, "outside of the years 1 to 9999"),
        ("created_at > '" + "9" * 5_000 + "'", 13, "(5,002 characters)"),
        ("width = " + "9" * 5_000, 8, "beyond the numbers"),
        ("label:key = 'x'", 6, "no label 'key'"),
        ("label: = present", 7, "expected a label"),
        ("मुस्कान = present", 1, 'double quotes, "मुस्कान"'),
        ("id = 1 and 😀 = present", 11, 'double quotes, "😀"'),
        ("x" * 1_000_000 + " = 3", 0, "(1,000,000 characters)"),
        (" or ".join(["width = 1"] * 401), 5200, "tests"),
        ("(" * 70 + "width = 1" + ")" * 70, 64, "flatter"),
        ("width in (" + "1," * 10001 + "1)", 20011, "split"),
    ],
)
def test_errors_name_the_place(text, position, message):
    with pytest.raises(QuerySyntaxError, match=r"position \d+") as caught:
        parse_where(text, COLUMNS, LABELS)
    assert message in str(caught.value)
    assert caught.value.position == position


@given(st.text(alphabet="width=key'\"()<>!, 12.andorlikeis%\\", max_size=40))
def test_any_text_parses_or_is_a_syntax_error(text):
    position = 0
    try:
        parse_where(text, COLUMNS, LABELS)
    except QuerySyntaxError as error:
        position = error.position
    assert 0 <= position <= len(text)
