import contextlib
import dataclasses
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import olr_case
import pytest
import torch
from safetensors.torch import load_file

from olrsearch.core.errors import TrainingError
from olrsearch.encoders import registry
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.olr import stages
from olrsearch.encoders.olr.network import TeacherNetwork
from olrsearch.encoders.olr.training import teacher_probabilities, train_olr, train_teacher
from olrsearch.encoders.trainer import callbacks
from olrsearch.encoders.trainer.data import PixelBatches, StageData
from olrsearch.encoders.trainer.run import TrainingImages, has_run
from olrsearch.encoders.trainer.runner import run_stage
from olrsearch.encoders.trainer.stage import Stage

pytestmark = pytest.mark.slow

CASE = Path(olr_case.__file__)


@pytest.fixture(scope="module", autouse=True)
def _one_thread_for_all():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    return run, olr_case.train(run)


def test_a_run_leaves_a_model_and_its_record(trained):
    run, result = trained
    assert result.path == run / "models" / result.fingerprint
    assert set(result.metrics) == {"teacher_map", "teacher_accuracy", "map", "accuracy"}
    assert result.seconds.keys() == {"teacher", "siamese"}
    assert all(value > 0 for value in result.seconds.values())
    assert [entry["epoch"] for entry in result.history["siamese"]] == [1, 2, 3]
    lines = (run / "siamese" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history["siamese"]
    assert sorted(path.name for path in run.iterdir()) == [
        "models",
        "olr.json",
        "siamese",
        "teacher",
        "teacher.safetensors",
    ]
    names = set(read_config(result.path)["tensors"])
    assert {"readout.weight", "readout.bias", "network.head.maps.weight"} <= names
    assert not any("linear" in name or "teacher" in name for name in names)


def test_teacher_and_encoder_learn(tmp_path):
    result = olr_case.train(
        tmp_path, teacher_epochs="8", siamese_epochs="16", siamese_learning_rate="0.01", occlusion="0.2,0.4"
    )
    pixels, labels = olr_case.data(seed=5)
    probabilities = teacher_probabilities(tmp_path, pixels)
    assert probabilities.shape == (3, len(pixels))
    assert probabilities.dtype == np.float32
    encoder = registry.load(result.path)
    embeddings = encoder.encode(pixels)
    logits = encoder.readout.logits(embeddings)
    known = labels.T != 0
    for scores in (probabilities > 0.5, logits > 0):
        assert (scores == (labels.T > 0))[known].mean() > 0.85
    # e·e′ was trained to be p·p′, so norms follow the teacher's probabilities.
    norms = np.linalg.norm(embeddings, axis=2)
    for label in range(3):
        assert np.corrcoef(norms[label], probabilities[label])[0, 1] > 0.5


def _killed(run: Path, spot: str, *settings: str) -> None:
    done = subprocess.run(
        [sys.executable, str(CASE), str(run), spot, *settings], check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.parametrize("spot", ["step:0", "step:1", "checkpoint", "result"])
def test_a_killed_run_resumes_to_the_very_same_weights(tmp_path, trained, spot):
    whole, result = trained
    _killed(tmp_path, spot)
    assert has_run(tmp_path, "olr")
    resumed = olr_case.train(tmp_path, resume=True)
    assert resumed.fingerprint == result.fingerprint
    assert (tmp_path / "teacher.safetensors").read_bytes() == (whole / "teacher.safetensors").read_bytes()
    for stage, history in resumed.history.items():
        for again, first in zip(history, result.history[stage], strict=True):
            assert {**again, "seconds": 0} == {**first, "seconds": 0}


def test_a_finished_run_is_not_repeated(trained, monkeypatch):
    run, result = trained
    monkeypatch.setattr(Stage, "training_step", None)
    again = olr_case.train(run, resume=True)
    assert again == result


@pytest.mark.parametrize("killed", [False, True])
def test_early_stopping(tmp_path, monkeypatch, killed):
    scores = itertools.chain([0.5, 0.6, 0.55, 0.6], itertools.repeat(0.9))
    monkeypatch.setattr(
        "olrsearch.encoders.trainer.stage.selection_metrics",
        lambda *_: {"map": next(scores), "accuracy": 0.5},
    )
    if killed:
        monkeypatch.setattr("olrsearch.encoders.trainer.runner.save_file", _interrupt)
    settings = {"patience": "2", "teacher_epochs": "9", "siamese_epochs": "1"}
    with pytest.raises(KeyboardInterrupt) if killed else contextlib.nullcontext():
        olr_case.train(tmp_path, **settings)
    if killed:
        monkeypatch.undo()
        olr_case.train(tmp_path, resume=True, **settings)
    result = json.loads((tmp_path / "teacher" / "result.json").read_text())
    assert [entry["selection_map"] for entry in result["history"]] == [0.5, 0.6, 0.55, 0.6]
    assert result["best_epoch"] == 2


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_keeps_whole_epochs_and_says_so(tmp_path, trained, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    inner = Stage.training_step

    def training_step(self, batch, batch_idx):
        if (self.number, self.current_epoch, batch_idx) == (1, 2, 1):
            os.kill(os.getpid(), signal.SIGINT)
        return inner(self, batch, batch_idx)

    monkeypatch.setattr(Stage, "training_step", training_step)
    with pytest.raises(KeyboardInterrupt, match=r"label embeddings: 2 of 3 epochs are kept .* resume"):
        olr_case.train(tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert olr_case.train(tmp_path, resume=True).fingerprint == trained[1].fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"readout_weight": "0", "pairing": "random", "label_kernel": "3", "occlusion_fill": "black"},
        {"label_share": "1", "warm_start": "false", "flip": "false", "ema_decay": "0", "num_workers": "1"},
    ],
)
def test_other_ways_to_train(tmp_path, changes):
    short = {"teacher_epochs": "1", "siamese_epochs": "1"}
    result = olr_case.train(tmp_path, **short, **changes)
    encoder = registry.load(result.path)
    pixels, labels = olr_case.data()
    logits = encoder.readout.logits(encoder.encode(pixels))
    assert np.isfinite(logits).all()
    if "readout_weight" in changes:
        # Fitted afterwards, the readout is at least as good as no readout.
        assert ((logits > 0) == (labels.T > 0))[labels.T != 0].mean() > 0.5


def test_the_callers_randomness_is_left_alone(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    olr_case.train(tmp_path, teacher_epochs="1", siamese_epochs="1")
    torch.testing.assert_close(torch.rand(2), expected)


def test_progress_goes_to_standard_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    config = olr_case.config(teacher_epochs="1", siamese_epochs="1")
    train_olr(olr_case.images(), config, tmp_path, tmp_path / "models")
    out, err = capsys.readouterr()
    assert not out
    assert "teacher" in err
    assert "label embeddings" in err
    assert "map=" in err


def test_divergence_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "label_loss", lambda logits, *_, **__: logits.sum() * float("nan"))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        olr_case.train(tmp_path)


def test_runs_are_not_mixed_up(tmp_path, trained):
    run, _ = trained
    with pytest.raises(TrainingError, match="holds a run already"):
        olr_case.train(run)
    with pytest.raises(TrainingError, match="holds no run"):
        olr_case.train(tmp_path, resume=True)
    with pytest.raises(TrainingError, match=r"siamese_epochs \(was 3, now 4\)"):
        olr_case.train(run, resume=True, siamese_epochs="4")
    pixels, labels = olr_case.data(seed=1)
    with pytest.raises(TrainingError, match="other images"):
        train_olr(
            TrainingImages(pixels, labels, np.arange(160), np.arange(160, 192)),
            olr_case.config(),
            run,
            run / "models",
            resume=True,
        )
    with pytest.raises(TrainingError, match="holds no run"):
        teacher_probabilities(tmp_path, pixels)
    (tmp_path / "olr.json").write_text("{}")
    with pytest.raises(TrainingError, match="cannot be read"):
        olr_case.train(tmp_path, resume=True)


def test_a_damaged_result_is_named(tmp_path):
    short = {"teacher_epochs": "1", "siamese_epochs": "1"}
    olr_case.train(tmp_path, **short)
    (tmp_path / "siamese" / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="cannot be read"):
        olr_case.train(tmp_path, resume=True, **short)
    (tmp_path / "teacher.safetensors").write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match="train the teacher again"):
        teacher_probabilities(tmp_path, olr_case.data()[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": np.zeros((40, 16, 17, 3), np.uint8)}, "scale the images"),
        ({"pixels": np.zeros((40, 16, 16, 3), np.float32)}, "expected uint8"),
        ({"labels": np.ones((40, 2), np.int8)}, "one column a label"),
        ({"labels": np.full((40, 3), 2, np.int8)}, "other values"),
        ({"train": np.arange(0)}, "0 training images"),
        ({"selection": np.arange(0)}, "0 selection images"),
        ({"train": np.arange(31)}, "1 images are both"),
        ({"train": np.arange(20, 60)}, "check the index"),
        ({"train": np.zeros(4, np.int64)}, "check the index"),
        ({"labels": np.tile(np.array([1, -1, 0], np.int8), (40, 1))}, "known value of Bright_Top"),
    ],
)
def test_bad_arrays_are_named(tmp_path, changes, message):
    with pytest.raises(TrainingError, match=message):
        train_olr(
            dataclasses.replace(olr_case.images(30, 10), **changes),
            olr_case.config(),
            tmp_path / "run",
            tmp_path,
        )
    assert not (tmp_path / "run").exists()


