"""Images of a store with labels added and removed."""

import io

import numpy as np
import pytest
from made_decoders import add_decoder
from pictures import LABELS, name, picture
from PIL import Image

from olrsearch import Store
from olrsearch.core.errors import (
    EncoderError,
    FitError,
    OlrsearchError,
    QueryError,
    UnknownImageError,
    UnknownLabelError,
)
from olrsearch.core.made import MADE

DULL = next(row for row in range(120) if picture(row)[1][:2] == (-1, 1))
"""A picture that is not bright, and red."""


@pytest.fixture(scope="module")
def store(gallery):
    with Store.open(gallery.store, read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def decoding(gallery, tmp_path_factory):
    home = gallery.copy(tmp_path_factory.mktemp("decoding") / "store")
    add_decoder(home)
    with Store.open(home, read_only=True) as opened:
        yield opened


def chances(found):
    return {item.label: item.after for item in found.labels}


def test_an_edit_along_directions_changes_the_asked_labels_alone(store):
    found = store.edits.edit(name(DULL), "+bright -Red")
    assert found.edits == "+Bright -Red"
    assert [(item.label, item.asked) for item in found.labels[:2]] == [
        ("Bright", "added"),
        ("Red", "removed"),
    ]
    assert found.labels[0].before < 0.5 < found.labels[0].after
    assert found.labels[1].before > 0.5 > found.labels[1].after
    assert all(abs(item.change) < abs(found.labels[1].change) / 2 for item in found.labels[2:])
    assert {item.label for item in found.changed} <= {item.label for item in found.labels[2:]}
    assert found.pictures is None
    assert "olrsearch train decoder" in found.notes[0]
    before = store.looks.embedding(name(DULL))
    assert (np.abs(found.embedding - before).max(axis=1) > 0).all()


def test_the_papers_way_replaces_the_asked_vectors_alone(store):
    image, before = name(DULL), store.looks.embedding(name(DULL))
    found = store.edits.edit(image, "+bright^1.5 -red", way="paper")
    place = LABELS.index("Bright")
    rows = [row for row in range(120) if picture(row)[1][place] > 0]
    mean = np.mean([store.looks.embedding(name(row))[place] for row in rows], axis=0)
    np.testing.assert_allclose(found.embedding[place], 1.5 * mean, rtol=1e-4)
    assert not found.embedding[LABELS.index("Red")].any()
    assert (found.embedding[2:] == before[2:]).all()
    drawn = [store.edits.edit(image, "+bright", way="paper", seed=seed).embedding for seed in (1, 1, 2)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


def test_strength_goes_farther_and_what_is_there_stays(store):
    mild, strong = (
        chances(store.edits.edit(name(DULL), f"+bright^{strength}"))["Bright"] for strength in (0.5, 2)
    )
    assert mild < strong
    again = store.edits.edit(name(DULL), "+red^0.1")
    assert "Red was there before" in again.notes[-1]
    np.testing.assert_allclose(again.embedding, store.looks.embedding(name(DULL)), atol=1e-6)


def test_pictures_are_made_and_say_so(decoding, tmp_path):
    found = decoding.edits.edit(name(DULL), ["+bright", "-red"])
    assert found.pictures.before.shape == found.pictures.after.shape == (16, 16, 3)
    assert (found.pictures.before != found.pictures.after).any()
    assert MADE in found.notes
    row = found.to_dict()
    assert row["made"] is True
    assert row["has_pictures"] is True
    assert row["labels"][0]["asked"] == "added"
    page = decoding.edits.sheet(found, tmp_path / "edited.html").read_text()
    assert "made, not found" in page
    assert "+Bright -Red" in page
    drawn = decoding.edits.sheet(found, tmp_path / "edited.png").read_bytes()
    with Image.open(io.BytesIO(drawn)) as sheet:
        assert sheet.text["Comment"] == MADE


def test_a_grid_has_every_edit_in_every_strength(decoding, tmp_path):
    found = decoding.edits.grid(name(DULL), "+bright -red^2", strengths=(0.5, 1))
    assert [cell.edits for cell in found] == [
        "+Bright^0.5",
        "+Bright",
        "-Red",
        "-Red^2",
        "+Bright^0.5 -Red",
        "+Bright -Red^2",
    ]
    assert found[0].picture.shape == (16, 16, 3)
    assert found[0].probabilities["Bright"] < found[1].probabilities["Bright"]
    assert all(row["made"] for row in found.to_dicts())
    assert "made, not found" in decoding.edits.sheet(found, tmp_path / "grid.html").read_text()
    decoding.edits.sheet(decoding.edits.grid(name(DULL), "+bright"), tmp_path / "grid.png")


def test_real_images_are_found_that_are_like_the_edited_one(store):
    found = store.edits.find(name(DULL), "+bright", 10)
    assert found.query == f"like {name(DULL)} +Bright"
    assert name(DULL) not in [hit.key for hit in found]
    shown = np.array([picture(int(hit.key[:4]))[1] for hit in found])
    assert (shown[:, 0] > 0).mean() > 0.7
    assert (shown[:, 1] > 0).mean() > 0.7  # red, as the image is
    assert [part.literal for part in found[0].contributions] == ["alike", "Bright"]
    some = store.edits.find(name(DULL), "+bright", 5, by=["red"], where="partition = 'test'", offset=1)
    assert some[0].rank == 2
    assert {int(hit.key[:4]) % 5 for hit in some} == {4}
    assert name(DULL) in [hit.key for hit in store.edits.find(name(DULL), "-bright", 120, include_self=True)]


def test_files_and_pixels_are_edited_too(store, decoding, tmp_path):
    pixels = picture(500)[0]
    path = tmp_path / "new.png"
    Image.fromarray(pixels).save(path)
    one, other = store.edits.edit(path, "+bright"), store.edits.edit(pixels, "+bright")
    assert one.image_id is None
    np.testing.assert_array_equal(one.embedding, other.embedding)
    decoding.edits.sheet(decoding.edits.edit(path, "+bright"), tmp_path / "of-a-file.html")
    assert len(store.edits.find(path, "+bright", 3)) == 3


@pytest.mark.parametrize(
    ("edits", "more", "error", "said"),
    [
        ("+Brigth", {}, UnknownLabelError, "did you mean Bright"),
        ("+Bright -bright", {}, QueryError, "both added and removed"),
        ("", {}, QueryError, "nothing to edit"),
        (7, {}, QueryError, "edits is a text or a list of texts"),
        ("+Bright", {"way": "magic"}, QueryError, "expected one of directions, paper"),
        ("+Bright", {"seed": 1}, QueryError, "a seed is of samples"),
    ],
)
def test_what_cannot_be_edited_is_refused(store, edits, more, error, said):
    with pytest.raises(error, match=said):
        store.edits.edit(name(0), edits, **more)


def test_what_cannot_be_asked_is_refused(store, tmp_path):
    with pytest.raises(UnknownImageError):
        store.edits.edit("nobody.jpg", "+bright")
    with pytest.raises(QueryError, match="nothing is left to be alike by"):
        store.edits.find(name(0), "+bright", by=["Bright"])
    for strengths, said in (
        ((), "none are given"),
        ((0,), "above 0"),
        ((float("nan"),), "above 0"),
        (("x",), "number"),
    ):
        with pytest.raises(QueryError, match=said):
            store.edits.grid(name(0), "+bright", strengths=strengths)
    with pytest.raises(EncoderError, match="olrsearch train decoder"):
        store.edits.sheet(store.edits.edit(name(0), "+bright"), tmp_path / "x.html")
    with pytest.raises(OlrsearchError, match=r"what edits.edit or edits.grid returned"):
        store.edits.sheet("x", tmp_path / "x.html")


def test_too_few_images_are_said(gallery, tmp_path):
    with Store.open(gallery.copy(tmp_path / "store")) as store:
        store.delete(where="id > 5")
        with pytest.raises(FitError, match="has 5 images, and directions of 4 labels need 6 or more"):
            store.edits.edit(name(0), "+bright")
        store.delete(where="Bright = present")
        with pytest.raises(FitError, match="have the stored label Bright"):
            store.edits.edit(store.images()[0].key, "+bright", way="paper")
