"""Encoders by name: shipped, of a store, in a folder."""

import shutil

import pytest
from tiny_encoders.labels import TinyEncoder

from olrsearch import Store
from olrsearch.core.errors import UnknownEncoderError
from olrsearch.pipeline.known_encoders import default_encoder, encoder_details, find_encoder, list_encoders


@pytest.fixture
def snapshot(gallery):
    with Store.open(gallery.store, read_only=True) as store:
        yield store.session.backend.snapshot()


@pytest.fixture
def bare(gallery, tmp_path):
    """A store that holds pictures and no encoder."""
    with Store.create(tmp_path / "store") as store:
        store.import_folder(gallery.data)
        yield store.session.backend.snapshot()


@pytest.mark.usefixtures("shipped")
def test_without_a_store_the_shipped_one_is_the_default():
    (entry,) = list_encoders()
    assert entry.default
    assert default_encoder() == entry == find_encoder("faces")


@pytest.mark.usefixtures("shipped")
def test_a_store_without_encoders_leaves_the_default_alone(bare):
    assert default_encoder(bare) == default_encoder()
    assert list_encoders(bare) == list_encoders()


@pytest.mark.usefixtures("shipped")
def test_the_newest_of_a_store_is_its_default(snapshot):
    first, second = list_encoders(snapshot)
    assert (first.source, first.default) == ("shipped", False)
    assert (second.source, second.default) == ("store", True)
    assert second.name == snapshot.space().name
    assert default_encoder(snapshot) == second
    assert not find_encoder("faces", snapshot).default


@pytest.mark.usefixtures("nothing_shipped")
def test_nothing_anywhere(bare):
    assert list_encoders(bare) == ()
    assert default_encoder(bare) is None
    with pytest.raises(UnknownEncoderError, match="the store has none, shipped with olrsearch: none"):
        find_encoder("faces", bare)


@pytest.mark.usefixtures("shipped")
def test_every_way_to_name_one(snapshot, gallery, tmp_path, monkeypatch):
    space = snapshot.space()
    for name in (space.name, space.fingerprint, space.fingerprint[:9].upper()):
        found = find_encoder(name, snapshot)
        assert (found.source, found.path) == ("store", space.model_path)
    entry = find_encoder("faces", snapshot)
    assert find_encoder(entry.fingerprint[:10], snapshot) == entry
    shutil.copytree(gallery.model, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for path in ("mine", tmp_path / "mine"):
        found = find_encoder(path, snapshot)
        assert (found.source, found.name, found.fingerprint) == ("folder", "mine", space.fingerprint)


@pytest.mark.usefixtures("shipped")
def test_a_folder_of_the_same_name_counts_only_if_it_is_a_model(tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_encoder("faces").source == "shipped"
    TinyEncoder.create(tmp_path / "models", ("A",), k=2)
    (made,) = (tmp_path / "models").iterdir()
    shutil.copytree(made, tmp_path / "faces", dirs_exist_ok=True)
    assert find_encoder("faces").source == "folder"


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("name", ["nobody", "", "0" * 64])
def test_unknown_names_list_what_there_is(snapshot, name):
    with pytest.raises(UnknownEncoderError) as caught:
        find_encoder(name, snapshot)
    message = str(caught.value)
    assert f"no encoder has the name or fingerprint {name!r}" in message
    assert snapshot.space().name in message
    assert "shipped with olrsearch: faces" in message
    assert "model folder" in message


def test_fingerprints_that_several_have_are_ambiguous(published, tmp_path, monkeypatch):
    for name in ("faces", "other"):
        shutil.copytree(published.folder, tmp_path / name)
    monkeypatch.setattr("olrsearch.core.resources.models_dir", lambda: tmp_path)
    fingerprint = find_encoder("faces").fingerprint
    with pytest.raises(UnknownEncoderError, match="several encoders have"):
        find_encoder(fingerprint)


@pytest.mark.usefixtures("shipped")
def test_details(snapshot):
    found = encoder_details(find_encoder("faces"))
    assert found["settings"]["rounded_from"] == snapshot.space().fingerprint
    assert found["calibration"] == "24 selection images of pictures, shipped with the encoder"
    assert found["metric"]
    assert found["card"]["training"]["seed"] == 4
    bare = encoder_details(find_encoder(snapshot.space().name, snapshot))
    assert (bare["calibration"], bare["metric"], bare["card"]) == (None, None, None)
    assert list(bare) == list(found)
