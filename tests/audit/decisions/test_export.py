"""Exports of effective labels: written, imported again, the same labels."""

import json
import shutil

import numpy as np
import pytest
from command import good
from made_stores import LABELS as MADE
from made_stores import fill, new
from pictures import LABELS, name, write_pictures

from olrsearch import Store
from olrsearch.audit.decisions import export as exporting
from olrsearch.core.errors import (
    AuditError,
    LabelFileError,
    OptionalDependencyError,
    QuerySyntaxError,
    UnknownDatasetError,
)
from olrsearch.datasets.celeba_files import ATTRIBUTES
from olrsearch.datasets.generated import avatar_drawing
from olrsearch.store import Backend, DecisionRequest
from olrsearch.store.read.decisions import read_verdicts


def state(store):
    """Effective labels, partition and identity of every image by key, and who has labels."""
    snapshot = store.session.backend.snapshot()
    ids = snapshot.image_ids()
    columns = snapshot.columns(ids, ("key", "partition", "identity"))
    return {
        key: (dict(zip(snapshot.label_names, row, strict=True)), labelled, partition, identity)
        for key, row, labelled, partition, identity in zip(
            columns["key"].tolist(),
            snapshot.labels(ids).tolist(),
            snapshot.stored_labels(ids).known.tolist(),
            columns["partition"].tolist(),
            columns["identity"].tolist(),
            strict=True,
        )
    }


def verdicts(store):
    snapshot = store.session.backend.snapshot()
    return read_verdicts(snapshot, snapshot.image_ids()).tolist()


