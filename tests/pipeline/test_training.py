"""From a store to an encoder: which images, which settings, and going on after an interruption."""

import json
import shutil
import signal

import numpy as np
import pytest
from command import good, one_thread, process, refused
from pictures import LABELS, write_pictures

from olrsearch import Store
from olrsearch.pipeline.training import _notes
from olrsearch.store.training_runs import run_of

ARGUMENTS = ("-q", "train", "olr", "--profile", "tiny", "--set", "seed=3")

KILL_IN_SECOND_EPOCH = """
import os, signal, sys
from olrsearch.apps.cli import run
from olrsearch.encoders.olr import stages
original, steps = stages.SiameseStage.training_step, 0
def step(self, *arguments):
    global steps
    steps += 1
    if steps == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *arguments)
stages.SiameseStage.training_step = step
sys.exit(run(sys.argv[1:]))
"""

INTERRUPT_DECODING = """
import sys
from olrsearch.pipeline import reading_pixels
from olrsearch.apps.cli import run
def load_array(*arguments, **options):
    raise KeyboardInterrupt
reading_pixels.load_array = load_array
sys.exit(run(sys.argv[1:]))
"""


def fingerprint(store):
    with Store.open(store, read_only=True) as opened:
        (space,) = opened.info()["spaces"]
    return space["fingerprint"]


def test_a_killed_training_goes_on_to_the_same_weights(world, imported, tmp_path):
    store = imported.copy(tmp_path / "store")
    killed = process(store, *ARGUMENTS, program=KILL_IN_SECOND_EPOCH)
    assert killed.code == -signal.SIGKILL, killed.err
    with Store.open(store) as opened:
        assert opened.encoders.has_unfinished_run()
        assert opened.verify().ok
        assert not opened.info()["spaces"]
    (run,) = (store / "runs").iterdir()
    assert (run / "siamese" / "last.ckpt").exists()
    trained = good(store, "-q", "train", "olr", "--resume", "--json").row
    assert trained["fingerprint"] == fingerprint(store) == fingerprint(world.store)
    with Store.open(store) as opened:
        assert not opened.encoders.has_unfinished_run()
        assert opened.verify().ok


def test_an_interruption_while_decoding_can_be_resumed(world, imported, tmp_path):
    store = imported.copy(tmp_path / "store")
    interrupted = process(store, *ARGUMENTS, program=INTERRUPT_DECODING)
    assert interrupted.code == 130, interrupted.err
    one_thread()
    good(store, "-q", "train", "olr", "--resume")
    assert fingerprint(store) == fingerprint(world.store)


def test_a_run_keeps_what_it_used_and_no_pixels(world):
    (run,) = (world.store / "runs").iterdir()
    assert run_of(world.store, fingerprint(world.store)) == run
    assert run_of(world.store, "0" * 64) is None
    names = {path.name for path in run.iterdir()}
    assert {"run.json", "ids.npy", "labels.npy", "selection.npy", "teacher.safetensors"} <= names
    assert "pixels.npy" not in names
    ids, selection = np.load(run / "ids.npy"), np.load(run / "selection.npy")
    assert selection.shape == ids.shape
    with Store.open(world.store, read_only=True) as store:
        columns = store.session.backend.snapshot().columns(ids, ("partition", "identity"))
    assert set(columns["partition"]) == {"train"}
    held_back = set(columns["identity"][selection].tolist())
    assert not held_back & set(columns["identity"][~selection].tolist())


