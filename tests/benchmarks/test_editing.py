"""bench papers editing: the judge, judged pictures, queries."""

import json

import numpy as np
import pytest
import torch
from command import good
from made_decoders import add_decoder
from olrsearch_benchmarks.editing.judge import Judge, balanced_accuracy, smoothed, train_judge
from olrsearch_benchmarks.editing.pictures import ManyPictures, PictureJudge
from olrsearch_benchmarks.editing.queries import draw_questions
from pictures import LABELS, pixels_and_labels

from olrsearch import Store
from olrsearch.core.errors import BenchmarkError
from olrsearch.core.progress import silent
from olrsearch.encoders.olr.decoder import open_decoder
from olrsearch.encoders.olr.decoder_file import read_decoder


@pytest.fixture(scope="module")
def judge():
    pixels, labels = pixels_and_labels(160, size=(16, 16))
    return train_judge(pixels, labels, np.arange(120, 160), np.arange(120), epochs=12)


@pytest.mark.slow
def test_the_judge_reads_pictures_it_has_not_seen(judge, tmp_path):
    pixels, labels = pixels_and_labels(60, size=(16, 16), seed=5)
    accuracy = balanced_accuracy(judge.logits(pixels), labels)
    assert accuracy[:2].mean() > 0.7  # how bright and how red a picture is
    judge.save(tmp_path / "judge.pt")
    again = Judge.read(tmp_path / "judge.pt")
    np.testing.assert_array_equal(again.logits(pixels), judge.logits(pixels))
    with pytest.raises(BenchmarkError, match=r"reads pictures of \(16, 16\) pixels, found \(8, 8\)"):
        judge.logits(pixels[:, :8, :8])
    with pytest.raises(BenchmarkError, match="none are there"):
        train_judge(pixels, labels, np.arange(3), np.arange(0))


def test_smoothing_keeps_the_level_and_takes_the_edges():
    planes = torch.zeros(1, 3, 16, 16)
    planes[:, :, :, 8:] = 200
    soft = smoothed(planes, 1.5)
    assert float(soft.mean()) == pytest.approx(100, abs=2)
    assert float((soft - planes).abs().max()) > 30
    assert smoothed(planes, 0.1) is planes


def test_balanced_accuracy_is_of_both_sides():
    logits, labels = np.array([[1.0], [1], [-1], [1]]), np.array([[1], [1], [1], [-1]])
    assert balanced_accuracy(logits, labels)[0] == pytest.approx((2 / 3 + 0) / 2)
    assert np.isnan(balanced_accuracy(logits[:3], labels[:3])[0])


def test_questions_are_of_images_that_lack_the_label():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random((6, 400)) < 0.25, 1, -1).astype(np.int8)
    questions = draw_questions(truth, np.ones(6))
    assert len({question.label for question in questions}) == 6
    for question in questions[:20]:
        assert truth[question.label, question.image] < 0
        assert (truth[question.label, question.relevant] > 0).all()
        assert question.relevant.sum() >= 3


@pytest.mark.slow
def test_edits_are_judged_against_the_reconstruction(gallery, judge, tmp_path):
    home = gallery.copy(tmp_path / "store")
    add_decoder(home)
    with Store.open(home, read_only=True) as store:
        opened = store.session.space(None)
        many = ManyPictures(read_decoder(opened.info.model_path))
        pictures = PictureJudge(opened, many, judge, silent)
        rows = np.arange(40)
        some = pictures.embeddings(rows[:5])
        one_by_one = open_decoder(opened.info.model_path).decode(some).astype(int)
        assert np.abs(many.decode(some) - one_by_one).max() <= 1
        read = pictures.decoded(pictures.embeddings(rows), "decode")
        assert read.shape == (40, len(LABELS))
        found = pictures.shares("directions", "directions", 1.0, [0, 1], rows, read, images=5)
        nothing = pictures.shares("hardly", "directions", 1e-9, [0, 1], rows, read, images=5)
    assert [row.label for row in found.labels] == ["Bright", "Red"]
    assert found.total.edits <= 20
    assert 0 <= found.total.others <= 1
    assert nothing.total.others <= found.total.others + 0.5


@pytest.fixture
def few_are_enough(monkeypatch):
    """Questions in a gallery of 48 pictures, half of which have each label."""
    monkeypatch.setattr("olrsearch_benchmarks.editing.queries.FEWEST_IMAGES", 2)
    monkeypatch.setattr("olrsearch_benchmarks.editing.queries.MOST_SHARE", 0.9)
    monkeypatch.setattr("olrsearch_benchmarks.editing.pictures.FEWEST", 2)


@pytest.mark.usefixtures("few_are_enough")
def test_the_command_prints_its_figures(gallery, tmp_path):
    arguments = ("bench", "papers", "editing", "--out", tmp_path / "report", "--json")
    rows = {row["metric"]: row for row in good(gallery.store, *arguments).rows}
    row = rows["AP of edited queries over similar, filtered"]
    assert row["target"] == 1.3
    assert row["seed"] == 0
    assert "no decoder" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["results"]["queries"]["queries"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("few_are_enough")
def test_the_command_judges_pictures(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    add_decoder(home)
    arguments = ("bench", "papers", "editing", "--epochs", 1, "--images", 3, "--cache", tmp_path / "kept")
    rows = [row["metric"] for row in good(home, *arguments, "--json").rows]
    assert "asked label added, directions" in rows
    assert "judge's balanced accuracy on reconstructions" in rows
    assert (tmp_path / "kept" / "judge.pt").exists()
    text = good(home, *arguments).out
    assert "Ways of editing, on the gallery" in text
