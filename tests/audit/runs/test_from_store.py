"""From a store to what an audit stands on."""

import numpy as np
import pytest
from command import good
from made_audits import UNLABELLED
from pictures import LABELS, name, write_pictures
from trained import add_run

from olrsearch.audit.runs.from_store import material_of_space, reopened_views
from olrsearch.core.errors import AuditError, UnknownLabelError
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store import Backend


@pytest.fixture
def opened(spoiled):
    with Backend.open(spoiled, read_only=True) as backend:
        snapshot = backend.snapshot()
        yield backend, OpenSpace(snapshot, snapshot.space())


def open_space(path):
    backend = Backend.open(path)
    snapshot = backend.snapshot()
    return backend, OpenSpace(snapshot, snapshot.space())


def test_images_by_id_with_their_labels_and_folds(opened):
    backend, space = opened
    whole = material_of_space(backend, space, seed=2)
    found = whole.found
    assert whole.ids.tolist() == sorted(space.view.ids.tolist())
    assert found.names == LABELS
    assert found.given.tolist() == space.snapshot.labels(whole.ids, LABELS).tolist()
    assert sorted(np.bincount(found.fold)) == [24] * 5
    assert (found.identity == -1).all()
    assert not whole.seen.any()
    assert whole.notes == ()
    assert found.given.dtype == np.int8


def test_views_are_the_stores_embeddings(opened):
    backend, space = opened
    whole = material_of_space(backend, space, labels=["framed", "Bright"])
    views = whole.found.views
    assert whole.found.names == ("Bright", "Framed")
    rows = np.array([4, 0, 77])
    each = np.stack([space.view.embedding(int(number)) for number in whole.ids[rows]])
    assert np.array_equal(views.features(0, rows), each.reshape(3, -1))
    for column, label in enumerate(("Bright", "Framed")):
        vectors = views.embeddings(1, column)
        assert vectors.shape == (120, 6)
        assert np.array_equal(vectors[rows], each[:, LABELS.index(label)])
    later = reopened_views(space, whole.ids, whole.found.names)
    assert np.array_equal(later.features(3, rows), views.features(0, rows))


def test_images_in_several_segments_and_deleted_ones(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    write_pictures(tmp_path / "more", 12, first=200)
    good(home, "import", "folder", tmp_path / "more", "--labels", tmp_path / "more" / "labels.csv")
    good(home, "encode")
    good(home, "delete", name(7))
    backend, space = open_space(home)
    with backend:
        whole = material_of_space(backend, space)
        assert len(whole.ids) == 131
        assert len(space.segments) == 2
        vectors = whole.found.views.embeddings(0, 1)
        for row in (0, 60, 130):
            assert np.array_equal(vectors[row], space.view.embedding(int(whole.ids[row]))[1])
        earlier = np.sort(np.append(whole.ids, 8))  # an image that was deleted since a run began
        views = reopened_views(space, earlier, whole.found.names)
        assert views.embeddings(0, 0).shape == (132, 6)
        with pytest.raises(
            AuditError, match=r"embeddings of this audit are gone \(image 999 has no embedding"
        ):
            reopened_views(space, np.array([1, 999]), whole.found.names)


def test_a_label_that_the_encoder_does_not_know(gallery, tmp_path):
    """It looks like images at large: principal coordinates of the whole embedding."""
    home = gallery.copy(tmp_path / "store")
    table = tmp_path / "odd.csv"
    table.write_text("image,Odd\n" + "".join(f"{name(row)},{row % 2 * 2 - 1}\n" for row in range(100)))
    good(home, "import", "folder", gallery.data, "--labels", table)
    backend, space = open_space(home)
    with backend:
        whole = material_of_space(backend, space)
        assert whole.found.names == (*LABELS, "Odd")
        assert (whole.found.given[:, 4] == 0).sum() == 20
        coordinates = whole.found.views.embeddings(0, 4)
        assert coordinates.shape == (120, 6)
        features = whole.found.views.features(0, np.arange(120)).astype(np.float64)
        centred = features - features.mean(axis=0)
        _, values, axes = np.linalg.svd(centred, full_matrices=False)
        assert np.allclose(np.abs(coordinates), np.abs(centred @ axes[:6].T), atol=1e-3)
        assert np.allclose(np.linalg.norm(coordinates, axis=0), values[:6], rtol=1e-3)
        # Some images alone, in another order of rows than the view's.
        part = material_of_space(backend, space, where="id > 60")
        assert part.found.views.embeddings(0, 0).shape == (60, 6)


def test_what_the_encoder_was_trained_on_is_said(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    add_run(home)
    backend, space = open_space(home)
    with backend:
        whole = material_of_space(backend, space)
        run = next((home / "runs").iterdir())
        trained = np.load(run / "ids.npy")[~np.load(run / "selection.npy")]
        assert whole.ids[whole.seen].tolist() == trained.tolist()
        assert f"was trained on the labels of {len(trained)} of these 120 images" in whole.notes[0]


def test_a_shipped_encoder_says_what_it_was_trained_on(published, gallery, tmp_path):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data, "--labels", gallery.data / "labels.csv")
    good(home, "encode", "--encoder", published.folder)
    backend, space = open_space(home)
    with backend:
        (note,) = material_of_space(backend, space).notes
        assert "was trained on pictures: where these images are among them" in note


def test_images_without_embedding_are_noted(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    write_pictures(tmp_path / "more", 3, first=200)
    good(home, "import", "folder", tmp_path / "more")
    backend, space = open_space(home)
    with backend:
        whole = material_of_space(backend, space)
        assert len(whole.ids) == 120
        assert "3 images have no embedding" in whole.notes[0]


def test_a_part_of_a_material(opened):
    from dataclasses import replace

    backend, space = opened
    found = material_of_space(backend, space).found
    twins = np.array([[1, 5], [5, 6], [10, 20]])
    found = replace(found, twins=twins)
    rows = np.array([1, 5, 20, 30])
    given = -found.given[rows]
    part = found.part(rows, given)
    assert part.given.tolist() == given.tolist()
    assert part.fold.tolist() == found.fold[rows].tolist()
    assert part.twins.tolist() == [[0, 1]]
    assert np.array_equal(part.views.features(0, np.array([2])), found.views.features(0, np.array([20])))
    assert np.array_equal(part.views.embeddings(0, 3), found.views.embeddings(0, 3)[rows])


def test_what_cannot_be_audited(opened):
    backend, space = opened
    with pytest.raises(UnknownLabelError, match="did you mean Bright"):
        material_of_space(backend, space, labels=["brigt"])
    with pytest.raises(AuditError, match="no image of these has a known value of Striped"):
        material_of_space(backend, space, labels=["striped", "red"], where=f"key = '{name(UNLABELLED[0])}'")
    with pytest.raises(AuditError, match="no label is stored for any of 0 images"):
        material_of_space(backend, space, where="key = 'x'")
    with pytest.raises(AuditError, match="5 folds of 3 identities"):
        material_of_space(backend, space, where="id < 4")
