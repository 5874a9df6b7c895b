"""Words, posteriors and descriptions by the command line, on an encoder that needs no torch."""

import re
import shutil

import numpy as np
import pytest
from command import assert_loads_none, call, good, refused
from pictures import LABELS, name, write_pictures
from PIL import Image
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch import Store
from olrsearch.core.checked_arrays import CheckedArray
from olrsearch.core.errors import QueryError
from olrsearch.evaluation.looks.gaussians import word_correlations
from olrsearch.maths.divergences import jeffreys, kl
from olrsearch.maths.gaussian import word_prior


@pytest.fixture(scope="module")
def words_model(tmp_path_factory):
    root = tmp_path_factory.mktemp("word-models")
    return root / TinyPosteriorEncoder.create(root, LABELS, input_size=(24, 24), shrinkage=0.2).fingerprint


@pytest.fixture(scope="module")
def both(gallery, words_model, tmp_path_factory):
    """120 pictures as label embeddings and as posteriors."""
    home = gallery.copy(tmp_path_factory.mktemp("both") / "store")
    good(home, "encode", "--encoder", words_model)
    return home


@pytest.fixture(scope="module")
def alone(gallery, words_model, tmp_path_factory):
    """The same as posteriors alone, imported without labels."""
    home = tmp_path_factory.mktemp("alone") / "store"
    pictures = shutil.copytree(gallery.data, home.parent / "pictures")
    (pictures / "labels.csv").unlink()
    good(home, "import", "folder", pictures)
    assert "no stored label" in good(home, "encode", "--encoder", words_model).err
    return home


def posteriors_of(home):
    with Store.open(home, read_only=True) as store:
        opened = store.session.posteriors(None)
        rows = np.arange(len(opened.view))
        keys = [row.key for row in opened.snapshot.images(opened.view.ids.tolist())]
        return opened.view.gaussians(rows), keys, opened


# -- words -------------------------------------------------------------------------------


def test_contained_words_are_ranked_by_their_probabilities(both):
    lines = good(both, "words", "bright", "!red", "framed^2", "-k", 4).out.splitlines()
    rows = good(both, "words", "bright", "!red", "framed^2", "-k", 4, "--json").rows
    assert len(lines) == len(rows) == 4
    for line, row in zip(lines, rows, strict=True):
        parts = row["contributions"]
        assert [part["literal"] for part in parts] == ["Bright", "!Red", "Framed^2"]
        assert sum(part["value"] for part in parts) == pytest.approx(row["score"])
        assert parts[2]["value"] == pytest.approx(2 * np.log(parts[2]["probability"]))
        assert line.split()[:3] == [str(row["rank"]), row["key"], f"{row['score']:.4f}"]
    paged = good(both, "words", "bright", "!red", "framed^2", "-k", 2, "--offset", 2, "--json").rows
    assert paged == rows[2:]
    test = good(both, "words", "bright", "--where", "partition = 'test'", "-k", 50, "--json").rows
    assert len(test) == 24


def test_matched_words_are_ranked_by_divergence(both):
    images, keys, opened = posteriors_of(both)
    value = kl(word_prior(opened.vocabulary.vectors[[0, 3]], 0.2), images)
    order = np.argsort(value, kind="stable")
    rows = good(both, "words", "bright", "framed", "--mode", "match", "-k", 5, "--json").rows
    assert [row["key"] for row in rows] == [keys[row] for row in order[:5]]
    np.testing.assert_allclose([row["distance"] for row in rows], value[order[:5]], rtol=1e-9)
    line = good(both, "words", "bright", "framed", "--mode", "match", "-k", 1).out
    first = -value[order[0]]
    assert f"{first:.4f}  100.0 %    KL(query‖image) {first:.3g}  Bright 0." in line
    far = good(both, "words", "bright", "framed", "--mode", "match", "--farthest", "-k", 2, "--json").rows
    assert [row["key"] for row in far] == [keys[row] for row in order[::-1][:2]]
    wide = kl(images, word_prior(opened.vocabulary.vectors[[0]], 1.0))
    options = ("--mode", "match", "--direction", "image-to-query", "--shrinkage", 1)
    row = good(both, "words", "bright", *options, "-k", 1, "--json").row
    assert row["distance"] == pytest.approx(wide.min())
    said = good(both, "words", "!bright", "--mode", "match", "-k", 1).err
    assert "an extension of ours" in said
    assert "no word is to be there: the prior is N(0, I)" in said


