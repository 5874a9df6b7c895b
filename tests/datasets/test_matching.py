"""Rows and images that are not named exactly alike."""

import unicodedata

import pytest

from olrsearch.datasets.matching import match_names


def found(images, rows):
    match = match_names(images, rows)
    return match.names, match.differing


def test_exact_names_come_first():
    assert found(["a.jpg", "A.jpg"], ["A.jpg", "a.jpg"]) == ({"a.jpg": "a.jpg", "A.jpg": "A.jpg"}, [])
    # The row of 1.jpg means that image though 1.png has the same stem.
    assert found(["1.jpg", "1.png"], ["1.jpg"]) == ({"1.jpg": "1.jpg"}, [])


@pytest.mark.parametrize(
    ("images", "rows"),
    [
        (["1.png", "2.png"], ["1.jpg", "2.jpg", "3.jpg"]),  # CelebA's edition in PNG
        (["x/1.png"], ["x/1"]),
        (["IMG_1.JPG", "b/IMG_2.JPG"], ["img_1.jpg", "B/img_2.jpeg"]),
        (["a/1.jpg", "b/2.jpg"], ["/home/ann/photos/a/1.jpg", "/home/ann/photos/b/2.jpg"]),
        (["a/1.jpg", "b/2.jpg"], ["C:/photos/a/1.jpg", "C:/photos/b/2.jpg"]),
        (["photos/a/1.jpg", "photos/b/2.jpg"], ["a/1.jpg", "b/2.jpg"]),
        (["photos/a/1.jpg", "photos/b/2.jpg"], ["/home/ann/a/1.png", "/home/ann/b/2.png"]),
        (["a/1.jpg", "b/2.jpg"], ["2.jpg", "1.jpg"]),
        (["1.jpg", "2.jpg"], ["b/2.jpg", "a/1.jpg"]),
    ],
)
def test_one_reading_finds_all(images, rows):
    names, differing = found(images, rows)
    assert sorted(names) == sorted(differing) == sorted(images)
    for image, row in names.items():
        stem = image.rpartition("/")[2].partition(".")[0].lower()
        assert row.rpartition("/")[2].partition(".")[0].lower() == stem


def test_forms_of_unicode_and_backslashes_make_no_difference_worth_saying():
    composed = unicodedata.normalize("NFC", "ü/é.jpg")
    apart = unicodedata.normalize("NFD", "ü/é.jpg")
    assert found([apart], [composed]) == ({apart: composed}, [])
    assert found(["a/b.jpg"], ["a\\b.jpg"]) == ({"a/b.jpg": "a\\b.jpg"}, [])


@pytest.mark.parametrize(
    ("images", "rows"),
    [
        (["1.png", "1.gif"], ["1.jpg"]),  # which of the two?
        (["1.png"], ["1.jpg", "1.gif"]),
        (["a/x.jpg", "b/y.jpg"], ["c/x.jpg", "d/y.jpg"]),  # the same name in other folders is another image
        (["a.jpg"], ["b.jpg"]),
        ([], ["b.jpg"]),
        (["a.jpg"], []),
    ],
)
def test_what_is_not_certain_finds_nobody(images, rows):
    names, _ = found(images, rows)
    assert set(names) <= set(images[:1])
    if (images, rows) != (["a/x.jpg", "b/y.jpg"], ["c/x.jpg", "d/y.jpg"]):
        assert not names


def test_few_differing_names_do_not_disturb_the_others():
    images = [f"{number}.jpg" for number in range(50)] + ["50.png"]
    names, differing = found(images, [f"{number}.jpg" for number in range(51)])
    assert len(names) == 51
    assert differing == ["50.png"]