def test_the_model_folder_holds_no_teacher(world):
    (model,) = (world.store / "models").iterdir()
    assert sorted(path.name for path in model.iterdir()) == [
        "config.json",
        "fit.json",
        "fit.safetensors",
        "weights.safetensors",
    ]
    config = json.loads((model / "config.json").read_text())
    assert not any("teacher" in name for name in config["tensors"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "bogus=1"), "unknown configuration key 'bogus'"),
        (("--set", "batch_sise=8"), "did you mean batch_size?"),
        (("--set", "k=zero"), "k=zero: expected a whole number"),
        (("--set", "k=0"), "k = 0: expected 1 or more"),
        (("--profile", "huge"), "unknown profile 'huge'; expected one of cpu, faces, demo"),
        (("--labels", "smilng"), "did you mean Smiling"),
        (("--resume",), "there is no unfinished run"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_made(imported, tmp_path, arguments, message):
    store = imported.copy(tmp_path / "store")
    assert message in refused(store, "-q", "train", "olr", *arguments)
    assert not (store / "runs").exists() or not any((store / "runs").iterdir())


def test_a_resumed_run_keeps_its_settings(imported, tmp_path):
    store = imported.copy(tmp_path / "store")
    process(store, *ARGUMENTS, program=INTERRUPT_DECODING)
    assert "keeps its own settings" in refused(store, "train", "olr", "--resume", "--set", "k=3")


def test_images_that_are_gone_stop_training_with_a_way_on(tmp_path):
    folder, store = tmp_path / "pictures", tmp_path / "store"
    table = write_pictures(folder, 12)
    good(store, "import", "folder", folder, "--labels", table)
    shutil.move(folder, tmp_path / "elsewhere")
    line = refused(store, "train", "olr", "--profile", "tiny")
    assert "cannot be read" in line
    assert "relocate" in line
    with Store.open(store) as opened:
        assert not opened.encoders.has_unfinished_run()
        opened.relocate("pictures", tmp_path / "elsewhere")
        assert opened.verify(sources=True).ok


def test_too_few_images(tmp_path):
    folder, store = tmp_path / "pictures", tmp_path / "store"
    table = write_pictures(folder, 1)
    good(store, "import", "folder", folder, "--labels", table)
    assert "too few" in refused(store, "train", "olr", "--profile", "tiny")


def test_labels_that_training_images_do_not_have_are_named_before_anything_is_made(tmp_path):
    folder, store = tmp_path / "pictures", tmp_path / "store"
    rows = write_pictures(folder, 20).read_text().splitlines()
    held_out = [f"{row},{'' if ',train,' in row else 'present'}" for row in rows[1:]]
    (folder / "labels.csv").write_text("\n".join([f"{rows[0]},Rare", *held_out]))
    good(store, "import", "folder", folder, "--labels", folder / "labels.csv")
    line = refused(store, "-q", "train", "olr", "--profile", "tiny")
    assert "no training image has a known value of Rare" in line
    assert "--labels" in line
    assert not (store / "runs").exists()


@pytest.mark.slow
def test_few_images_are_said_to_be_few_and_how_to_ask_the_other_spaces():
    labels = np.ones((28, 2), np.int8)
    labels[:14] = -1
    (said,) = _notes(labels, ["a", "b"], has_fit=True, others=["faces-46a681fc"])
    assert said.startswith("28 images are too few")
    assert "--space faces-46a681fc" in said
    (alone,) = _notes(labels, ["a", "b"], has_fit=True, others=[])
    assert "--space" not in alone
    assert not list(_notes(np.tile(labels, (20, 1)), ["a", "b"], has_fit=True, others=["faces"]))


def test_some_labels_only(tmp_path):
    one_thread()
    folder, store = tmp_path / "pictures", tmp_path / "store"
    table = write_pictures(folder, 60)
    good(store, "import", "folder", folder, "--labels", table)
    called = good(store, "train", "olr", "--profile", "tiny", "--labels", "striped, red")
    assert "next: olrsearch encode" in called.err
    with Store.open(store) as opened:
        opened.encode()
        assert opened.info()["spaces"][0]["labels"] == 2
        assert opened.search("red & !striped", 3).hits
        assert set(LABELS) == {row["label"] for row in opened.labels.counts()}
        assert len(opened.describe("0001.png")[0].estimates) == 2
        assert opened.labels.known() == ("Striped", "Red")  # what `bench speed` asks for must be among them


def test_another_head_takes_the_teacher_of_a_run_or_space(world, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(world.store, store)
    (run,) = (store / "runs").iterdir()
    with Store.open(store) as opened:
        space = opened.info()["spaces"][0]["name"]
        for name in (run.name, space):
            settings = {"head": "query", "freeze_trunk": "true", "k": "3" if name == space else "5"}
            trained = opened.encoders.train("olr", "tiny", settings=settings, teacher=name)
            for file in ("ids.npy", "selection.npy", "teacher.safetensors"):
                assert (trained.run / file).read_bytes() == (run / file).read_bytes()
    command = ("train", "olr", "--profile", "tiny", "--teacher")
    assert "nobody" in refused(store, *command, "nobody")
    other = store / "runs" / "informed-prior-1"
    other.mkdir()
    (other / "run.json").write_text('{"kind": "informed-prior", "config": {}}')
    assert "which has no teacher for one of kind olr" in refused(store, *command, other.name)
    shutil.rmtree(other)
    assert "does not fit: width (its 8, here 4)" in refused(store, *command, run.name, "--set", "width=4")
    with Store.open(store) as opened:
        assert not opened.encoders.has_unfinished_run()
        assert opened.verify().ok