def test_attributes_filter_or_are_fused(both):
    held = {
        row["key"]
        for row in good(both, "search", "red & framed", "-k", 120, "--json").rows
        if row["score"] >= np.log(0.5)
    }
    assert 0 < len(held) < 120
    found = good(both, "words", "bright", "--attributes", "red & framed", "-k", 120, "--json")
    assert {row["key"] for row in found.rows} == held
    everything = good(both, "words", "bright", "-k", 120, "--json").rows
    assert [row["key"] for row in found.rows] == [row["key"] for row in everything if row["key"] in held]
    ranks = {row["key"]: row["rank"] for row in everything}
    for row in good(both, "search", "red & framed", "-k", 120, "--json").rows:
        ranks[row["key"]] = 1 / (60 + ranks[row["key"]]) + 1 / (60 + row["rank"])
    options = ("--attributes", "red & framed", "--attributes-mode", "rank")
    fused = good(both, "words", "bright", *options, "-k", 120, "--json")
    assert "1/(60 + rank)" in fused.err
    np.testing.assert_allclose([row["score"] for row in fused.rows], sorted(ranks.values(), reverse=True))
    assert all(row["score"] == pytest.approx(ranks[row["key"]]) for row in fused.rows)
    matched = good(both, "words", "bright", "!red", "--mode", "match", *options, "-k", 3)
    assert "float32 scan" in matched.err
    assert len(matched.out.splitlines()) == 3


def test_images_in_one_space_only_are_left_out_of_words_with_attributes(both, tmp_path):
    home = shutil.copytree(both, tmp_path / "store")
    write_pictures(tmp_path / "more", 3, first=500)
    good(home, "import", "folder", tmp_path / "more")
    good(home, "encode")  # the newest space: posteriors
    called = good(home, "words", "bright", "--attributes", "!red | red", "-k", 200, "--json")
    assert len(called.rows) == 120
    assert "3 images have a posterior and no label embedding in tiny-" in called.err


def test_a_sheet_of_words(both, tmp_path):
    for mode in ("contains", "match"):
        out = tmp_path / f"{mode}.html"
        good(both, "words", "bright", "!red", "--mode", mode, "-k", 3, "--sheet", out)
        text = out.read_text()
        assert "<h1>Bright &amp; !Red" in text
        assert ("p = " in text) is (mode == "contains")
        assert ("nearer than that share" in text) is (mode == "match")


def test_errors_of_word_queries(both, gallery):
    line = refused(both, "words", "brigt")
    assert line.startswith("error: unknown word 'brigt'; did you mean Bright? (")
    assert "olrsearch label list" in line
    assert "is no set of words" in refused(both, "words", "bright | red")
    assert "no words: expected a set" in refused(both, "words", "")
    for shrinkage in (0, 1.5):
        assert "expected above 0 and up to 1" in refused(
            both, "words", "bright", "--mode", "match", f"--shrinkage={shrinkage}"
        )
    assert "take the mode match" in refused(both, "words", "bright", "--farthest")
    line = refused(gallery.store, "words", "bright")
    assert "has no posteriors yet: run `olrsearch encode --encoder faces-words` where the images are" in line
    with Store.open(both, read_only=True) as store:
        with pytest.raises(QueryError, match="no mode 'like': expected one of contains, match"):
            store.words("bright", mode="like")
        with pytest.raises(QueryError, match="no way to use attributes 'or'"):
            store.words("bright", attributes="red", attributes_mode="or")
        labels = store.info()["spaces"][0]["name"]
    assert "and this needs posteriors" in refused(both, "words", "bright", "--space", labels)


