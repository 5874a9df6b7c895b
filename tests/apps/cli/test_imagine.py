"""Pictures that are made, by the command line, on an encoder that needs no torch."""

import json

import numpy as np
import pytest
from command import call, good, refused
from made_learned import make
from pictures import LABELS, name
from PIL import Image

from olrsearch import OlrsearchError, Store
from olrsearch.core.errors import QueryError
from olrsearch.core.made import MADE
from olrsearch.encoders.folder.model_config import read_config


@pytest.fixture(scope="module")
def learned(gallery, tmp_path_factory):
    home = gallery.copy(tmp_path_factory.mktemp("imagine") / "store")
    good(home, "encode", "--encoder", make(tmp_path_factory.mktemp("model")))
    return home


@pytest.fixture(scope="module")
def sphere(gallery, tmp_path_factory):
    """An encoder that says that its points lie on the unit sphere."""
    home = gallery.copy(tmp_path_factory.mktemp("sphere") / "store")
    model = make(tmp_path_factory.mktemp("model"), more={"sphere": True})
    assert read_config(model)["sphere"] is True
    good(home, "encode", "--encoder", model)
    return home


@pytest.fixture(scope="module")
def opened(learned):
    with Store.open(learned, read_only=True) as store:
        yield store


def learned_of(store):
    return store.session.posteriors(None).vocabulary.learned


def points_of(found):
    return np.array([picture.point for picture in found])


# -- imagine -------------------------------------------------------------------------------


def test_samples_are_of_the_words_gaussian(opened):
    found = opened.imagine("bright", 400, seed=3)
    gaussian = learned_of(opened).present[0]
    points = points_of(found)
    np.testing.assert_allclose(points.mean(axis=0), gaussian.mean[0], atol=0.2)
    np.testing.assert_allclose(np.cov(points.T), gaussian.covariance[0], atol=0.2)
    again = opened.imagine("bright", 400, seed=3)
    np.testing.assert_array_equal(points_of(again), points)
    assert not np.array_equal(points_of(opened.imagine("bright", 400, seed=4)), points)
    np.testing.assert_array_equal(
        np.stack([picture.pixels for picture in found[:5]]), opened.looks.decode(points[:5])
    )


def test_temperature_draws_samples_together(opened):
    gaussian = learned_of(opened).present[0]
    cold = points_of(opened.imagine("bright", 3, temperature=0))
    np.testing.assert_allclose(cold, np.repeat(gaussian.mean, 3, axis=0))
    plain, half = (points_of(opened.imagine("bright", 3, temperature=t)) for t in (1, 0.5))
    np.testing.assert_allclose(half - gaussian.mean, 0.5 * (plain - gaussian.mean))


def test_a_set_of_words_is_the_product_of_their_gaussians(opened):
    learned = learned_of(opened)
    cold = opened.imagine(["bright", "!red^2"], 1, temperature=0)
    bright, red = learned.present[0], learned.absent[1]
    precision = bright.precision[0] + 2 * red.precision[0]
    mean = np.linalg.solve(
        precision, bright.precision[0] @ bright.mean[0] + 2 * red.precision[0] @ red.mean[0]
    )
    np.testing.assert_allclose(cold[0].point, mean, atol=1e-9)
    assert cold.question == "Bright & !Red^2"


def test_an_image_is_decoded_at_the_mean_of_its_posterior(opened):
    found = opened.imagine(name(5), 3)
    posterior = opened.looks.posterior(name(5))
    np.testing.assert_allclose(found[0].point, posterior.mean[0], rtol=1e-6)
    assert len(found) == 3
    assert [image.name for image in found.asked] == [name(5)]
    assert found.asked[0].picture.startswith(b"\xff\xd8")
    assert len(opened.imagine(name(5))) == 1
    by_id = opened.imagine(found.asked[0].image_id)
    np.testing.assert_array_equal(by_id[0].pixels, found[0].pixels)


def test_an_image_outside_the_store_is_encoded(opened, tmp_path):
    path = tmp_path / "new.png"
    Image.new("RGB", (40, 30), "orange").save(path)
    found = opened.imagine(str(path))
    assert found.asked[0].image_id is None
    np.testing.assert_array_equal(opened.imagine(Image.open(path))[0].pixels, found[0].pixels)


