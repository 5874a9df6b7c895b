"""P5 of PSE on drawn digits: models trained, measured and kept, figures beside the paper's."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from olrsearch_benchmarks.papers.pse import digits as digits_module
from olrsearch_benchmarks.papers.pse.digits import open_digits
from olrsearch_benchmarks.papers.pse.judges import Judge, open_judge
from olrsearch_benchmarks.papers.pse.measures import measure
from olrsearch_benchmarks.papers.pse.models import MODELS, model_config
from olrsearch_benchmarks.papers.pse.report import PAPER, run_pse_paper

from olrsearch.apps.cli import cli
from olrsearch.core.errors import BenchmarkError
from olrsearch.datasets.idx_format import format_idx
from olrsearch.encoders.vae.network import VaeNetwork
from olrsearch.encoders.vae.objectives import OBJECTIVES

QUICK = {"epochs": "2", "hidden": "16,8", "learning_rate": "0.01", "batch_size": "20"}


def _write(folder, count, part, seed):
    """Bright bars, at a height for each class."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 10, count).astype(np.uint8)
    images = generator.integers(0, 40, (count, 28, 28)).astype(np.uint8)
    for image, found in zip(images, classes, strict=True):
        image[2 * found + 2 : 2 * found + 6] += 180
    for what, array in (("images-idx3", images), ("labels-idx1", classes)):
        (folder / f"{part}-{what}-ubyte").write_bytes(format_idx(array))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("idx")
    _write(path, 240, "train", 0)
    _write(path, 60, "t10k", 1)
    return path


@pytest.fixture(scope="module")
def digits(folder):
    return open_digits("mnist", folder)


class _Bars(torch.nn.Module):
    """Reads the height of the brightest bar."""

    def forward(self, pixels):
        rows = pixels.reshape(-1, 28, 28).mean(dim=2)
        return torch.stack([rows[:, 2 * word + 2 : 2 * word + 6].mean(dim=1) for word in range(10)], dim=1)


JUDGE = Judge(_Bars(), "a ruler", 1.0, 1.0)


def test_splits_are_the_papers(digits):
    images = digits.training()
    assert (len(images.train), len(images.selection)) == (200, 40)
    assert (images.labels > 0).sum(axis=1).tolist() == [1] * 240
    assert digits_module.flat(digits.test_images).max() <= 1


def test_missing_files_are_named(tmp_path):
    with pytest.raises(BenchmarkError, match="name the folder of the four idx files with --data"):
        open_digits("mnist", tmp_path)


def test_measures_are_what_the_paper_says(digits):
    torch.manual_seed(0)
    config = model_config(digits, "pse", 10, "one-hot", 0, settings=QUICK)
    network = VaeNetwork(config, 5 * torch.eye(10), OBJECTIVES["pse"].parts).eval()
    found = measure(
        network,
        digits,
        JUDGE,
        conditional=False,
        samples=30,
        repeats=2,
        seed=0,
    )
    pixels = torch.from_numpy(digits.test_images.reshape(60, -1) / 255.0).float()
    with torch.inference_mode():
        mean = network.of_images(pixels).mean
        drawn = torch.sigmoid(network.decoder(mean))
        words = network.of_labels(network.inputs)
    nats = -(pixels * drawn.log() + (1 - pixels) * (1 - drawn).log()).sum(dim=1).mean()
    assert found.at_mean == pytest.approx(float(nats), rel=1e-4)
    normal = torch.distributions.Normal(words.mean, words.variance.sqrt())
    likeliest = normal.log_prob(mean[:, None]).sum(dim=2).argmax(dim=1).numpy()
    np.testing.assert_array_equal(found.learned.right, likeliest == digits.test_classes)
    assert (len(found.learned.generated), len(found.fitted.generated)) == (2, 1)


@pytest.mark.slow
def test_models_are_trained_once_and_stand_beside_the_paper(digits, tmp_path):
    said = []
    options = {
        "models": ("pse-star", "cvae"),
        "seeds": (0, 1),
        "settings": QUICK,
        "samples": 20,
        "repeats": 2,
        "done": said.append,
    }
    report = run_pse_paper(digits, JUDGE, tmp_path, **options)
    assert [row.model for row in report.rows] == ["pse-star", "cvae"]
    lines = report.lines()
    assert {line["metric"] for line in lines} == {
        "pse-star 10D one-hot, error at a sample",
        "pse-star 10D one-hot, annotation",
        "pse-star 10D one-hot, generation",
        "pse-star 10D one-hot, annotation by fitted Gaussians",
        "pse-star 10D one-hot, generation from fitted Gaussians",
        "cvae 10D one-hot, error at a sample",
        "cvae 10D one-hot, generation",
    }
    first = lines[0]
    assert (first["target"], first["paper"]) == (pytest.approx(84.3), 82.3)
    assert "pse-star 10D one-hot" in report.to_markdown()
    assert len(said) == 4
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("model.json"))
    again = run_pse_paper(digits, JUDGE, tmp_path, **options)
    assert again.lines() == lines
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("model.json")) == before


@pytest.mark.slow
def test_the_command_trains_a_judge_and_a_model(folder, tmp_path):
    command = ["bench", "papers", "pse", "--data", str(folder), "--folder", str(tmp_path), "--samples", "5"]
    command += ["--repeats", "1", "--literal", "--json"]
    for key, value in {**QUICK, "epochs": "1"}.items():
        command += ["--set", f"{key}={value}"]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(line["target"] is None and line["literal"] for line in lines)
    judge = open_judge(open_digits("mnist", folder), tmp_path)
    assert 0 <= judge.validation <= 1


def test_targets_are_those_of_the_tables():
    assert {model for _, model, _, _ in PAPER} <= set(MODELS)
    assert PAPER["fashion", "pse-star", 10, "one-hot"] == (219.6, 81.3, 76.1)
