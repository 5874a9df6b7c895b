"""Encoding: what a space lacks, and nothing else; resumable, whole after every interruption."""

import hashlib
import shutil

import pytest
from command import good
from pictures import LABELS, name, write_pictures
from tiny_encoders.labels import TinyEncoder

from olrsearch import Store
from olrsearch.core.errors import ImageMissingError, IncompatibleEncoderError
from olrsearch.pipeline.adding_encoders import add_model
from olrsearch.pipeline.encoding import encode_missing


def files_of(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


class Counting:
    """An encoder that counts the images it is given."""

    def __init__(self, encoder, stop_after=None):
        self._encoder = encoder
        self._stop_after = stop_after
        self.images = 0

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode(self, pixels):
        if self._stop_after is not None and self.images >= self._stop_after:
            raise KeyboardInterrupt
        self.images += len(pixels)
        return self._encoder.encode(pixels)


def counting(store, **options):
    """Puts a counting encoder in the place of the newest space's."""
    info = store.session.backend.snapshot().space(None)
    found = store.session._encoders[info.fingerprint] = Counting(TinyEncoder.load(info.model_path), **options)
    return found


def test_adding_images_encodes_the_new_ones_and_leaves_old_segments_alone(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    before = files_of(home / "segments")
    more = tmp_path / "more"
    write_pictures(more, 7, first=500)
    with Store.open(home) as store:
        store.import_folder(more, labels=more / "labels.csv")
        assert any("7 images have no embedding" in note for note in store.search("bright").notes)
        encoder = counting(store)
        report = store.encode()
        assert (report.encoded, report.present, encoder.images) == (7, 120, 7)
        assert store.encode().encoded == 0
        assert encoder.images == 7
        assert store.search("bright").candidates == 127
    after = files_of(home / "segments")
    assert len(after) == len(before) + 3
    assert {path: after[path] for path in before} == before


@pytest.mark.slow
def test_images_gone_since_the_import(gallery, tmp_path):
    shutil.copytree(gallery.data, tmp_path / "pictures")
    home = tmp_path / "store"
    good(home, "import", "folder", tmp_path / "pictures")
    (tmp_path / "pictures" / name(5)).unlink()
    with Store.open(home) as store, pytest.raises(ImageMissingError, match=name(5)):
        store.encode(gallery.model, on_error="fail")
    called = good(home, "encode")
    assert f"unreadable: {name(5)}: " in called.err
    assert "119 encoded" in called.err
    shutil.copy(gallery.data / name(5), tmp_path / "pictures")
    with Store.open(home) as store:
        assert store.encode().encoded == 1


def test_images_without_labels_are_encoded_but_not_calibrated(gallery, tmp_path):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data)
    called = good(home, "encode", "--encoder", gallery.model)
    assert "is not calibrated" in called.err
    with Store.open(home, read_only=True) as store:
        ranking = store.search("bright", 5)
        assert any("not calibrated" in note for note in ranking.notes)
        (described,) = store.describe(name(0))
        assert {estimate.stored for estimate in described} == {None}


def test_another_encoders_embeddings_are_refused(gallery, tmp_path):
    other = TinyEncoder.create(tmp_path / "models", LABELS, k=6, seed=99)
    home = gallery.copy(tmp_path / "store")
    with Store.open(home) as store:
        info = store.session.backend.snapshot().space(None)
        with pytest.raises(IncompatibleEncoderError, match="with its own encoder"):
            encode_missing(store.session.backend, info, other)
        report = store.encode(tmp_path / "models" / other.fingerprint)  # a space of its own
        assert report.encoded == 120
        assert {space["fingerprint"] for space in store.info()["spaces"]} == {
            info.fingerprint,
            other.fingerprint,
        }
        assert store.search("bright", space=info.fingerprint).hits != store.search("bright").hits


def test_an_interrupted_encoding_keeps_what_it_had(gallery, tmp_path):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data)
    with Store.open(home) as store:
        add_model(store.session.backend, gallery.model)
        first = counting(store, stop_after=32)
        with pytest.raises(KeyboardInterrupt):
            store.encode(batch_size=16)
        assert first.images == 32
        assert store.verify().ok
        second = counting(store)
        report = store.encode(batch_size=16)
        assert (report.encoded, report.present, second.images) == (88, 32, 88)
        assert store.verify().ok


def test_an_encoding_interrupted_before_its_calibration_is_calibrated_by_the_next(
    gallery, tmp_path, monkeypatch
):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data, "--labels", gallery.data / "labels.csv")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with Store.open(home) as store:
        with monkeypatch.context() as patched:
            patched.setattr("olrsearch.search.spaces.labels.choose_metric", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.encode(gallery.model)
        assert not store.info()["spaces"][0]["calibrated"]
        report = store.encode()
        assert (report.encoded, report.present) == (0, 120)
        assert any("calibrated on" in note for note in report.notes)
        assert store.info()["spaces"][0]["calibrated"]
        assert not store.encode().notes