def test_what_is_read_in_a_picture_is_what_the_encoder_says_of_it(opened):
    found = opened.imagine("framed", 4)
    for picture in found:
        estimates = {item.word: item for item in opened.describe_words(picture.pixels)[0]}
        best = max(estimates.values(), key=lambda item: item.probability)
        assert picture.reads[0].word == best.word
        assert picture.reads[0].probability == pytest.approx(best.probability, abs=1e-5)


def test_stored_images_near_a_point_are_found(opened):
    image = opened.imagine(name(7), find=3)
    assert image[0].near[0].key == name(7)
    assert len(image[0].near) == 3
    distances = [near.distance for near in image[0].near]
    assert distances == sorted(distances)


def test_the_command_prints_lines_and_json_that_say_it_is_made(learned):
    lines = good(learned, "imagine", "bright", "-n", 3).out.splitlines()
    assert len(lines) == 4
    assert lines[-1] == MADE
    assert lines[0].split()[:5] == ["1", "sample", "1", "of", "Bright"]
    (row,) = good(learned, "imagine", "bright", "-n", 3, "--find", 1, "--json").rows
    assert row["made"] is True
    assert [picture["made"] for picture in row["pictures"]] == [True] * 3
    assert len(row["pictures"][0]["point"]) == len(LABELS)
    assert set(row["pictures"][0]["near"][0]) == {"image_id", "key", "distance"}
    assert (row["seed"], row["temperature"], row["path"]) == (0, 1.0, None)


def test_sheets_and_files_say_that_they_are_made(learned, tmp_path):
    sheets = [tmp_path / "made.png", tmp_path / "made.html"]
    options = [part for sheet in sheets for part in ("--sheet", sheet)]
    good(learned, "imagine", name(3), "-n", 2, "--find", 2, "--out", tmp_path / "out", *options)
    with Image.open(sheets[0]) as image:
        image.load()
        assert image.text["Comment"] == MADE
    page = sheets[1].read_text()
    assert page.count("made, not found") >= 3
    assert "the image itself" in page
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["0003.png-01.png", "0003.png-02.png"]
    with Image.open(files[0]) as image:
        image.load()
        assert image.size == (24, 24)
        assert image.text["Comment"] == MADE
        assert json.loads(image.text["olrsearch"])["made"] is True
    (tmp_path / "file").write_text("")
    assert "is a file" in call(learned, "imagine", "red", "-n", 1, "--out", tmp_path / "file").err
    with (
        Store.open(learned, read_only=True) as store,
        pytest.raises(OlrsearchError, match="is a file, expected a folder"),
    ):
        store.write_pictures(store.imagine("red", 1), tmp_path / "file")


# -- interpolate ---------------------------------------------------------------------------


def test_the_way_between_two_words_is_straight(opened):
    found = opened.interpolate("bright", "framed", steps=5)
    ends = learned_of(opened).present.mean[[0, 3]]
    np.testing.assert_allclose(points_of(found), np.linspace(ends[0], ends[1], 5))
    assert [picture.share for picture in found] == [0, 0.25, 0.5, 0.75, 1]
    assert [picture.caption for picture in found][::2] == ["Bright", "50% of the way", "Framed"]
    assert found.path == "line"


def test_a_word_and_an_image(opened, learned, tmp_path):
    found = opened.interpolate("red", name(2))
    np.testing.assert_allclose(found[-1].point, opened.looks.posterior(name(2)).mean[0], rtol=1e-6)
    assert [image.name for image in found.asked] == [name(2)]
    assert len(found) == 9
    good(learned, "interpolate", name(1), name(2), "--steps", 4, "--sheet", tmp_path / "way.png")
    assert len(good(learned, "interpolate", "red & bright", "striped", "--steps", 2).out.splitlines()) == 3


def test_on_the_sphere_the_way_is_the_great_circle(sphere):
    with Store.open(sphere, read_only=True) as store:
        found = store.interpolate("bright", "framed", steps=4)
        points = points_of(found)
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
        angles = np.arccos(np.einsum("nd,nd->n", points[:-1], points[1:]))
        np.testing.assert_allclose(angles, angles[0])
        assert found.path == "sphere"
        np.testing.assert_allclose(np.linalg.norm(points_of(store.imagine("bright", 4)), axis=1), 1)


# -- map -----------------------------------------------------------------------------------


