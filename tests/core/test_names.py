import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.core.errors import QueryError, UnknownLabelError
from olrsearch.core.names import (
    LabelNames,
    is_storable,
    nearest_names,
    normalise_name,
    path_form,
    unfit_character,
)
from olrsearch.search.query.ast import canonical, resolve_names
from olrsearch.search.query.parser import parse

LABELS = (
    "5_o_Clock_Shadow",
    "Attractive",
    "Eyeglasses",
    "Male",
    "Mouth_Slightly_Open",
    "Smiling",
    "Wavy_Hair",
    "Wearing_Hat",
)


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("SMILING & wavy-hair", "Smiling & Wavy_Hair"),
        ("5 o clock shadow^2 | !wearing hat", "5_o_Clock_Shadow^2 | !Wearing_Hat"),
        ('!("mouth  slightly_open" & male)^2', "!(Mouth_Slightly_Open & Male)^2"),
    ],
)
def test_names_match_whatever_case_and_separator(text, spelt):
    assert canonical(resolve_names(parse(text), LABELS)) == spelt


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("smile", "Smiling"),
        ("hat", "Wearing_Hat"),
        ("glasses", "Eyeglasses"),
        ("wavyhair", "Wavy_Hair"),
        ("mail", "Male"),
    ],
)
def test_unknown_names_get_the_nearest(name, nearest):
    with pytest.raises(UnknownLabelError, match="did you mean") as caught:
        resolve_names(parse(f"male & !{name}"), LABELS)
    assert caught.value.name == name
    assert caught.value.nearest[0] == nearest


def test_nothing_near_gives_no_advice():
    assert nearest_names("zqx", LABELS) == ()
    with pytest.raises(UnknownLabelError, match=r"^unknown label 'zqx'; olrsearch label list shows"):
        LabelNames(LABELS).find("zqx")


def test_exact_spelling_wins_and_anything_else_is_ambiguous():
    names = LabelNames(["big_nose", "Big Nose", "x"])
    assert names.position("Big Nose") == 1
    with pytest.raises(QueryError, match="big_nose or Big Nose"):
        names.find("BIG NOSE")


@given(st.text(max_size=20))
def test_normalising_is_stable(name):
    assert normalise_name(normalise_name(name)) == normalise_name(name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Wavy_Hair", None),
        ("10.00.00\u202fAM.png", None),  # a screenshot of macOS
        ("a\u00a0b\u3000c\u200c\u00add", None),
        ("\U0001f469\u200d\U0001f4bb.jpg", None),
        ("a\nb", "the line break U+000A"),
        ("a\x85b", "the line break U+0085"),
        ("a\u2028b", "the line break U+2028"),
        ("a\tb", "the control character U+0009"),
        ("a\x1b[31m", "the control character U+001B"),
        ("a\0", "the control character U+0000"),
        ("caf\udce9", "a byte that is no UTF-8"),
        ("\ud83d", "half a character (U+D83D)"),
    ],
)
def test_what_no_name_may_hold(text, found):
    assert unfit_character(text) == found


def test_what_databases_hold():
    assert all(is_storable(text) for text in ("", "two\nlines", "\x1b", "\U0001f469"))
    assert not any(is_storable(text) for text in ("\0", "caf\udce9", "\ud83d"))


def test_one_path_has_one_form():
    assert path_form("u\u0308/e.png") == path_form("\u00fc\\e.png") == "\u00fc/e.png"
