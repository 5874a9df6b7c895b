"""Patterns: the same everywhere, whatever the script, and never slow."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.search.query.like import alike


def fits(pattern, *texts):
    return alike(pattern, np.array(texts, np.str_)).tolist()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%ÄRGER%", "der ärger.jpg"),
        ("УЛЫБКА_.jpg", "улыбка1.JPG"),
        ("%Σ", "ΟΔΟΣ"),
        ("%ς", "ΟΔΟΣ"),
        ("caf\u00e9%", "CAFE\u0301.png"),
        ("caf_.png", "cafe\u0301.png"),
        ("笑_", "笑顔"),
        (r"100\%\_\\", "100%_\\"),
        ("a%b", "a\nb"),
        ("%", "x"),
        ("a%%c", "abc"),
    ],
)
def test_fits(pattern, text):
    assert fits(pattern, text) == [True]


def test_does_not_fit():
    assert fits("a_c", "ac", "abbc", "", "xabc") == [False] * 4
    assert fits("%", "") == [False]
    assert fits("ab%ba", "aba", "abba") == [False, True]
    assert fits("a.c", "abc") == [False]


@given(st.text("ab%_", max_size=8), st.text("ab", min_size=1, max_size=8))
def test_means_what_sql_says(pattern, text):
    plain = "".join({"%": ".*", "_": "."}.get(one, one) for one in pattern)
    assert fits(pattern, text) == [re.fullmatch(plain, text) is not None]


def test_many_wildcards_take_no_time():
    assert fits("%a" * 200 + "%b", "a" * 5_000) == [False]