def test_posteriors_alone_answer_without_labels(alone):
    called = good(alone, "words", "bright", "!red", "-k", 3, "--json")
    assert "not calibrated, and no label is stored to fit them to" in called.err
    assert len(called.rows) == 3
    assert len(good(alone, "words", "bright", "--mode", "match", "-k", 3).out.splitlines()) == 3
    assert len(good(alone, "similar", name(3), "--by", "posterior", "-k", 3).out.splitlines()) == 3
    row = good(alone, "describe", name(3), "--words", "--json").row
    assert {item["word"] for item in row["estimates"]} == set(LABELS)
    assert {item["stored"] for item in row["estimates"]} == {None}
    # Nothing is calibrated: an order, and no probability.
    assert {item["probability"] for item in row["estimates"]} == {None}
    order = [np.exp(-np.logaddexp(0, -item["ratio"])) for item in row["estimates"]]
    assert order == sorted(order, reverse=True)
    assert {part["probability"] for row in called.rows for part in row["contributions"]} == {None}
    assert "–" in good(alone, "describe", name(3), "--words").out
    assert "no stored label that tiny-posterior-" in refused(alone, "calibrate")
    assert "no label embeddings yet" in refused(alone, "words", "bright", "--attributes", "red")
    assert good(alone, "index", "build").code == 0  # the newest of posteriors, where there is no other
    assert "word scores 1" in good(alone, "index", "info").out


def test_one_row_shows_one_unit(both, monkeypatch):
    from olrsearch.api import words as module

    monkeypatch.setattr(module, "_is_calibrated", lambda _, word: word.lower() != "red")
    called = good(both, "words", "bright", "!red", "-k", 3)
    assert called.err.count("!Red: not calibrated, so that no probability is shown (–)") == 1
    for line in called.out.splitlines():
        assert re.search(r"Bright [01]\.\d\d  !Red –$", line)
    match = good(both, "words", "bright", "!red", "--mode", "match", "-k", 3)
    assert "no probability is shown" not in match.err
    assert "–" not in match.out.replace("KL(query‖image) –", "")


# -- words that are no labels ----------------------------------------------------------------


def test_words_are_taken_for_labels_and_the_answer_says_so(both, tmp_path):
    table = tmp_path / "meanings.toml"
    table.write_text('[asks]\n"!Bright" = ["gloomy"]\n"Red & Framed" = ["poster"]\n')
    asked = ("--meanings", table, "-k", 5, "--json")
    found = good(both, "words", "gloomy^2", "poster", *asked)
    plain = good(both, "words", "!bright^2", "red", "framed", "-k", 5, "--json")
    assert [row["key"] for row in found.rows] == [row["key"] for row in plain.rows]
    assert "gloomy: taken for !Bright (table)" in found.err
    taken = {"basis": "table", "similarity": None, "sureness": None}
    for row, same in zip(found.rows, plain.rows, strict=True):
        assert row.pop("understood") == [
            {"word": "gloomy", "taken_for": "!Bright", **taken},
            {"word": "poster", "taken_for": "Red & Framed", **taken},
        ]
        assert row == same
    matched = good(both, "words", "without gloomy", "--mode", "match", *asked).rows
    direct = good(both, "words", "bright", "--mode", "match", "-k", 1, "--json").row
    assert matched[0]["key"] == direct["key"]
    row = good(both, "describe", name(3), "--words", "--open", "gloomy", "--meanings", table, "--json").row
    (asked_for,) = [item for item in row["estimates"] if not item["own"]]
    (bright,) = [item for item in row["estimates"] if item["word"] == "Bright"]
    assert asked_for["understood"]["taken_for"] == "!Bright"
    assert asked_for["probability"] == pytest.approx(1 - bright["probability"])
    assert "understood" not in bright
    said = good(both, "describe", name(3), "--words", "--open", "gloomy", "--meanings", table).out
    assert "gloomy (!Bright)" in said
    assert "!Bright: leave" in refused(
        both, "look", "words", "gloomy", "--meanings", table, "--out", tmp_path / "w.png"
    )


