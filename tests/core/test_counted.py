"""Numbers of things in messages."""

from __future__ import annotations

from olrsearch.core.counted import counted
from olrsearch.datasets.base import issues_of
from olrsearch.search.page import length_notes
from olrsearch.search.spaces.fits import foreign_notes


def test_one_is_in_the_singular():
    assert [counted(number, "image") for number in (0, 1, 2_000)] == ["0 images", "1 image", "2,000 images"]
    assert counted(1, "image has", "images have") == "1 image has"
    assert counted(3, "image has", "images have") == "3 images have"


def test_messages_of_one_thing():
    (issue,) = issues_of("bare", ["a.jpg"], "image has", "images have", "no label row", said=True)
    assert issue.message == "1 image has no label row, such as 'a.jpg'"
    assert length_notes(20, 1, 0, 1) == ("20 hits from rank 1 were asked for, and 1 image is all there is",)
    assert length_notes(20, 1, 0, 7) == (
        "20 hits from rank 1 were asked for, and 1 image of 7 passes the cut-off",
    )
    assert foreign_notes([0.0], "faces")[0].startswith("this image is unlike those faces was trained on")
    assert foreign_notes([0.0, 1.0], "faces")[0].startswith("1 of these 2 images is unlike those")