def test_the_map_of_some_words(opened):
    found = opened.looks.map(labels=["red", "framed"], where="partition = 'test'")
    assert (found.by, found.words, len(found.points)) == ("pca", ("Red", "Framed"), 24)
    assert "the two that images vary most in" in found.notes[0]


def test_the_map_of_a_store(learned, tmp_path):
    (found,) = good(learned, "look", "map", "--out", tmp_path / "map.png", "--count", 50, "--json").rows
    assert (found["by"], len(found["points"]), found["words"]) == ("lda", 50, list(LABELS))
    assert (tmp_path / "map.png").stat().st_size > 5000
    assert "has 4 dimensions" in refused(learned, "look", "map", "--out", "map.png", "--by", "plain")


# -- names and what is refused -------------------------------------------------------------


def test_a_name_that_is_both_is_the_word_unless_it_is_said(tmp_path):
    home = tmp_path / "store"
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row, label in enumerate(LABELS):
        Image.new("RGB", (24, 24), (40 * row, 90, 10)).save(folder / f"{label}.png")
        (folder / f"{label}.png").rename(folder / f"{label}.jpg" if row else folder / "Bright.png")
    good(home, "import", "folder", folder)
    good(home, "encode", "--encoder", make(tmp_path / "model"))
    with Store.open(home, read_only=True) as store:
        assert store.imagine("bright", 1).of == "words"
        assert store.imagine("Bright.png", 1).of == "image"
        number = store.imagine("1")
        assert number.of == "image"
        assert number.asked[0].image_id == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("imagine", "bright", "-n", 0), "expected 1 to 1,000, found 0"),
        (("imagine", "bright", "-n", 5000), "expected 1 to 1,000, found 5000"),
        (("imagine", "bright", "--temperature", "nan"), "expected 0 or more, found nan"),
        (("imagine", "bright", "--temperature", "-1"), "expected 0 or more, found -1.0"),
        (("imagine", "bright", "--temperature", "inf"), "expected 0 or more, found inf"),
        (("imagine", "brigt"), "knows; did you mean Bright?"),
        (("imagine", "nobody.png"), "no image of the store, no file, and no word that"),
        (("imagine", "bright", "--taken-as", "image"), "no image 'bright'"),
        (("imagine", "0001.png", "--taken-as", "words"), "unexpected '.'"),
        (("imagine", "0001.png", "0002.png", "--taken-as", "image"), "2 images: expected one"),
        (("imagine", "bright", "0002.png"), "'0002.png' is an image, and several names are words"),
        (("imagine", "bright", "brigt"), "unknown word 'brigt'"),
        (("imagine", ""), "no words"),
        (("imagine", "a | b"), "no set of words"),
        (("imagine", "bright", "--vectors"), "was not trained on word vectors"),
        (("interpolate", "bright", "Bright"), "are one point of the latent space"),
        (("interpolate", "bright", "red", "--steps", 1), "expected 2 to 1,000, found 1"),
        (("imagine", "bright", "--space", "tiny"), "holds label embeddings"),
        (("imagine", "bright", "--space", "nothing"), "nothing"),
    ],
)
def test_bad_input_is_named(learned, arguments, said):
    assert said in refused(learned, *arguments)


def test_what_python_may_be_given(opened):
    pixels = np.full((24, 24, 3), 90, np.uint8)
    assert opened.imagine(pixels).asked[0].name == "an image of 24 × 24 pixels"
    with pytest.raises(QueryError, match="no words"):
        opened.imagine([])
    with pytest.raises(QueryError, match="several names are words"):
        opened.imagine(["bright", 7])
    with pytest.raises(QueryError, match="is no word"):
        opened.imagine(7, taken_as="words")
    with pytest.raises(QueryError, match="taken as 'label'"):
        opened.imagine("bright", taken_as="label")
    with pytest.raises(QueryError, match="temperature is a number, found 'hot'"):
        opened.imagine("bright", temperature="hot")
    with pytest.raises(QueryError, match="found -1"):
        opened.imagine("bright", find=-1)


def test_an_encoder_without_decoder_is_named(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    good(home, "encode", "--encoder", make(tmp_path / "model", decoder=False))
    said = refused(home, "imagine", "bright")
    assert "has no decoder" in said
    assert "train pse-star" in said
    assert "posterior" in refused(gallery.store, "interpolate", "bright", "red")
