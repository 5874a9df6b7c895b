"""P7, encoding: ratios, errors and mAP of engines that are made up, by a clock that is too."""

from __future__ import annotations

import json

import numpy as np
import pytest
from olrsearch_benchmarks.speed import encoding
from olrsearch_benchmarks.speed.encoding import TOLERANCE, EncodingReport, Workload, run_encoding

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.metrics import label_average_precision
from olrsearch.maths.readout import Readout

LABELS, IMAGES, SIZE = 3, 600, 2
READOUT = Readout(np.array([[1, 0.5], [0.2, 1], [-1, 2]], np.float32), np.array([0, -1, 0.5], np.float32))


class Clock:
    """Time that passes only when work is done."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(encoding, "time", self)

    def perf_counter(self):
        return self.now

    def work(self, *seconds):
        """A step that takes so long each time, and as long as the last time from then on."""
        left = list(seconds)

        def step(*_):
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return step


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def plain(pixels):
    """float32 [L, n, k] from the first pixels of an image."""
    return (pixels[:, :LABELS, :SIZE, 0] / np.float32(100)).transpose(1, 0, 2)


def engine(step, change=None):
    """An engine that takes its time, and may change what comes out."""

    def encode(pixels):
        step()
        found = plain(pixels)
        return found if change is None else change(found).astype(np.float32)

    return encode


def work(clock, *, images=IMAGES, decode=(1,), together=(1,), **changes):
    """A gallery in which the plain engine's logits tell much of the truth, and not all."""
    rng = np.random.default_rng(0)
    gallery = rng.integers(0, 256, (images, 4, 4, 3), np.uint8)
    logits = READOUT.logits(plain(gallery))
    noisy = logits + rng.normal(size=logits.shape) * logits.std(axis=1, keepdims=True)
    truth = np.where(noisy > noisy.mean(axis=1, keepdims=True), 1, -1).astype(np.int8)
    truth[rng.random(truth.shape) < 0.1] = 0
    made = Workload(
        timed=gallery[:120],
        gallery=gallery,
        truth=truth,
        readout=READOUT,
        decode=clock.work(*decode),
        together=clock.work(*together),
    )
    return Workload(**{name: changes.get(name, getattr(made, name)) for name in Workload.__slots__})


def measured(engines, workload, **more):
    options = {"default": next(iter(engines), "torch"), "missing": {}, "turns": 3} | more
    return run_encoding(engines, workload, data={"name": "made up", "images": IMAGES}, **options)


# -- speed -----------------------------------------------------------------------------------


def test_ratios_are_medians_over_turns_that_warm_up_first(clock):
    engines = {"torch": engine(clock.work(50, 4, 2, 1)), "quick": engine(clock.work(90, 90, 1))}
    first, second = measured(engines, work(clock), default="quick").engines
    assert (first.name, first.ratio, first.low, first.high) == ("torch", 1, 1, 1)
    assert second.ratio == pytest.approx(0.5)  # of 1/4, 1/2 and 1/1
    assert (second.low, second.high) == (pytest.approx(0.375), pytest.approx(0.75))
    assert first.images_a_second == pytest.approx(60)
    assert second.images_a_second == pytest.approx(120)


def test_engines_take_turns(clock):
    calls = []

    def noted(name):
        def encode(pixels):
            calls.append(name)
            clock.now += 1
            return plain(pixels)

        return encode

    workload = work(clock, decode=(1,), together=(1,))
    measured({"A": noted("A"), "B": noted("B"), "C": noted("C")}, workload, default="B", turns=2)
    assert "".join(calls[:12]) == "ABCB" * 3  # the default once more, beside decoding


def test_the_pipeline_is_judged_by_both_alone(clock):
    engines = {"torch": engine(clock.work(5)), "quick": engine(clock.work(2))}
    workload = work(clock, decode=(9, 1), together=(9, 2.5))
    found = measured(engines, workload, default="quick")
    assert found.default == "quick"
    assert found.pipeline.decoding == pytest.approx(120)
    assert found.pipeline.network == pytest.approx(60)
    assert found.pipeline.together == pytest.approx(48)
    assert found.pipeline.efficiency == pytest.approx((1 + 2) / 2.5)


# -- quality ---------------------------------------------------------------------------------


def test_the_map_is_that_of_the_whole_gallery(clock):
    workload = work(clock)
    (row,) = measured({"torch": engine(clock.work(1))}, workload).engines
    logits = READOUT.logits(plain(workload.gallery))
    assert row.map == pytest.approx(label_average_precision(logits, workload.truth).mean())
    assert 0.6 < row.map < 0.95
    assert (row.difference, row.error, row.keeps) == (0, 0, True)


def test_errors_are_in_units_of_the_spread(clock):
    workload = work(clock)
    engines = {
        "torch": engine(clock.work(1)),
        "shifted": engine(clock.work(1), lambda found: found + 0.01),
        "one": engine(clock.work(1), lambda found: found * np.array([1, 1, 0])[:, None, None]),
    }
    _, shifted, one = measured(engines, workload).engines
    expected = plain(workload.gallery).astype(np.float64)
    variance = expected.var(axis=1).sum()  # of each number by itself
    assert shifted.error == pytest.approx(np.sqrt(LABELS * SIZE * 0.01**2 / variance), rel=1e-4)
    assert shifted.difference == pytest.approx(0, abs=1e-5)  # rankings know no shift
    lost = np.square(expected[2]).mean(axis=0).sum()
    assert one.error == pytest.approx(np.sqrt(lost / variance), rel=1e-4)
    assert not one.keeps