def test_a_store_has_a_table_of_its_own(both, tmp_path):
    home = shutil.copytree(both, tmp_path / "store")
    (home / "meanings.toml").write_text('[asks]\nBright = ["lucent"]\n')
    assert "lucent: taken for Bright (table)" in good(home, "words", "lucent").err
    assert good(home, "store", "verify").code == 0
    with Store.open(home, read_only=True) as store:
        (found,) = store.words("lucent").understood
        assert (found.taken_for, found.basis) == ("Bright", "table")
        assert store.words("bright").understood[0].basis == "label"
    (home / "meanings.toml").write_text('[asks]\nBright = "lucent"\n')
    assert "line 2: 'Bright' has 'lucent', expected a list of words" in refused(home, "words", "lucent")
    assert "check the path" in refused(home, "words", "lucent", "--meanings", tmp_path / "none.toml")


# -- likeness, descriptions ----------------------------------------------------------------


def test_likeness_by_posterior(both, gallery, tmp_path):
    images, keys, _ = posteriors_of(both)
    place = keys.index(name(3))
    value = jeffreys(images[place], images)
    value[place] = np.inf
    rows = good(both, "similar", name(3), "--by", "posterior", "-k", 4, "--json").rows
    assert [row["key"] for row in rows] == [keys[row] for row in np.argsort(value)[:4]]
    np.testing.assert_allclose([row["distance"] for row in rows], np.sort(value)[:4])
    assert [part["literal"] for part in rows[0]["contributions"]] == ["KL(query‖image)", "KL(image‖query)"]
    shutil.copy(gallery.data / name(3), tmp_path / "other.png")
    outside = good(both, "similar", tmp_path / "other.png", "--by", "posterior", "-k", 2, "--json").rows
    assert outside[0]["key"] == name(3)
    assert outside[0]["distance"] < 0.1 < outside[1]["distance"]
    far = good(both, "similar", name(3), "--by", "posterior", "--farthest", "-k", 1, "--json").row
    assert far["distance"] == pytest.approx(value[np.isfinite(value)].max())
    one = good(both, "similar", name(3), "--by", "posterior", "--direction", "image-to-query", "--json").rows
    assert all(len(row["contributions"]) == 1 for row in one)
    assert one[0]["distance"] == pytest.approx(np.sort(kl(images, images[place]))[1])


def test_likeness_by_posterior_stands_alone(both):
    for options in (("--with", f"red={name(4)}"), ("--prototype", "red")):
        line = refused(both, "similar", name(3), "--by", "posterior", *options)
        assert "one image is compared with all as a whole" in line
    assert call(both, "similar", name(3), "--by", "posterior", "--by", "red").code == 2
    assert "are of divergences" in refused(both, "similar", name(3), "--farthest")
    assert "are of divergences" in refused(both, "similar", name(3), "--by", "red", "--direction", "jeffreys")
    assert "unknown label 'posterior'" in refused(both, "similar", name(3), "--by", '"posterior"')


