"""From a space to a decoder beside its model: which images, going on, and what refuses."""

import json
import shutil

import numpy as np
import pytest
from command import call, good, refused

from olrsearch import Store
from olrsearch.core.errors import ModelFileError
from olrsearch.encoders.folder.model_config import DECODER_NAME, read_config
from olrsearch.encoders.olr import decoder_training
from olrsearch.encoders.olr.decoder import open_decoder
from olrsearch.encoders.olr.decoder_file import DECODER_TENSORS
from olrsearch.store.training_runs import run_array, run_of

ARGUMENTS = ("-q", "train", "decoder", "--profile", "tiny")


@pytest.fixture(scope="module")
def decoded(gallery, tmp_path_factory):
    """The pictures' store with a decoder of its space, and what training it printed."""
    store = gallery.copy(tmp_path_factory.mktemp("decoded") / "store")
    with Store.open(store) as opened:
        opened.delete(["0001.png"])
    return store, good(store, *ARGUMENTS, "--json").row


def model_of(store):
    (model,) = (store / "models").iterdir()
    return model


def test_it_lies_beside_the_model_and_changes_nothing_else(gallery, decoded):
    store, report = decoded
    before, after = model_of(gallery.store), model_of(store)
    assert {path.name for path in after.iterdir()} - {path.name for path in before.iterdir()} == {
        DECODER_NAME,
        DECODER_TENSORS,
    }
    assert report["fingerprint"] == before.name == after.name
    assert set(report["metrics"]) == {"ssim", "psnr", "mse"}
    with Store.open(store, read_only=True) as opened:
        space = opened.session.space(None)
        assert space.info.fingerprint == before.name
        pictures = open_decoder(after).decode(space.view.gather_all(np.arange(3)).transpose(1, 0, 2).copy())
        assert opened.verify().ok
    assert pictures.shape == (3, 16, 16, 3)


def test_it_learns_from_living_training_images_and_holds_some_back(decoded):
    store, report = decoded
    (run,) = (store / "runs").iterdir()
    ids, selection = run_array(run, "ids"), run_array(run, "selection")
    with Store.open(store, read_only=True) as opened:
        snapshot = opened.session.snapshot()
        columns = snapshot.columns(ids, ("partition", "key"))
    assert set(columns["partition"]) == {"train"}
    assert "0001.png" not in columns["key"]
    assert report["images"] == int((~selection).sum()) > 50
    assert report["selection"] == int(selection.sum()) > 5
    assert {path.name for path in run.iterdir()} >= {"run.json", "ids.npy", "selection.npy"}
    assert not (run / "pixels.npy").exists()
    assert run_of(store, report["fingerprint"]) is None  # no encoder was trained here


def interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_run_goes_on(gallery, tmp_path, monkeypatch):
    store = gallery.copy(tmp_path / "store")
    with monkeypatch.context() as patched:
        patched.setattr(decoder_training, "_begun", interrupted)
        stopped = call(store, *ARGUMENTS)
    assert stopped.code == 130
    assert "train decoder --resume" in stopped.err
    assert not (model_of(store) / DECODER_NAME).exists()
    assert "keeps its own settings" in refused(store, *ARGUMENTS, "--resume", "--set", "epochs=3")
    other = shutil.copytree(store, tmp_path / "other")
    assert good(store, "-q", "train", "decoder", "--resume", "--json").row["size"] == [16, 16]
    assert "no unfinished run of a decoder" in refused(store, *ARGUMENTS, "--resume")
    with Store.open(other) as opened:
        opened.delete(["0001.png"])
    assert "have been deleted since" in refused(other, *ARGUMENTS, "--resume")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "bogus=1"), "unknown configuration key 'bogus'"),
        (("--set", "k=3"), "k is the encoder's"),
        (("--set", "labels=Red"), "labels is the encoder's"),
        (("--set", "flip=true"), "its own image"),
        (("--profile", "huge"), "unknown profile 'huge'; expected one of cpu, paper, demo, tiny"),
        (("--space", "nobody"), "nobody"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_made(gallery, arguments, message):
    assert message in refused(gallery.store, "-q", "train", "decoder", *arguments)
    assert not any((gallery.store / "runs").glob("decoder-*"))


def test_images_that_are_gone_stop_training_with_a_way_on(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    with Store.open(store) as opened:
        folder = tmp_path / "pictures"
        shutil.copytree(gallery.data, folder)
        opened.relocate("pictures", folder)
    shutil.rmtree(folder)
    folder.mkdir()
    line = refused(store, *ARGUMENTS)
    assert "cannot be read" in line
    assert "relocate" in line
    assert not any((store / "runs").iterdir())


def test_nothing_encoded_is_said(tmp_path):
    with Store.create(tmp_path / "store"):
        pass
    assert "olrsearch encode" in refused(tmp_path / "store", *ARGUMENTS)


@pytest.mark.slow
def test_damage_is_found_by_verify(decoded, tmp_path):
    store = shutil.copytree(decoded[0], tmp_path / "store")
    path = model_of(store) / DECODER_TENSORS
    path.write_bytes(path.read_bytes()[:-9])
    with Store.open(store, read_only=True) as opened:
        (problem,) = opened.verify().problems
    assert problem.code == "model"
    assert "olrsearch train decoder" in problem.message
    again = good(store, *ARGUMENTS, "--json").row  # which mends it
    assert json.loads((model_of(store) / DECODER_NAME).read_text())["metrics"] == again["metrics"]


@pytest.mark.slow
def test_it_comes_along_when_the_model_is_taken_into_another_store(decoded, gallery, tmp_path):
    store = tmp_path / "store"
    good(store, "-q", "import", "folder", gallery.data)
    good(store, "-q", "encode", "--encoder", gallery.model)
    assert not (model_of(store) / DECODER_NAME).exists()
    good(store, "-q", "encode", "--encoder", model_of(decoded[0]))
    assert (model_of(store) / DECODER_NAME).read_bytes() == (model_of(decoded[0]) / DECODER_NAME).read_bytes()


def test_lists_say_whether_there_is_a_decoder(decoded, gallery):
    store, report = decoded
    assert [row["has_decoder"] for row in good(store, "encoders", "list", "--json").rows][-1] is True
    name = report["space"]
    facts = good(store, "encoders", "info", name, "--json").row["decoder"]
    assert facts["metrics"] == report["metrics"]
    assert facts["config"]["image_size"] == [16, 16]
    assert "decoder: pictures of 16 × 16 pixels" in good(store, "encoders", "info", name).out
    assert good(gallery.store, "encoders", "info", name, "--json").row["decoder"] is None
    assert "decoder: none; olrsearch train decoder" in good(gallery.store, "encoders", "info", name).out


@pytest.mark.slow
def test_publishing_takes_it_along_when_asked(published, tmp_path):
    store = shutil.copytree(published.store, tmp_path / "store")
    with Store.open(store) as opened:
        with pytest.raises(ModelFileError, match="no decoder to take along: run olrsearch train decoder"):
            opened.encoders.publish(None, tmp_path / "out", name="one", decoder=True)
        opened.encoders.train_decoder(profile="tiny")
        without = opened.encoders.publish(None, tmp_path / "out", name="without")
        taken = opened.encoders.publish(None, tmp_path / "out", name="taken", half=True, decoder=True)
    assert open_decoder(without) is None
    assert open_decoder(taken).size == (16, 16)
    assert read_config(taken)["fingerprint"] != read_config(without)["fingerprint"]