def noise(size):
    rng = np.random.default_rng(1)
    return lambda found: found + rng.normal(size=found.shape) * size


def test_the_fastest_is_the_fastest_that_keeps_the_map(clock):
    engines = {
        "torch": engine(clock.work(8)),
        "exact": engine(clock.work(4)),
        "near": engine(clock.work(2), noise(1e-4)),
        "wild": engine(clock.work(1), noise(1)),
    }
    found = measured(engines, work(clock), default="exact")
    assert [row.ratio for row in found.engines] == pytest.approx([1, 0.5, 0.25, 0.125])
    assert [row.keeps for row in found.engines] == [True, True, True, False]
    assert found.engines[3].difference < -TOLERANCE
    assert (found.fastest, found.default) == ("near", "exact")


def test_the_reference_is_the_fastest_where_no_other_keeps_the_map(clock):
    engines = {"torch": engine(clock.work(8)), "wild": engine(clock.work(1), noise(1))}
    assert measured(engines, work(clock)).fastest == "torch"


def test_a_better_map_is_another_map(clock):
    workload = work(clock)
    known = {bytes(image): truth for image, truth in zip(workload.gallery, workload.truth.T, strict=True)}
    weight = READOUT.weight / np.square(READOUT.weight).sum(axis=1, keepdims=True)

    def knowing(pixels):
        """Embeddings whose logits are the truth."""
        clock.now += 0.5
        truth = np.stack([known[bytes(image)] for image in pixels], axis=1)
        return (truth[:, :, None] * weight[:, None]).astype(np.float32)

    found = measured({"torch": engine(clock.work(1)), "knowing": knowing}, workload)
    assert found.engines[1].map == pytest.approx(1)
    assert found.engines[1].difference > TOLERANCE
    assert not found.engines[1].keeps
    assert found.fastest == "torch"


@pytest.mark.parametrize(
    ("difference", "keeps"),
    [(0.0019, True), (-0.0019, True), (0.0021, False), (-0.0021, False), (0.0, True)],
)
def test_the_tolerance_counts_both_ways(difference, keeps):
    row = encoding._row("any", np.array([0.4, 0.5, 0.7]), 100.0, 0.1, 0.8 + difference, 0.8)
    assert row.keeps is keeps
    assert row.difference == pytest.approx(difference)
    assert (row.ratio, row.images_a_second) == (0.5, 100)


# -- the report ------------------------------------------------------------------------------


def test_the_report_says_what_was_left_out(clock):
    engines = {"torch": engine(clock.work(2)), "quick": engine(clock.work(1))}
    found = measured(
        engines, work(clock), default="quick", missing={"bits": "this processor has none"}, seed=7
    )
    assert isinstance(found, EncodingReport)
    assert (found.seed, found.turns, found.timed) == (7, 3, 120)
    out = found.to_dict()
    json.dumps(out, allow_nan=False)
    assert out["protocol"] == "P7"
    assert out["baseline"] == "the engine torch"
    assert out["results"]["missing"] == {"bits": "this processor has none"}
    assert [row["name"] for row in out["results"]["engines"]] == ["torch", "quick"]
    assert set(out["results"]["machine"]) == {"cores", "architecture"}
    text = found.to_markdown()
    assert "bits was left out: this processor has none" in text
    assert "The fastest that keeps the mAP is quick; the default is quick." in text
    assert "Efficiency 2.00" in text  # of (1 + 1) / 1
    (line,) = [line for line in text.splitlines() if line.startswith("| quick ")]
    assert [cell.strip() for cell in line.split("|")[2:5]] == ["120", "0.50", "0.50–0.50"]
    assert line.endswith(" yes |")


def test_there_must_be_something_to_time_and_to_rank(clock):
    engines, sound = {"torch": engine(clock.work(1))}, work(clock)
    with pytest.raises(BenchmarkError, match="120 images in 0 turns"):
        measured(engines, sound, turns=0)
    with pytest.raises(BenchmarkError, match="0 images in 3 turns"):
        measured(engines, work(clock, timed=sound.timed[:0]))
    nothing = work(clock, gallery=sound.gallery[:0], truth=sound.truth[:, :0])
    with pytest.raises(BenchmarkError, match="0 gallery images"):
        measured(engines, nothing)
    with pytest.raises(BenchmarkError, match="onnx among the engines"):
        measured(engines, sound, default="onnx")
    with pytest.raises(BenchmarkError, match="torch among the engines"):
        measured({}, sound, default="torch")
    for value in (0, -1):
        with pytest.raises(BenchmarkError, match="none of the 600 gallery images has a label"):
            measured(engines, work(clock, truth=np.full_like(sound.truth, value)))


def test_a_label_that_no_image_has_does_not_count(clock):
    sound = work(clock)
    truth = sound.truth.copy()
    truth[1] = -1
    (row,) = measured({"torch": engine(clock.work(1))}, work(clock, truth=truth)).engines
    two = label_average_precision(READOUT.logits(plain(sound.gallery))[[0, 2]], sound.truth[[0, 2]])
    assert row.map == pytest.approx(two.mean())