def test_descriptions_in_words(both, gallery):
    row = good(both, "describe", name(3), "--words", "--json").row
    images, keys, opened = posteriors_of(both)
    density = images[keys.index(name(3))].log_likelihood(opened.vocabulary.vectors)[0]
    ratio = density - density.max() - np.log(np.exp(density - density.max()).mean())
    found = {item["word"]: item for item in row["estimates"]}
    np.testing.assert_allclose([found[word]["ratio"] for word in LABELS], ratio, rtol=1e-9)
    chances = [item["probability"] for item in row["estimates"]]
    assert chances == sorted(chances, reverse=True)
    assert {item["stored"] for item in row["estimates"]} <= {"absent", "present"}
    assert len(good(both, "describe", name(3), "--words", "-k", 2).out.splitlines()) == 3
    file = good(both, "describe", gallery.data / name(3), "--words", "--json").row
    assert (file["image_id"], file["estimates"][0]["stored"]) == (None, None)
    assert "unknown word 'purple'" in refused(both, "describe", name(3), "--words", "--open", "purple")
    assert call(both, "describe", name(3), "--open", "bright").code == 2


# -- calibration, indexes ------------------------------------------------------------------


def test_encoding_calibrates_and_keeps_what_a_first_query_needs(both):
    with Store.open(both, read_only=True) as store:
        labels, posteriors = store.info()["spaces"]
        assert (posteriors["calibrated"], posteriors["metric"]) == (True, None)
        opened = store.session.posteriors(None)
        assert opened.calibration.count == 96
        (segment,) = opened.segments
        assert (opened.kl_folder / f"{segment.info.uuid}.query-to-image").is_dir()
        assert not (opened.kl_folder / f"{segment.info.uuid}.image-to-query").exists()
        assert isinstance(opened.scores._of(0).own, CheckedArray)
    assert (
        "query-to-image 1, image-to-query 0, word scores 1"
        in good(both, "index", "info", "--space", posteriors["name"]).out
    )
    assert good(both, "index", "info", "--json").row["space"] == labels["name"]


def test_queries_write_nothing_and_answer_without_what_is_kept(both, tmp_path):
    home = shutil.copytree(both, tmp_path / "store")
    wanted = good(home, "words", "bright", "!red", "--mode", "match", "--json").rows
    shutil.rmtree(home / "indexes")
    assert good(home, "words", "bright", "!red", "--mode", "match", "--json").rows == wanted
    good(home, "similar", name(3), "--by", "posterior")
    assert not [path for path in home.rglob("*") if "indexes" in path.parts]


def test_indexes_are_built_verified_and_built_again(both, tmp_path):
    home = shutil.copytree(both, tmp_path / "store")
    with Store.open(home, read_only=True) as store:
        space = store.info()["spaces"][1]["name"]
        folder = store.session.posteriors(None).info.index_path
    said = good(home, "index", "build", "--space", space).err
    assert "KL features of both directions and word scores of 120 images" in said
    assert good(home, "store", "verify").code == 0
    assert "is not for tiny-posterior-" in refused(
        home, "index", "build", "--space", space, "--recipe", "hnsw"
    )
    wanted = good(home, "words", "bright", "--mode", "match", "--json").rows
    for pattern in ("words/????????????????????????????????.npy", "kl/*.image-to-query/features.npy"):
        (path,) = folder.glob(pattern)
        whole = path.read_bytes()
        path.write_bytes(whole[:-8] + bytes(8))
        called = call(home, "store", "verify", "--json")
        assert (called.code, [problem["code"] for problem in called.row["problems"]]) == (1, ["index"])
        good(home, "index", "build", "--space", space)
        assert good(home, "store", "verify").code == 0
    assert good(home, "words", "bright", "--mode", "match", "--json").rows == wanted


def test_changed_labels_make_the_calibration_stale(both, tmp_path):
    home = shutil.copytree(both, tmp_path / "store")
    with Store.open(home, read_only=True) as store:
        space = store.info()["spaces"][1]["name"]
    good(home, "label", "set", "red", "absent", name(3))
    assert "run olrsearch calibrate to bring it up to date" in good(home, "words", "bright").err
    said = good(home, "calibrate", "--space", space, "--where", "partition = 'train'").err
    assert "probabilities calibrated on 72 images (chosen images), label revision 1" in said
    assert "label indexes" not in said
    assert "calibrat" not in good(home, "words", "bright").err