def test_one_class_only_is_warned_about_and_trained(tmp_path, caplog):
    images = olr_case.images(30, 10)
    labels = np.where(np.arange(3) == 1, 1, images.labels).astype(np.int8)
    config = olr_case.config(teacher_epochs="1", siamese_epochs="1")
    with caplog.at_level(logging.INFO):
        result = train_olr(
            dataclasses.replace(images, labels=labels), config, tmp_path, tmp_path / "m", progress=False
        )
    (said,) = [one for one in caplog.records if "all known values of Green are the same" in one.getMessage()]
    assert said.levelno == logging.INFO, "the report of the run says it to people"
    encoder = registry.load(result.path)
    logits = encoder.readout.logits(encoder.encode(images.pixels))
    assert np.isfinite(logits).all()


@pytest.mark.slow
@pytest.mark.timeout(600)  # two new processes import everything
def test_two_processes_train_together(tmp_path):
    pixels, labels = olr_case.data()
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    config = olr_case.config(devices="2", teacher_epochs="1")
    data = StageData(
        PixelBatches(mapped, labels, np.arange(160)),
        PixelBatches(mapped, labels, np.arange(160, 192)),
        config,
        0,
    )
    teacher = TeacherNetwork(config, torch.full((3,), 128.0), torch.full((3,), 60.0))
    result = run_stage(
        stages.TeacherStage(config, teacher, torch.zeros(3)),
        data,
        tmp_path / "teacher",
        "teacher",
        1,
        progress=False,
    )
    assert result.best_epoch == 1
    assert result.state.keys() == teacher.state_dict().keys()


