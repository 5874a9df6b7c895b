"""The editing language."""

import pytest

from olrsearch.core.errors import QueryError, QuerySyntaxError, UnknownLabelError
from olrsearch.search.query.edits import Edit, parse_edits, resolve_edits, spell_edits

LABELS = ("Smiling", "Eyeglasses", "Wavy_Hair", "5_o_Clock_Shadow", "a^b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+Smiling", [("Smiling", True, 1)]),
        (
            "+Smiling -Eyeglasses +Chubby^1.5",
            [("Smiling", True, 1), ("Eyeglasses", False, 1), ("Chubby", True, 1.5)],
        ),
        (["+wavy hair", "!Eyeglasses^.5"], [("wavy hair", True, 1), ("Eyeglasses", False, 0.5)]),
        ("+Smiling,-Eyeglasses", [("Smiling", True, 1), ("Eyeglasses", False, 1)]),
        ("+5-o-clock-shadow −Wavy-Hair^1e0", [("5-o-clock-shadow", True, 1), ("Wavy-Hair", False, 1)]),
        ('+"a^b"^2 + Smiling', [("a^b", True, 2), ("Smiling", True, 1)]),
    ],
)
def test_edits_are_read(text, expected):
    assert parse_edits(text) == tuple(Edit(*fields) for fields in expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing to edit"),
        (" , ", "an edit begins with"),
        ("Smiling", "begins with \\+ to add a label or - to remove it, found 'Smiling'"),
        ("+", "expected a label after the sign"),
        ("+ -Smiling", "expected a label after the sign"),
        ("++Smiling", "expected a label after the sign"),
        ("+^2", "expected a label after the sign"),
        ('+""', "empty name"),
        ('+"Smiling', "closing quote"),
        ("+Smi%ling", "double quotes"),
        ("+Smiling^", "a number such as 1.5, found nothing"),
        ("+Smiling^much", "a number such as 1.5, found 'much'"),
        ("+Smiling^nan", "a number such as 1.5, found 'nan'"),
        ("+Smiling^inf", "a number such as 1.5, found 'inf'"),
        ("+Smiling^0", "leave the label out"),
        ("+Smiling^-1", "- in the place of \\+ removes"),
        ("+Smiling^1e9", "up to 10, found 1000000000.0"),
        ("+Smiling^1e999", "up to 10, found inf"),
        ("+a " * 1001, "more than 1,000 edits"),
    ],
)
def test_what_is_no_edit_is_refused(text, said):
    with pytest.raises(QuerySyntaxError, match=said):
        parse_edits(text)


def test_names_are_found_in_any_spelling():
    edits = resolve_edits(parse_edits("+SMILING -wavy hair^2 +5-o-clock shadow"), LABELS)
    assert spell_edits(edits) == "+Smiling -Wavy_Hair^2 +5_o_Clock_Shadow"
    assert parse_edits(spell_edits(resolve_edits([Edit("a^b", added=True)], LABELS))) == (
        Edit("a^b", added=True),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("+Smiling -smiling", "Smiling is both added and removed"),
        ("+Smiling +smiling^2", "Smiling is added twice: give it one strength, as in \\+Smiling\\^1.5"),
        ("+Smile", "unknown label 'Smile'; did you mean Smiling"),
    ],
)
def test_what_contradicts_or_is_unknown_is_refused(text, said):
    with pytest.raises(QueryError, match=said):
        resolve_edits(parse_edits(text), LABELS)


def test_an_unknown_name_says_what_to_write_instead():
    with pytest.raises(UnknownLabelError, match="as a word it means that"):
        resolve_edits(parse_edits("+woman"), LABELS, instead=lambda _: "as a word it means that")


@pytest.mark.parametrize("strength", [0, -1, float("nan"), float("inf"), 11])
def test_strengths_of_programs_are_checked_too(strength):
    with pytest.raises(QueryError, match="the strength of Smiling is a number above 0"):
        resolve_edits([Edit("Smiling", added=True, strength=strength)], LABELS)