def test_deleted_images_are_in_no_answer(both, tmp_path):
    home = shutil.copytree(both, tmp_path / "store")
    first = good(home, "words", "bright", "-k", 1, "--json").row["key"]
    good(home, "delete", first)
    rows = good(home, "words", "bright", "-k", 200, "--json").rows
    assert len(rows) == 119
    assert first not in {row["key"] for row in rows}


# -- looks ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_looks_are_drawn(both, tmp_path):
    called = good(both, "look", "posterior", name(3), name(4), "--out", tmp_path / "p.png")
    assert "has no decoder: its covariance alone is shown" in called.err
    assert [line.split()[0] for line in called.out.splitlines()] == [name(3), name(4)]
    with Image.open(tmp_path / "p.png") as picture:
        assert min(picture.size) > 400
    good(both, "look", "posterior", name(3), "--out", tmp_path / "p.html")
    assert (tmp_path / "p.html").read_text().count("<img") == 2
    said = good(
        both, "look", "words", "bright", "framed", "--shrinkage", 0.5, "--out", tmp_path / "w.png"
    ).out
    assert said.startswith("Bright & Framed  mean of length 0.707, standard deviations 0.707 to 1.000")
    assert "found !Red: leave them out" in refused(both, "look", "words", "!red", "--out", tmp_path / "w.png")
    assert "ends in .html or .png" in refused(both, "look", "posterior", name(3), "--out", tmp_path / "p.gif")


@pytest.mark.slow
def test_what_is_decoded_is_drawn(both, tmp_path):
    with Store.open(both, read_only=True) as store:
        opened = store.session.posteriors(None)
        encoder = store.session.encoder(opened.info)
        asked = []

        class Decoding:
            has_decoder = True

            def __getattr__(self, attribute):
                return getattr(encoder, attribute)

            def decode(self, points):
                asked.append(points)
                return np.full((len(points), 6, 5, 3), 40, np.uint8)

        store.session._encoders[opened.info.fingerprint] = Decoding()
        (look,) = store.looks.posteriors(name(3), samples=3, seed=4)
        gaussian = store.looks.posterior(name(3))
        np.testing.assert_allclose(asked[0][0], gaussian.mean[0], rtol=1e-6)
        np.testing.assert_allclose(
            asked[0][1:], gaussian.sample(3, np.random.default_rng(4))[0], rtol=1e-5, atol=1e-6
        )
        assert look.decoded.shape == (4, 6, 5, 3)
        assert store.looks.decode(gaussian.mean).shape == (1, 6, 5, 3)
        plain = store.looks.plot(look, tmp_path / "with.png")
        with Image.open(plain) as picture:
            drawn = np.asarray(picture.convert("RGB"))
        assert (np.abs(drawn.astype(int) - 40).max(axis=2) < 3).mean() > 0.02


def test_correlations_of_the_words_directions():
    gaussian = word_prior(np.array([[1.0, 0, 0], [0, 1, 0]]), 0.5)
    vectors = np.array([[1.0, 0, 0], [2, 1, 0], [0, 0, 0]])
    found = word_correlations(gaussian, vectors)
    covariance = gaussian.covariance[0]
    wanted = (
        vectors[0]
        @ covariance
        @ vectors[1]
        / np.sqrt((vectors[0] @ covariance @ vectors[0]) * (vectors[1] @ covariance @ vectors[1]))
    )
    assert found[0, 1] == found[1, 0] == pytest.approx(wanted)
    assert np.isnan(found[2]).all()


# -- what is loaded ------------------------------------------------------------------------


def test_words_load_neither_torch_nor_plots(both):
    asked = [("words", "bright", "!red"), ("words", "bright", "--mode", "match"), ("words", "--help")]
    assert_loads_none(both, asked, {"torch", "lightning", "matplotlib", "onnx", "onnxruntime", "faiss"})
