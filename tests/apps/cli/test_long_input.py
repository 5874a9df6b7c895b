"""Very long arguments: one short line, at once."""

import pytest
from command import call

LONG = "bright" * 20_000  # more than a terminal takes would be refused by the system


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", LONG),
        ("search", "bright", "--where", f"partition = '{LONG}'"),
        ("search", "bright", "--space", LONG),
        ("similar", LONG),
        ("similar", "id:1", "--by", LONG),
        ("describe", LONG),
        ("search", "bright", "--sheet", f"{LONG}/x.html"),
    ],
)
def test_the_error_is_one_short_line(gallery, arguments):
    done = call(gallery.store, "-q", *arguments)
    assert done.code == 1
    lines = done.err.strip().splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    assert len(done.err) < 4_000


def test_a_description_says_what_its_numbers_are(gallery):
    done = call(gallery.store, "describe", "id:1")
    assert "its norm: the length of its vector" in done.err
    assert "norm" not in call(gallery.store, "describe", "id:1", "--json").err
