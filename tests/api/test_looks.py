"""Looks into the embedding of a store: the same from Python as by command."""

import numpy as np
import pytest
from command import good
from pictures import LABELS, name, picture
from PIL import Image
from trained import add_run

from olrsearch import OlrsearchError, Store
from olrsearch.core.errors import BenchmarkError, QueryError, UnknownLabelError

RED = LABELS.index("Red")
WRONG = (8, 13)  # of val and test: what the planted teacher gets wrong about Red


@pytest.fixture(scope="module")
def looked(gallery):
    with Store.open(gallery.store, read_only=True) as store:
        yield store


@pytest.fixture(scope="module")
def taught(gallery, tmp_path_factory):
    """The pictures' store with a teacher that knows every label but Red of two images."""
    home = gallery.copy(tmp_path_factory.mktemp("taught") / "store")
    run = add_run(home)
    (run / "teacher.safetensors").write_bytes(b"never read: its answers are kept beside it")
    with Store.open(home, read_only=True) as store:
        ids = np.sort(store.select("id > 0"))
    probabilities = np.array([[0.9 if value > 0 else 0.1 for value in picture(row)[1]] for row in range(120)])
    for row, wrong in zip(WRONG, (0.99, 0.8), strict=True):
        probabilities[row, RED] = wrong if probabilities[row, RED] < 0.5 else 1 - wrong
    np.savez(run / "teacher_p.npz", ids=ids, probabilities=probabilities.T.astype(np.float32))
    return home


# -- norms ---------------------------------------------------------------------------------


def test_norms_of_all_images_and_labels(looked):
    found = looked.looks.norms()
    assert found.label_names == LABELS
    assert found.images == 120
    norms = np.array([np.linalg.norm(looked.looks.embedding(name(row)), axis=1) for row in range(120)])
    np.testing.assert_allclose(found.norms, np.corrcoef(norms.T), atol=1e-5)
    stored = np.array([picture(row)[1] for row in range(120)])
    np.testing.assert_allclose(found.labels, np.corrcoef(stored.T), atol=1e-9)
    assert sorted(found.order) == [0, 1, 2, 3]
    assert found.paper == ()


def test_norms_of_some_images_and_labels(looked):
    found = looked.looks.norms(labels=["framed", "RED"], where="partition = 'test'")
    assert found.label_names == ("Framed", "Red")
    assert found.images == 24
    rows = [row for row in range(120) if row % 5 == 4]
    norms = np.array([np.linalg.norm(looked.looks.embedding(name(row)), axis=1) for row in rows])
    assert found.norms[0, 1] == pytest.approx(np.corrcoef(norms[:, 3], norms[:, 1])[0, 1], abs=1e-5)


def test_norms_refuse_what_cannot_be_correlated(looked):
    with pytest.raises(UnknownLabelError, match="did you mean Striped"):
        looked.looks.norms(labels=["stripd", "red"])
    with pytest.raises(BenchmarkError, match="1 label, expected at least two"):
        looked.looks.norms(labels=["red", "Red"])
    with pytest.raises(BenchmarkError, match=r"0 labels?, expected at least two"):
        looked.looks.norms(labels=[])
    with pytest.raises(BenchmarkError, match="1 images, expected at least 3"):
        looked.looks.norms(where=f"key = '{name(1)}'")


