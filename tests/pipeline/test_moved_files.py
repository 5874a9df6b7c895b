"""Which files are which images: names, bytes, and both at once."""

import pytest

from olrsearch.pipeline.moved_files import Files, FoundFile
from olrsearch.store.values import BuriedImage, KnownImage, Move


def settled(stored, files, *, buried=(), restore=False):
    """What becomes of a folder `{name: content}` beside images `{name: content}` with ids from 1 on."""
    known = {
        key: KnownImage(number, key, content, 1, 1, 1, 1, thumbnail=True)
        for number, (key, content) in enumerate(stored.items(), 1)
    }
    dead = {
        key: BuriedImage(number, content, gone=content.isupper())
        for number, (key, content) in enumerate(dict(buried).items(), 101)
    }
    about = Files(known, dead, files.keys(), restore=restore)
    when = {key: about.when(key, content) for key, content in files.items()}
    later = [FoundFile(key, key, content) for key, content in files.items() if when[key] == "later"]
    found = about.settle(later)
    return when, found, about.gone


def moves(found):
    return {move.key: move.id for move in found.moves}


def test_what_is_as_it_was_needs_nothing():
    when, found, gone = settled({"a": "x", "b": "y"}, {"a": "x", "b": "y", "c": "z"})
    assert set(when.values()) == {"now"}
    assert (found.moves, found.displaced, found.left, gone) == ([], [], {}, {})


@pytest.mark.parametrize(
    ("stored", "files", "moved", "displaced", "left", "gone"),
    [
        ({"a": "x"}, {"b": "x"}, {"b": 1}, [], {}, {}),
        ({"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"a": 2, "b": 1}, [], {}, {}),
        ({"a": "x", "b": "y"}, {"b": "x", "c": "y"}, {"b": 1, "c": 2}, [], {}, {}),
        ({"a": "x", "b": "y"}, {"a": "y", "b": "z", "c": "x"}, {"a": 2, "c": 1}, [], {"b": 2}, {}),
        ({"a": "x", "b": "y"}, {"b": "x"}, {"b": 1}, [2], {}, {}),
        ({"a": "x"}, {"a": "z"}, {}, [], {}, {}),
        ({"a": "x"}, {"a": "z", "a.bak": "x"}, {"a.bak": 1}, [], {"a": 1}, {}),
        ({"a": "x", "b": "y"}, {"a": "x"}, {}, [], {}, {"b": 2}),
        ({"a": "x"}, {"a": "x", "b": "x"}, {}, [], {}, {}),
        ({"a": "x", "b": "y"}, {"a": "x", "b": "x"}, {}, [], {}, {}),
    ],
    ids=["renamed", "swapped", "renumbered", "inserted", "over-another", "edited", "edited-with-a-copy-kept",
         "gone", "copied", "copied-over-another"],
)  # fmt: skip
def test_bytes_count_before_names(stored, files, moved, displaced, left, gone):
    _, found, missing = settled(stored, files)
    assert moves(found) == moved
    assert found.living == set(moved)
    assert (found.displaced, found.left, missing) == (displaced, left, gone)


def test_of_several_images_the_same_file_name_then_the_oldest_is_meant():
    _, found, gone = settled({"old/a": "x", "old/b": "x", "old/c": "x"}, {"new/b": "x", "new/z": "x"})
    assert moves(found) == {"new/b": 2, "new/z": 1}
    assert gone == {"old/c": 3}


def test_an_image_that_lives_comes_before_one_that_is_dead():
    _, found, _ = settled({"a": "x"}, {"b": "x", "c": "x"}, buried={"d": "x"})
    assert moves(found) == {"b": 1, "c": 101}
    assert found.living == {"b"}
    assert found.deleted == {"c"}, "somebody deleted that image, whatever its file is called"


def test_what_was_deleted_stays_so_unless_asked_for():
    files = {"a": "x", "b": "edited", "c": "z"}
    when, found, _ = settled({"c": "z"}, files, buried={"a": "x", "b": "y"})
    assert (when["b"], when["c"]) == ("never", "now")
    assert found.deleted == {"a"}
    when, found, _ = settled({"c": "z"}, files, buried={"a": "x", "b": "y"}, restore=True)
    assert "never" not in when.values()
    assert not found.deleted


def test_what_was_only_gone_comes_back():
    when, found, _ = settled({}, {"a": "X", "c": "Y"}, buried={"a": "X", "b": "Y"})
    assert "never" not in when.values()
    assert not found.deleted
    assert found.moves == [Move(102, "c", "c")], "under its new name, with what was said of it"


def test_a_limit_looks_for_nothing():
    known = {"a": KnownImage(1, "a", "x", 1, 1, 1, 1, thumbnail=True)}
    files = Files(known, {}, None, restore=False)
    assert (files.when("b", "x"), files.when("a", "y"), files.gone) == ("now", "now", {})


def test_thousands_of_the_same_bytes_take_no_time():
    stored = {f"old/{number}": "x" for number in range(5_000)}
    _, found, gone = settled(stored, {f"new/{number}": "x" for number in range(5_000)})
    assert moves(found) == {f"new/{number}": number + 1 for number in range(5_000)}
    assert not gone