def test_another_head_takes_a_teacher_that_is_finished(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    trained = olr_case.train(first)
    pixels, labels = olr_case.data()

    def again(run, **changes):
        config = olr_case.config(head="query", **changes)
        images = TrainingImages(pixels, labels, np.arange(160), np.arange(160, 192))
        return train_olr(images, config, run, tmp_path / "m", source=first, progress=False)

    other = again(second, freeze_trunk="true", manner="0.3", norm_weight="0.2", temperature="1.5")
    assert other.history["teacher"] == trained.history["teacher"]
    np.testing.assert_array_equal(teacher_probabilities(first, pixels), teacher_probabilities(second, pixels))
    # A frozen trunk is the teacher's own, before and after.
    teacher = load_file(second / "teacher.safetensors")
    model = load_file(other.path / "weights.safetensors")
    for name, value in teacher.items():
        if name.startswith("trunk.") and value.is_floating_point():
            torch.testing.assert_close(model[f"network.{name}"], value, rtol=0, atol=0)
    with pytest.raises(TrainingError, match=r"does not fit: width \(its 8, here 4\)"):
        again(tmp_path / "third", width="4")
    labels = -labels
    with pytest.raises(TrainingError, match="other images, labels or splits"):
        again(tmp_path / "third")
    labels = -labels
    (first / "teacher" / "result.json").unlink()
    with pytest.raises(TrainingError, match="not finished"):
        again(tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_a_teacher_alone(tmp_path):
    pixels = olr_case.images().pixels
    config = olr_case.config(
        teacher_occlusion="0.3", zoom="0.1", rotation="10", colour="0.2", label_smoothing="0.1"
    )
    result = train_teacher(olr_case.images(), config, tmp_path, progress=False)
    assert len(result.history) == config.teacher_epochs
    assert teacher_probabilities(tmp_path, pixels).shape == (3, len(pixels))
    assert not (tmp_path / "siamese").exists()


@pytest.mark.parametrize("count", [2, 5, 80])
def test_any_number_of_steps_will_do(tmp_path, count):
    images = olr_case.images(count, 1)
    config = olr_case.config(teacher_epochs="1", siamese_epochs="1", batch_size="16")
    images.labels[0], images.labels[1] = 1, -1
    result = train_olr(images, config, tmp_path, tmp_path / "models", progress=False)
    assert 0 <= result.metrics["accuracy"] <= 1


def test_averaging_warms_up_and_copies_counters():
    average = callbacks._WarmedAverage(0.9)
    for steps, left in ((1, 2 / 11), (10_000, 0.9)):
        averaged = [torch.zeros(()), torch.zeros(2)]
        average(averaged, [torch.ones(()), torch.ones(2)], steps)
        assert averaged[0].item() == pytest.approx(1 - left)
        assert averaged[1].tolist() == pytest.approx([1 - left] * 2)
    counters = [torch.tensor(3)]
    average(counters, [torch.tensor(5)], 7)
    assert counters[0].item() == 5
    with pytest.raises(TrainingError, match="outside of training"):
        callbacks.Averaging(0.9).averaged_network()