def test_images_without_embedding_are_noted(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    good(home, "import", "folder", gallery.data, "--name", "again", "--limit", 4)
    with Store.open(home, read_only=True) as store:
        assert "4 images have no embedding" in store.looks.norms().notes[0]
        assert "4 images have no embedding" in store.looks.components("red").notes[-1]


# -- components ----------------------------------------------------------------------------


def test_components_of_a_label_with_images_in_order(looked):
    found = looked.looks.components("red", count=7)
    assert (found.label, found.images, found.component) == ("Red", 120, 1)
    assert len(found.shares) == 6
    assert sum(found.shares) == pytest.approx(1)
    assert [item.rank for item in found.shown] == [1, 21, 41, 61, 80, 100, 120]
    projections = [item.projection for item in found.shown]
    assert projections == sorted(projections)
    vectors = np.array([looked.looks.embedding(name(row))[RED] for row in range(120)]).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    axis = np.linalg.svd(centred)[2][0]
    for item in found.shown:
        row = int(item.key[:4])
        assert abs(centred[row] @ axis) == pytest.approx(abs(item.projection), abs=1e-4)
        (estimate,) = [e for e in looked.describe(item.key)[0] if e.label == "Red"]
        assert item.probability == pytest.approx(estimate.probability, abs=1e-6)
        assert item.image_id == looked.describe(item.key)[0].image_id
    everything = looked.looks.components("red", count=120).shown
    chances = np.array([item.probability for item in everything])
    along = np.array([item.projection for item in everything])
    # These embeddings are random directions of colours: the label need not rule the first component.
    assert found.own == pytest.approx(np.corrcoef(along, np.log(chances / (1 - chances)))[0, 1], abs=1e-4)
    assert found.own > 0


def test_components_of_some_images(looked):
    found = looked.looks.components("Red", component=2, count=100, where="partition = 'val'")
    assert found.images == len(found.shown) == 24
    assert {int(item.key[:4]) % 5 for item in found.shown} == {3}
    assert found.component == 2
    assert found.own >= 0


def test_components_refuse_what_is_not_there(looked):
    with pytest.raises(UnknownLabelError, match="did you mean Bright"):
        looked.looks.components("brigt")
    with pytest.raises(QueryError, match="Red has 6, from 1 to 6"):
        looked.looks.components("red", component=7)
    with pytest.raises(BenchmarkError, match="0 images, expected at least two"):
        looked.looks.components("red", where="key = 'x'")
    with pytest.raises(QueryError, match="expected 1 or more, found 0"):
        looked.looks.components("red", count=0)


# -- disagreements -------------------------------------------------------------------------


def test_planted_disagreements_are_found(taught):
    with Store.open(taught, read_only=True) as store:
        found = store.looks.disagreements(label="red")
        both = {(item.key, item.label) for item in found.shown}
        assert {(name(row), "Red") for row in WRONG} <= both
        by_key = {item.key: item for item in found.shown}
        for row, wrong in zip(WRONG, (0.99, 0.8), strict=True):
            item = by_key[name(row)]
            assert item.stored == picture(row)[1][RED]
            assert (item.teacher if item.stored < 0 else 1 - item.teacher) == pytest.approx(wrong, abs=1e-6)
            assert item.gap == pytest.approx(abs(item.probe - item.teacher))
        gaps = [item.gap for item in found.shown]
        assert gaps == sorted(gaps, reverse=True)
        assert found.images == 48
        assert found.total.with_probe == len(WRONG)  # the teacher errs about no other entry
        assert found.total.disagreements == found.total.with_probe + found.total.with_teacher
        everything = store.looks.disagreements(count=1)
        assert len(everything.shown) == 1
        assert everything.total.entries == 4 * 48


def test_without_a_teacher_the_error_says_what_to_do(gallery, taught, tmp_path):
    with (
        Store.open(gallery.store, read_only=True) as store,
        pytest.raises(BenchmarkError, match=r"the teacher of .* is gone: .* olrsearch train olr"),
    ):
        store.looks.disagreements()
    with Store.open(taught, read_only=True) as store, pytest.raises(UnknownLabelError):
        store.looks.disagreements(label="rad hat")
    with Store.open(taught, read_only=True) as store, pytest.raises(QueryError, match="found -1"):
        store.looks.disagreements(count=-1)
    assert not list(tmp_path.iterdir())


# -- pictures ------------------------------------------------------------------------------


def test_sheets_of_looks(looked, taught, tmp_path):
    found = looked.looks.components("red", count=5)
    page = looked.looks.sheet(found, tmp_path / "red.html").read_text("utf-8")
    assert page.count("<figure") == page.count("data:image/jpeg") == 5
    assert page.index(found.shown[0].key) < page.index(found.shown[-1].key)
    assert f"projection {found.shown[0].projection:+.3f}" in page
    with Image.open(looked.looks.sheet(found, tmp_path / "red.png", columns=5)) as image:
        assert image.size[0] == 12 + 5 * 172
    with Store.open(taught, read_only=True) as store:
        differ = store.looks.disagreements(label="red")
        page = store.looks.sheet(differ, tmp_path / "differ.html").read_text("utf-8")
    assert page.count("<figure") == len(differ.shown)
    assert "teacher decide differently about Red" in page
    assert page.count(">stored<") == len(differ.shown)
    with pytest.raises(OlrsearchError, match=r"\.html or \.png"):
        looked.looks.sheet(found, tmp_path / "red.pdf")


@pytest.mark.slow
def test_plots_of_looks(looked, tmp_path):
    for found in (looked.looks.norms(), looked.looks.components("red")):
        path = looked.looks.plot(found, tmp_path / "look.png")
        with Image.open(path) as image:
            assert image.size[0] > 900
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50
    with pytest.raises(OlrsearchError, match=r"ends in \.png"):
        looked.looks.plot(found, tmp_path / "look.html")


def test_the_heat_maps_stand_in_the_order_of_the_clusters(looked, tmp_path, monkeypatch):
    from olrsearch.sheets import plots

    drawn = {}
    monkeypatch.setattr(
        plots, "plot_correlations", lambda path, names, norms, labels, title: drawn.update(locals()) or path
    )
    found = looked.looks.norms()
    looked.looks.plot(found, tmp_path / "look.png")
    assert drawn["names"] == [LABELS[row] for row in found.order]
    for place, row in enumerate(found.order):
        assert drawn["norms"][place].tolist() == found.norms[row, list(found.order)].tolist()
        assert drawn["labels"][place].tolist() == found.labels[row, list(found.order)].tolist()
    assert "4 labels over 120 images" in drawn["title"]
