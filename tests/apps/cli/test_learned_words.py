"""Words whose Gaussians were learned, by the command line, on an encoder that needs no torch."""

import shutil

import numpy as np
import pytest
from command import good, refused
from made_learned import make, of_a_table
from pictures import LABELS, picture

from olrsearch import Store
from olrsearch.encoders.words.vectors import WordVectors
from olrsearch.maths.divergences import kl
from olrsearch.maths.gaussian_sets import product

WORDS = ("bright", "red", "striped", "framed", "crimson")


@pytest.fixture(scope="module")
def learned(gallery, tmp_path_factory):
    """120 pictures as label embeddings and as posteriors; a word has a Gaussian, and its absence has one."""
    home = gallery.copy(tmp_path_factory.mktemp("learned") / "store")
    good(home, "encode", "--encoder", make(tmp_path_factory.mktemp("model")))
    return home


@pytest.fixture
def tabled(gallery, tmp_path, monkeypatch):
    """The same, of an encoder whose words come from a table."""
    monkeypatch.setenv("OLRSEARCH_CACHE", str(tmp_path / "cache"))
    lines = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)
    lines[4] = lines[1] + 0.05
    path = tmp_path / "vectors.txt"
    path.write_text(
        "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(WORDS, lines, strict=True))
    )
    home = gallery.copy(tmp_path / "store")
    model = make(tmp_path / "model", of_a_table(WordVectors.open(path)))
    good(home, "encode", "--encoder", model)
    return home


def opened_of(home):
    with Store.open(home, read_only=True) as store:
        opened = store.session.posteriors(None)
        images = opened.view.gaussians(np.arange(len(opened.view)))
        keys = [row.key for row in opened.snapshot.images(opened.view.ids.tolist())]
        return opened.vocabulary, images, np.array(keys)


def test_contained_words_are_ranked_by_with_against_without(learned):
    vocabulary, images, keys = opened_of(learned)
    ratio = (
        vocabulary.learned.present[0].log_likelihood(images.mean)
        - vocabulary.learned.absent[0].log_likelihood(images.mean)
    )[0]
    rows = good(learned, "words", "bright", "-k", 6, "--json").rows
    assert [row["key"] for row in rows] == keys[np.argsort(-ratio, kind="stable")[:6]].tolist()
    shown = [picture(int(key[:4]))[1][0] for key in [row["key"] for row in rows]]
    assert shown.count(1) >= 5


@pytest.mark.parametrize(("mode", "option"), [("match", ()), ("likelihood", ())])
def test_sets_are_ranked_by_the_product_of_their_gaussians(learned, mode, option):
    vocabulary, images, keys = opened_of(learned)
    prior = product(vocabulary.learned.present[np.array([0, 3])])
    value = kl(prior, images) if mode == "match" else -prior.log_likelihood(images.mean)[0]
    rows = good(learned, "words", "bright", "framed", "--mode", mode, "-k", 5, "--json", *option).rows
    order = np.argsort(value, kind="stable")[:5]
    assert [row["key"] for row in rows] == keys[order].tolist()
    np.testing.assert_allclose([row["distance"] for row in rows], value[order], rtol=1e-6)
    assert [part["value"] for part in rows[0]["contributions"][1:]] == [0, 0]
    line = good(learned, "words", "bright", "framed", "--mode", mode, "-k", 1).out
    assert ("ln N(image; words)" in line) == (mode == "likelihood")


def test_negated_words_add_to_the_distance_of_a_likelihood(learned):
    plain = good(learned, "words", "bright", "--mode", "likelihood", "-k", 120, "--json").rows
    found = good(learned, "words", "bright", "!red", "--mode", "likelihood", "-k", 120, "--json")
    distance = {row["key"]: row["distance"] for row in plain}
    assert all(row["distance"] >= distance[row["key"]] for row in found.rows)
    for row in found.rows:
        assert sum(part["value"] for part in row["contributions"]) == pytest.approx(row["score"])
    fused = good(
        learned, "words", "bright", "--mode", "likelihood", "--attributes", "red", "--attributes-mode", "rank"
    )
    assert "ranks by divergence" not in fused.err


def test_describe_names_the_words_by_the_same_ratios(learned):
    vocabulary, images, keys = opened_of(learned)
    row = good(learned, "describe", "0003.png", "--words", "--json").rows[0]
    place = keys.tolist().index("0003.png")
    point = images.mean[place : place + 1]
    wanted = vocabulary.learned.present.log_likelihood(point) - vocabulary.learned.absent.log_likelihood(
        point
    )
    for word in row["estimates"]:
        own = LABELS.index(word["word"])
        assert word["ratio"] == pytest.approx(wanted[own, 0], rel=1e-6)


def test_calibrated_indexed_and_verified_as_other_spaces_are(learned, tmp_path):
    home = shutil.copytree(learned, tmp_path / "store")
    with Store.open(home, read_only=True) as store:
        name = store.session.posteriors(None).info.name
    good(home, "calibrate", "--space", name)
    assert "word scores" in good(home, "index", "build", "--space", name).err
    before = good(home, "words", "bright", "!red", "--json").rows
    assert before[0]["contributions"][0]["probability"] is not None
    good(home, "store", "verify")


@pytest.mark.slow
def test_a_recipe_is_fitted_to_sets_of_learned_words(learned, tmp_path):
    home = shutil.copytree(learned, tmp_path / "store")
    with Store.open(home, read_only=True) as store:
        name = store.session.posteriors(None).info.name
    good(home, "index", "build", "--space", name, "--recipe", "kl-projected")
    rows = good(home, "words", "bright", "red", "--mode", "match", "--recipe", "kl-projected", "--json").rows
    exact = good(home, "words", "bright", "red", "--mode", "match", "--json").rows
    assert [row["key"] for row in rows] == [row["key"] for row in exact]


def test_learned_gaussians_have_no_shrinkage(learned):
    said = refused(learned, "words", "bright", "--mode", "match", "--shrinkage", 0.1)
    assert "have Gaussians that it learned, which no shrinkage changes: leave --shrinkage out" in said
    assert "mode match" in refused(learned, "words", "bright", "--mode", "likelihood", "--farthest")
    assert "leave --vectors out" in refused(learned, "words", "bright", "--vectors")


def test_words_that_no_label_is_called_by_their_own_vectors(tabled):
    found = good(tabled, "words", "crimson", "--vectors", "-k", 8, "--json")
    red = good(tabled, "words", "red", "--vectors", "-k", 8, "--json")
    assert "crimson: by the vectors of the table" in " ".join(found.rows[0].get("notes", [])) + found.err
    assert "by the vectors" not in red.err
    assert found.rows[0]["contributions"][0] | {"probability": None} == found.rows[0]["contributions"][0]
    assert len({row["key"] for row in found.rows} & {row["key"] for row in red.rows}) >= 5
    for mode in ("match", "likelihood"):
        rows = good(
            tabled, "words", "crimson", "!framed", "--vectors", "--mode", mode, "-k", 3, "--json"
        ).rows
        assert len(rows) == 3
    assert "unknown word 'crimsen'; did you mean crimson" in refused(tabled, "words", "crimsen", "--vectors")
