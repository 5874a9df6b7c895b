"""P5 of the decoder: figures of made pictures, against baselines, and what they disclose."""

import dataclasses

import numpy as np
import pytest
from olrsearch_benchmarks.papers.decoder import (
    DecoderCase,
    baselines,
    clustered_difference,
    run_decoder_paper,
)
from olrsearch_benchmarks.papers.decoder_identity import disclosed

from olrsearch.core.errors import BenchmarkError

RNG = np.random.default_rng(0)
SIZE = 16


def _case(count=120):
    """Pictures that a linear function of four numbers tells, with a person for every three."""
    axes = RNG.normal(size=(4, SIZE * SIZE * 3)) * 12
    numbers = np.repeat(RNG.normal(size=(count // 3, 4)), 3, axis=0) + RNG.normal(size=(count, 4)) * 0.2
    pixels = np.clip(128 + numbers @ axes, 0, 255).round().astype(np.uint8).reshape(count, SIZE, SIZE, 3)
    rows = np.arange(count)
    return DecoderCase(
        "made up",
        pixels,
        numbers.astype(np.float32).reshape(count, 2, 2),
        np.arange(count) // 3,
        rows[:60],
        rows[60:75],
        rows[75:],
    )


class Perfect:
    """Knows the pictures."""

    def __init__(self, case):
        self.case = case

    def decode(self, embeddings):
        rows = self.case.gallery
        assert np.array_equal(embeddings, self.case.embeddings[rows])
        return np.asarray(self.case.pixels[rows])


class Averages:
    """Sees the colour of four places."""

    blocks = (12,)

    def features(self, pictures):
        half = SIZE // 2
        parts = pictures.reshape(len(pictures), 2, half, 2, half, 3).mean(axis=(2, 4))
        return parts.reshape(len(pictures), 12).astype(np.float32)


def test_a_perfect_decoder_is_above_every_baseline():
    case = _case()
    report = run_decoder_paper(case, Perfect(case), judge=Averages(), resamples=50)
    figures = {row.method: row for row in report.pictures}
    assert figures["decoder"].ssim == pytest.approx(1, abs=1e-4)
    assert figures["mean image"].ssim < figures["ridge"].ssim <= 1
    assert [row.target for row in report.figures] == [0.03, 0.12]
    assert report.figures[1].passed
    images, decoder, _ = report.identity
    assert (images.pictures, images.own_first) == ("images", 1.0)
    assert (decoder.auc, decoder.own_first) == pytest.approx((images.auc, 1.0))
    assert images.auc > 0.8
    assert "decoder − ridge" in report.to_markdown()
    assert {"metric", "value", "target", "passed", "seed"} == set(report.lines()[0])


def test_without_a_judge_the_report_says_so():
    case = _case()
    report = run_decoder_paper(case, Perfect(case), resamples=20)
    assert report.identity == ()
    assert any("not installed" in note for note in report.notes)


def test_a_linear_world_is_told_by_the_ridge():
    case = _case()
    found = baselines(case)
    wanted = np.asarray(case.pixels[case.gallery]).astype(int)
    assert np.abs(found["ridge"] - wanted).mean() < 8
    assert np.abs(found["ceiling"] - wanted).mean() < 8
    assert len(np.unique(found["mean image"], axis=0)) == 1


def test_an_interval_knows_persons():
    persons = np.repeat(np.arange(20), 5)
    ours = np.repeat(RNG.normal(size=20), 5)
    one = clustered_difference(ours, np.zeros(100), persons, seed=0, resamples=300)
    alone = clustered_difference(ours, np.zeros(100), np.full(100, -1), seed=0, resamples=300)
    assert one.high - one.low > 1.5 * (alone.high - alone.low)


def test_what_all_made_pictures_share_hides_nothing():
    case = _case()
    originals = np.asarray(case.pixels[case.gallery])
    darker = (originals // 2).astype(np.uint8)
    found = disclosed(Averages(), originals, {"darker": darker}, case.identity[case.gallery])
    assert found[1].own_first > 0.9


def test_parts_without_images_are_refused():
    case = _case()
    with pytest.raises(BenchmarkError, match="to use as gallery"):
        dataclasses.replace(case, gallery=case.gallery[:0])
