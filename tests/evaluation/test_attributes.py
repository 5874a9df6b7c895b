from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.attributes import run_attributes


@pytest.fixture(scope="module")
def report(data):
    return run_attributes(data, resamples=60)


def test_figures_are_those_of_scikit_learn(data, report):
    truth = data.truth > 0
    scores = data.teacher_p[:, data.gallery]
    teacher = report.methods["teacher"]
    assert teacher.accuracy == pytest.approx(((scores >= 0.5) == truth).mean())
    for row in range(len(truth)):
        assert teacher.label_ap[row] == pytest.approx(
            reference.average_precision_score(truth[row], scores[row])
        )
        assert teacher.label_balanced_accuracy[row] == pytest.approx(
            reference.balanced_accuracy_score(truth[row], scores[row] >= 0.5)
        )
    assert teacher.map == pytest.approx(teacher.label_ap.mean())


def test_methods_stand_in_the_order_they_should(report):
    methods = report.methods
    assert list(methods) == ["probe", "teacher", "encoder", "norm", "majority"]
    assert methods["probe"].map > methods["encoder"].map - 0.02
    assert methods["encoder"].map > methods["majority"].map + 0.2
    assert methods["majority"].map == pytest.approx(report.prevalence.mean())
    assert methods["majority"].balanced_accuracy == pytest.approx(0.5)
    assert math.isnan(methods["norm"].accuracy)
    assert methods["norm"].map > methods["majority"].map


def test_groups_hold_their_members_only(data, report):
    assert list(report.groups) == ["Male", "!Male", "Young", "!Young"]
    male = data.truth[0] > 0
    right = (data.teacher_p[:, data.gallery] >= 0.5) == (data.truth > 0)
    assert report.groups["Male"]["teacher"].accuracy == pytest.approx(right[:, male].mean())
    assert report.groups["!Male"]["teacher"].accuracy == pytest.approx(right[:, ~male].mean())


def test_differences_are_paired_with_their_estimates(report):
    probe, teacher = report.methods["probe"], report.methods["teacher"]
    difference = report.differences["probe - teacher"]
    assert difference.map.estimate == pytest.approx(probe.map - teacher.map)
    assert difference.accuracy.estimate == pytest.approx(probe.accuracy - teacher.accuracy)
    for part in (difference.map, difference.accuracy, difference.balanced_accuracy):
        assert part.low <= part.estimate <= part.high
    assert set(report.differences) == {"probe - teacher", "encoder - teacher"}


def test_the_same_seed_gives_the_same_report(data, report):
    assert run_attributes(data, resamples=60).to_dict() == report.to_dict()


def test_without_a_teacher_the_probe_stands_against_the_encoder(data):
    report = run_attributes(data.replace(teacher_p=None), resamples=20, strengths=[0.01])
    assert set(report.differences) == {"probe - encoder"}
    assert "teacher" not in report.methods
    assert any("nothing stands against it" in note for note in report.notes)


def test_unknown_labels_and_a_label_without_positives(data):
    labels = data.labels.copy()
    labels[data.gallery, 3] = -1
    labels[data.gallery[:50], 1] = 0
    report = run_attributes(data.replace(labels=labels), resamples=20, strengths=[0.01])
    known = labels[data.gallery, 1] != 0
    right = (data.teacher_p[1, data.gallery] >= 0.5) == (labels[data.gallery, 1] > 0)
    assert report.methods["teacher"].label_accuracy[1] == pytest.approx(right[known].mean())
    assert math.isnan(report.methods["teacher"].label_ap[3])
    assert math.isfinite(report.methods["teacher"].map)
    assert math.isfinite(report.differences["probe - teacher"].map.low)
    assert (
        json.loads(json.dumps(report.to_dict(), allow_nan=False))["results"]["methods"]["teacher"][
            "label_ap"
        ][3]
        is None
    )


def test_a_probe_needs_training_and_selection_images(data):
    with pytest.raises(BenchmarkError, match="0 training"):
        run_attributes(data.replace(train=np.array([], np.int64)))
    with pytest.raises(BenchmarkError, match="0 selection"):
        run_attributes(data.replace(selection=np.array([], np.int64)))


def test_the_report_reads_as_text(report):
    text = report.to_markdown()
    assert text.startswith("### P1: attributes from embeddings\n\nData: made up (")
    assert "    olrsearch bench attributes\n" in text
    assert "| probe " in text
    assert "Wavy Hair" in text
    as_dict = report.to_dict()
    assert set(as_dict) == {"protocol", "title", "command", "seed", "baseline", "data", "notes", "results"}
    assert set(as_dict["results"]["differences"]["probe - teacher"]["map"]) == {
        "estimate",
        "low",
        "high",
        "excludes_zero",
    }


def test_support_says_what_the_figures_of_a_group_stand_on(data, report):
    truth = data.truth
    assert list(report.support) == ["all", *report.groups]
    everyone = report.support["all"]
    assert everyone.images == len(data.gallery)
    np.testing.assert_array_equal(everyone.positives + everyone.negatives, (truth != 0).sum(axis=1))
    male = data.label_names.index("Male")
    absent = report.support["!Male"]
    assert absent.images == (truth[male] < 0).sum()
    for row in range(len(truth)):
        assert absent.positives[row] == ((truth[row] > 0) & (truth[male] < 0)).sum()
    assert report.to_dict()["results"]["support"]["Male"]["negatives"][male] == 0
