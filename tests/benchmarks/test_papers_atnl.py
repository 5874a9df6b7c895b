"""Tables 1 and 2 of paper 002 on made digits: measures against what they must be, and the whole command."""

import json

import numpy as np
import pytest
from command import good, one_thread, refused
from olrsearch_benchmarks.papers.atnl import few_shot, label_report, label_shots, table1
from olrsearch_benchmarks.papers.atnl.digits import Digits
from olrsearch_benchmarks.papers.atnl.label_report import run_label_shots
from olrsearch_benchmarks.papers.atnl.table1 import measure

from olrsearch.datasets.idx_format import format_idx
from olrsearch.encoders.protocol import Posteriors


def _digits(count, seed=0):
    """Made digits: the number is where a bright bar stands."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 10
    pixels = rng.integers(0, 40, (count, 28, 28, 1))
    for row, digit in enumerate(classes):
        pixels[row, :, 2 * digit + 4 : 2 * digit + 7] += 200
    return Digits(np.repeat(pixels, 3, axis=3).astype(np.uint8), classes.astype(np.int64))


class _Arc:
    """An encoder that knows the digit: ten places on half a circle, and the way back."""

    kind = "atnl"

    def encode(self, pixels):
        columns = pixels[..., 0].astype(float).mean(axis=1)
        bars = columns[:, 4:26] + columns[:, 5:27] + columns[:, 6:28]
        digit = np.clip(bars.argmax(axis=1) // 2, 0, 9)
        turned = digit * 0.3
        mean = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)
        return Posteriors(mean, np.zeros((len(mean), 3), np.float32))

    def decode(self, points):
        digit = np.round(np.arctan2(points[:, 1], points[:, 0]) / 0.3).astype(int)
        return np.repeat(digit[:, None, None, None], 3, axis=3).astype(np.uint8)


class _Reader:
    def read(self, pixels):
        return pixels[:, 0, 0, 0].astype(np.int64)


def test_an_encoder_in_perfect_order_reaches_everything(monkeypatch):
    monkeypatch.setattr(table1, "_PAIRS", 20)
    monkeypatch.setattr(table1, "_STRIPS", 2)
    digits = _digits(60)
    found = measure(_Arc(), digits, digits, _Reader(), seed=0)
    values = (found.neighbours, found.reconstructed, found.same, found.between, found.ordered, found.midpoint)
    assert values == pytest.approx([1] * 6)
    assert found.order == pytest.approx(1, abs=1e-3)


def test_shots_are_drawn_varied_and_made(monkeypatch):
    monkeypatch.setattr(few_shot, "_STEPS", 2)
    digits = _digits(80)
    shots = few_shot.draw_shots(digits, 2, seed=0)
    assert np.bincount(shots.classes).tolist() == [2] * 10
    varied = few_shot.augmented(shots, seed=0)
    assert (np.bincount(varied.classes) == np.bincount(varied.classes)[0]).all()
    assert (varied.pixels[:60] != shots.pixels[0]).any()
    made = few_shot.hallucinated(shots, 0, lambda _: _Arc())
    assert (made.pixels[:, 0, 0, 0] == made.classes).all()
    assert few_shot.knn_accuracy(shots, digits, 1) == 1
    assert 0 <= few_shot.cnn_accuracy(few_shot.joined(shots, varied), digits, 0) <= 1


@pytest.mark.slow  # some seconds: a dozen tiny encoders
def test_the_command_trains_measures_and_goes_on(tmp_path):
    one_thread()
    for part, count in (("train", 240), ("t10k", 200)):
        digits = _digits(count)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(format_idx(digits.pixels[..., 0]))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(format_idx(digits.classes.astype(np.uint8)))
    command = ("bench", "papers", "atnl", "--data", tmp_path, "--folder", tmp_path / "runs", "--seeds", "1")
    settings = ("--set", "epochs=1", "--set", "batch_size=40", "--json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_shot, "_SHOTS", (1, 3))
        patch.setattr(few_shot, "_STEPS", 10)
        lines = good("unused", "-q", *command, *settings).rows
        rows = {row["metric"]: row for row in lines}
        assert rows["ATNL, 5-NN in the latent space"]["paper"] == 0.9914
        assert 0 <= rows["VAE-TL, midpoints of d and d + 2 read as d + 1"]["value"] <= 1
        assert any("not leaking: hallucination − augmentation" in name for name in rows)
        assert json.loads((tmp_path / "runs" / "atnl-0" / "trained.json").read_text())["fingerprint"]
        assert good("unused", "-q", *command, *settings).rows == lines
    assert "name the folder" in refused(
        "unused", "-q", *command[:4], tmp_path / "runs", *command[5:], "--json"
    )


def test_few_examples_of_a_label_find_it(data, monkeypatch):
    monkeypatch.setattr(label_shots, "SHOTS", (5,))
    found = label_shots.measure_label_shots(data, draws=1, seed=0)
    assert {(one.shots, one.scorer, one.own) for one in found} == {
        (shots, scorer, own)
        for shots in label_shots.SHOTS
        for scorer in label_shots.SCORERS
        for own in (True, False)
    }
    assert all(np.nanmean(one.plain) > 0.2 for one in found if one.own)
    monkeypatch.setattr(label_report, "measure_label_shots", lambda *_, **__: found)
    assert "own vector" in run_label_shots(data, draws=1).to_markdown()
