from __future__ import annotations

import json
import math

import numpy as np
import pytest
from olrsearch_benchmarks.papers.olr import accuracy_gap, run_olr_paper

from olrsearch.evaluation.attributes import run_attributes
from olrsearch.evaluation.looks.correlations import PAPER_CORRELATIONS
from olrsearch.evaluation.looks.disagreements import Verdicts

PAPER_LABELS = tuple(dict.fromkeys(name for pair in PAPER_CORRELATIONS for name in pair[:2]))


@pytest.fixture(scope="module")
def report(data):
    return run_olr_paper(data, resamples=60)


@pytest.fixture(scope="module")
def faces(make):
    """Labels of the paper's pairs, and norms that correlate as the paper says they do."""
    base = make(images=3000)
    rng = np.random.default_rng(3)
    names = (*PAPER_LABELS, "Mouth_Slightly_Open")
    count, images = len(names), 3000
    wanted = np.eye(count)
    for first, second, value in PAPER_CORRELATIONS:
        a, b = names.index(first), names.index(second)
        wanted[a, b] = wanted[b, a] = value
    values, vectors = np.linalg.eigh(wanted)  # the nearest correlations that can be
    root = vectors * np.sqrt(np.maximum(values, 0.02))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    norms = 8 + rng.normal(size=(images, count)) @ root.T
    directions = np.eye(4)[rng.integers(0, 4, (count, images))]
    logits = (norms - 8).T
    return base.replace(
        label_names=names,
        labels=np.where(norms > 8, 1, -1).astype(np.int8),
        embeddings=(norms.T[:, :, None] * directions).astype(np.float32),
        log_p=-np.logaddexp(0, -logits),
        log_not_p=-np.logaddexp(0, logits),
        teacher_p=1 / (1 + np.exp(-4 * logits)),
    )


def figures(report):
    return {row.metric: row for row in report.figures}


def test_accuracies_are_those_of_p1(data, report):
    reference = run_attributes(data, resamples=60)
    rows = figures(report)
    assert rows["accuracy of the teacher"].value == pytest.approx(reference.methods["teacher"].accuracy)
    assert rows["accuracy of the probe"].value == pytest.approx(reference.methods["probe"].accuracy)
    assert (rows["accuracy of the teacher"].paper, rows["accuracy of the probe"].paper) == (0.942, 0.916)
    gap = rows["gap teacher − probe, points"]
    expected = reference.differences["probe - teacher"].accuracy
    assert gap.value == pytest.approx(-100 * expected.estimate)
    assert gap.passed == (gap.value <= 3.6)
    assert report.gap.low == pytest.approx(-expected.high, abs=1e-6)
    assert report.gap.high == pytest.approx(-expected.low, abs=1e-6)


def test_a_gap_is_judged_from_one_side():
    truth = np.ones((1, 1000), np.int8)
    teacher = np.full((1, 1000), 0.9)
    probe = teacher.copy()
    probe[0, :50] = 0.1
    gap = accuracy_gap(Verdicts(probe, teacher, 1.0), truth, np.arange(1000), seed=0, resamples=200)
    assert gap.estimate == pytest.approx(0.05)
    assert gap.low < 0.05 < gap.high
    assert gap.excludes_zero
    truth[0, :50] = 0  # where nothing is known nothing is lost
    assert accuracy_gap(Verdicts(probe, teacher, 1.0), truth, np.arange(1000), seed=0).estimate == 0


