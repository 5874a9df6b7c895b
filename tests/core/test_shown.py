"""Text of users in messages: one line, and short."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.core.errors import OlrsearchError, UnknownLabelError
from olrsearch.core.names import nearest_names, unfit_character
from olrsearch.core.shown import escaped, one_line, shown


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("写真\u3000👩\u200d👧\u202f.png", "写真\u3000👩\u200d👧\u202f.png"),
        ("a\nb", r"a\x0ab"),
        ("a\u2028b", r"a\u2028b"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\udcff", r"a\xff"),
        ("\ud800", r"\ud800"),
    ],
)
def test_any_name_can_be_shown(name, written):
    assert escaped(name) == written


@given(st.text())
def test_a_shown_name_is_one_line_of_text(name):
    assert unfit_character(escaped(name)) is None
    assert len(escaped(name).encode().decode().splitlines()) <= 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("Smiling", "'Smiling'"),
        ("two\nlines", r"'two\nlines'"),
        ("x" * 1_000_000, "'" + "x" * 80 + "…' (1,000,000 characters)"),
        (2.5, "2.5"),
        (None, "None"),
        ([1, 2], "[1, 2]"),
        (list(range(1000)), "a list, [0, 1, 2, 3"),
        (np.zeros((2, 3)), "an array of shape (2, 3)"),
        pytest.param(10**5000, "a int", id="too long a number"),
    ],
)
def test_what_was_found_is_shown_shortly(found, said):
    assert shown(found).startswith(said)
    assert len(shown(found)) < 130


@given(st.text(max_size=50), st.integers(1, 200))
def test_a_message_is_one_line_and_keeps_both_ends(text, times):
    message = str(OlrsearchError(f"found {text * times}: run olrsearch store verify"))
    assert unfit_character(message) is None
    assert len(message) < 2_100
    assert message.startswith("found")
    assert message.endswith(": run olrsearch store verify")


def test_messages_of_others_lose_their_line_breaks():
    assert one_line("no such table\n  [SQL: SELECT 1]\n") == "no such table [SQL: SELECT 1]"


def test_a_name_of_a_million_characters_is_answered_at_once_and_shortly():
    name = "smile" * 200_000
    assert nearest_names(name, ["Smiling"]) == ()
    assert nearest_names("smile", ["Smiling" + "x" * 1_000_000]) == ("Smiling" + "x" * 1_000_000,)
    assert len(str(UnknownLabelError(name, ()))) < 300