def flips(store, count, seed=0):
    """Decides some entries, every other one of them flipped."""
    snapshot = store.session.backend.snapshot()
    ids, rng = snapshot.image_ids(), np.random.default_rng(seed)
    given = snapshot.labels(ids)
    chosen = rng.permutation(np.flatnonzero(given))[:count]
    store.labels.decide(
        [
            DecisionRequest(
                int(ids[entry // given.shape[1]]),
                snapshot.label_names[entry % given.shape[1]],
                "accept" if place % 2 else "flip",
            )
            for place, entry in enumerate(chosen.tolist())
        ],
        who="ann",
    )


@pytest.fixture
def folder(tmp_path):
    """A store of pictures of which one has no row and some values are unknown; and how it was imported."""
    pictures = tmp_path / "pictures"
    table = write_pictures(pictures, 12, unlabelled=(7,))
    with Store.create(tmp_path / "store") as store:
        store.import_folder(pictures, labels=table)
        flips(store, 8)
        store.labels.set([name(3)], "Red", "unknown", who="ann")
        yield store, pictures


@pytest.mark.parametrize("out", ["labels.csv", "labels.json", "labels.jsonl"])
def test_a_folder_is_exported_and_imported_again(folder, tmp_path, out):
    store, pictures = folder
    wanted, judged = state(store), verdicts(store)
    written = store.labels.export(tmp_path / "out" / out)
    assert (written.images, written.labels, written.unlabelled) == (11, 4, 1)
    assert written.changed == 5, "four flips and one taken for unknown"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [out]
    with Store.create(tmp_path / "fresh") as fresh:
        fresh.import_folder(pictures, labels=tmp_path / "out" / out)
        assert state(fresh) == wanted
    report = store.import_folder(pictures, labels=tmp_path / "out" / out)
    assert report.relabelled == 5
    assert state(store) == wanted
    assert verdicts(store) == judged, "and what was reviewed is reviewed still"
    assert store.import_folder(pictures, labels=tmp_path / "out" / out).relabelled == 0


def test_a_folder_without_unknown_values_as_celebas_file(folder, tmp_path):
    store, pictures = folder
    with pytest.raises(LabelFileError, match="1 values of 1 images are unknown"):
        store.labels.export(tmp_path / "labels.txt")
    assert not (tmp_path / "labels.txt").exists()
    store.labels.undo(name(3), "Red", who="ann")
    wanted = {key: row[0] for key, row in state(store).items()}
    store.labels.export(tmp_path / "labels.txt")
    with Store.create(tmp_path / "fresh") as fresh:
        fresh.import_folder(pictures, labels=tmp_path / "labels.txt")
        assert {key: row[0] for key, row in state(fresh).items()} == wanted


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A few avatars in CelebA's layout."""
    try:
        avatar_drawing.check_installed()
    except OptionalDependencyError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("faces") / "avatars"
    good("unused", "-q", "datasets", "avatars", folder, "--count", 24, "--seed", 5)
    return folder


@pytest.mark.parametrize("form", ["txt", "csv", "json"])
def test_celebas_layout_is_exported_and_imported_again(faces, tmp_path, form):
    out = tmp_path / f"labels.{form}"
    with Store.create(tmp_path / "store") as store:
        store.import_celeba(faces, thumbnails=False)
        flips(store, 40)
        wanted, judged = state(store), verdicts(store)
        assert store.labels.export(out).changed == 20
        with Store.create(tmp_path / "fresh") as fresh:
            fresh.import_celeba(faces, annotations=out, thumbnails=False)
            assert state(fresh) == wanted
        assert store.import_celeba(faces, annotations=out, thumbnails=False).relabelled > 10
        assert (state(store), verdicts(store)) == (wanted, judged)
        if form == "txt":  # in the place of the original, as any program of CelebA's would have it
            layout = shutil.copytree(faces, tmp_path / "layout")
            (file,) = layout.rglob(ATTRIBUTES)
            assert out.read_bytes().splitlines()[:2] == file.read_bytes().splitlines()[:2]
            shutil.copy(out, file)
            with Store.create(tmp_path / "third") as third:
                third.import_celeba(layout, thumbnails=False)
                assert state(third) == wanted


def test_which_images_are_exported(folder, tmp_path):
    store, _ = folder
    store.labels.export(tmp_path / "some.csv", where="partition = 'train' and Bright = present")
    keys = [line.partition(",")[0] for line in (tmp_path / "some.csv").read_text().splitlines()[1:]]
    assert keys == [key for key, row in state(store).items() if row[2] == "train" and row[0]["Bright"] == 1]
    assert 0 < len(keys) < 8
    with pytest.raises(QuerySyntaxError):
        store.labels.export(tmp_path / "none.csv", where="colour = 'red'")
    with pytest.raises(LabelFileError, match=r"no image of .* is chosen"):
        store.labels.export(tmp_path / "none.csv", where="key = 'x'")
    with pytest.raises(LabelFileError, match="none of 1 images has stored labels"):
        store.labels.export(tmp_path / "none.csv", where=f"key = '{name(7)}'")
    with pytest.raises(UnknownDatasetError, match="did you mean pictures"):
        store.labels.export(tmp_path / "none.csv", dataset="picture")
    with pytest.raises(UnknownDatasetError, match="it has: pictures"):
        store.labels.export(tmp_path / "none.csv", dataset="xyz")
    assert not (tmp_path / "none.csv").exists()


@pytest.fixture
def two(tmp_path):
    """Two data sets that share keys, one of them with a label of its own."""
    with Backend.create(tmp_path / "two") as backend:
        fill(backend, 3, "one")
        fill(backend, 3, "two")
        with backend.writer() as writer:
            writer.gallery.add_images(2, [new("hat.jpg", labels=(1,))], ["Hat"])
        yield backend


def test_keys_of_several_data_sets(two, tmp_path):
    out = tmp_path / "labels.csv"
    with pytest.raises(LabelFileError, match=r"3 keys are in several .*'000.jpg' in one and two.*--dataset"):
        exporting.export_labels(two.snapshot(), out)
    written = exporting.export_labels(two.snapshot(), out, dataset="one")
    assert (written.images, written.labels) == (3, 2), "nothing is known of the others here"
    assert out.read_text().startswith("image,partition,identity,Smiling,Male\n")
    assert exporting.export_labels(two.snapshot(), tmp_path / "b.csv", dataset="two").labels == 3
    with two.writer() as writer:
        writer.gallery.delete(two.snapshot().image_ids()[:3])
    assert exporting.export_labels(two.snapshot(), tmp_path / "c.csv").images == 4


def test_a_label_that_was_decided_to_be_unknown_is_exported(two, tmp_path):
    """Imported over the original labels, the file must say so."""
    ids = two.snapshot().image_ids()[:3].tolist()
    with two.writer() as writer:
        writer.decisions.decide([DecisionRequest(image, "Male", "set", 0, who="ann") for image in ids])
    exporting.export_labels(two.snapshot(), tmp_path / "labels.json", dataset="one")
    for line in (tmp_path / "labels.json").read_text().splitlines():
        assert json.loads(line)["labels"] == {"Smiling": "present", "Male": "unknown"}
    assert MADE == ("Smiling", "Eyeglasses", "Male")


def test_files_that_are_there_and_names_that_say_no_form(two, tmp_path):
    out = tmp_path / "labels.csv"
    out.write_text("mine")
    with pytest.raises(AuditError, match=r"labels.csv is there already: name another file, or say --replace"):
        exporting.export_labels(two.snapshot(), out, dataset="one")
    assert out.read_text() == "mine"
    exporting.export_labels(two.snapshot(), out, dataset="one", replace=True)
    assert out.read_text().startswith("image,")
    with pytest.raises(LabelFileError, match=r"labels\.xml says no form"):
        exporting.export_labels(two.snapshot(), tmp_path / "labels.xml", dataset="one")
    exporting.export_labels(two.snapshot(), tmp_path / "labels.xml", dataset="one", form="csv")
    with pytest.raises(AuditError, match="is a folder: name a file in it"):
        exporting.export_labels(two.snapshot(), tmp_path, dataset="one", form="csv")
    with pytest.raises(AuditError, match="cannot be written"):
        exporting.export_labels(two.snapshot(), out / "below.csv", dataset="one")


def test_an_export_that_fails_leaves_what_was_there(two, tmp_path, monkeypatch):
    out = tmp_path / "labels.csv"
    exporting.export_labels(two.snapshot(), out, dataset="one")
    before = out.read_bytes()

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("olrsearch.core.files.os.fsync", fail)
    with pytest.raises(AuditError, match="cannot be written: No space left"):
        exporting.export_labels(two.snapshot(), out, dataset="two", replace=True)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "two"]


def test_nothing_known_is_nothing_to_export(tmp_path):
    with Backend.create(tmp_path / "store") as backend, backend.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", tmp_path)
        writer.gallery.add_images(number, [new("a", labels=(0, 0))], ["Hat", "Beard"])
        with pytest.raises(LabelFileError, match="no label of 1 images has a known value"):
            exporting.export_labels(backend.snapshot(), tmp_path / "labels.csv")


def test_the_labels_of_a_gallery(gallery, tmp_path):
    with Store.open(gallery.store, read_only=True) as store:
        written = store.labels.export(tmp_path / "labels.csv")
    assert (written.images, written.labels, written.form) == (120, len(LABELS), "csv")