def test_pairs_of_the_paper_are_judged_by_sign_and_distance(faces):
    report = run_olr_paper(faces, strengths=[0.01], resamples=20)
    rows = figures(report)
    norms = np.linalg.norm(faces.embeddings[:, faces.gallery], axis=2)
    for number, (first, second, paper) in enumerate(PAPER_CORRELATIONS):
        row = rows[f"norms {first} / {second}"]
        a, b = faces.label_names.index(first), faces.label_names.index(second)
        assert row.value == pytest.approx(np.corrcoef(norms[a], norms[b])[0, 1], abs=1e-6)
        assert row.paper == paper
        near = row.value * paper > 0 and abs(row.value - paper) <= 0.15
        assert row.passed == (near if number < 7 else row.value * paper > 0)
    counted = [rows[f"norms {a} / {b}"] for a, b, _ in PAPER_CORRELATIONS[:7]]
    summary = rows["of 7 at ±.3 or more in the paper, within 0.15"]
    assert summary.value == sum(row.passed for row in counted) >= 5
    assert summary.passed
    signs = rows["of 9 correlations, with the paper's sign"]
    assert (signs.value, signs.passed) == (9, True)
    turned = faces.replace(embeddings=faces.embeddings * np.float32(0))
    turned.embeddings[:, :, 0] = np.random.default_rng(0).random((len(faces.label_names), 3000))
    poor = figures(run_olr_paper(turned, strengths=[0.01], resamples=20))
    assert not poor["of 7 at ±.3 or more in the paper, within 0.15"].passed


def test_components_are_of_the_papers_label(faces):
    report = run_olr_paper(faces, strengths=[0.01], resamples=20)
    rows = figures(report)
    assert report.components.label == "Mouth_Slightly_Open"
    share = rows["PC1 share, Mouth_Slightly_Open"]
    assert (share.paper, share.target, share.passed) == (0.675, "", None)
    assert share.value == report.components.shares[0]
    assert rows["PC2 share, Mouth_Slightly_Open"].paper == 0.041
    assert not any("No label" in note for note in report.notes)


def test_data_without_the_papers_labels_say_so(data, report):
    balance = np.abs((data.truth > 0).mean(axis=1) - 0.5)
    assert report.components.label == data.label_names[int(balance.argmin())]
    assert figures(report)[f"PC1 share, {report.components.label}"].paper is None
    assert any("No label Mouth_Slightly_Open" in note for note in report.notes)
    assert any("7 of the paper's pairs" in note for note in report.notes)
    two = figures(report)["of 2 at ±.3 or more in the paper, within 0.15"]
    assert two.value <= 2
    assert two.passed is None  # too few for a verdict


def test_disagreements_are_counted(report):
    rows = figures(report)
    total = report.disagreements.total
    share = rows["entries that probe and teacher decide differently"]
    assert share.value == total.disagreements / total.entries
    sides = [
        rows[f"of these, {what}"].value
        for what in ("stored label sides with the probe", "with the teacher: refused by the embedding")
    ]
    assert sum(sides) == pytest.approx(1)
    assert sides[0] == total.with_probe / (total.with_probe + total.with_teacher)


def test_without_a_teacher_the_rest_is_reported(data):
    report = run_olr_paper(data.replace(teacher_p=None), resamples=20)
    assert report.gap is None
    assert report.disagreements is None
    assert not any("probe" in row.metric for row in report.figures)
    assert "norms Male / Heavy_Makeup" in figures(report)
    assert any("teacher is gone" in note for note in report.notes)
    assert "The paper's figures" in report.to_markdown()


def test_the_report_is_seeded_json_and_text(data, report):
    assert run_olr_paper(data, resamples=60).to_dict() == report.to_dict()
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(found["results"]) == {"figures", "gap", "correlations", "components", "disagreements"}
    assert set(found["results"]["figures"][0]) == {"metric", "value", "paper", "target", "passed"}
    assert all(math.isfinite(row["value"]) for row in found["results"]["figures"])
    text = report.to_markdown()
    assert text.startswith("### P5: the OLR paper's looks into its embedding")
    assert "    olrsearch bench papers olr\n" in text
    assert "Baseline: the figures of the paper." in text
    assert "| gap teacher − probe, points " in text
    assert "Where probe and teacher decide differently" in text
    for line in text.splitlines():  # a | in a cell would begin another one
        assert not line.startswith("| ") or len(line.split(" | ")) == line.count("|") - 1
