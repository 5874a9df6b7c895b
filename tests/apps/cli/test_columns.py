import pytest

from olrsearch.apps.cli.columns import cut, table, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("写真", 4), ("e\u0301", 1), ("ｱｲ", 2), ("ａ", 2), ("👩\u200d🦰", 4), ("", 0)],
)
def test_width(text, columns):
    assert width(text) == columns


def test_columns_stand_below_one_another_in_any_script():
    lines = list(
        table(("image", "n"), [("写真.jpg", "1"), ("e\u0301.jpg", "22"), ("a.jpg", "3")], align="lr")
    )
    assert [width(line) for line in lines] == [12, 12, 12, 12]
    assert lines[1] == "写真.jpg   1"


def test_what_is_too_long_is_cut():
    assert cut("写真写真", 5) == "写真…"
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"


def test_what_is_shown_in_place_of_control_characters_has_its_width():
    assert list(table(("a", "b"), [("x\ny", "1"), ("z", "2")], align="lr")) == [
        "a       b",
        "x\\x0ay  1",
        "z       2",
    ]
