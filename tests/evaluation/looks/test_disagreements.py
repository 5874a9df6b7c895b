from __future__ import annotations

import json

import numpy as np
import pytest

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.attributes import run_attributes
from olrsearch.evaluation.looks.disagreements import Verdicts, find_disagreements, judge_gallery
from olrsearch.evaluation.report import jsonable

SMILING = 4


@pytest.fixture(scope="module")
def planted(data):
    """Two who agree everywhere but on five entries of the gallery; one of these has no stored label."""
    truth = data.truth.copy()
    probe = np.where(truth > 0, 0.9, 0.1)
    teacher = probe.copy()
    teacher[SMILING, 3] = 1 - probe[SMILING, 3]  # the teacher errs
    teacher[0, 3] = 0.55 if probe[0, 3] < 0.5 else 0.45  # and here, by less
    for image in (5, 7):
        probe[1, image] = 0.2 if truth[1, image] > 0 else 0.8  # the probe refuses the stored label
    probe[2, 9] = 1 - teacher[2, 9]
    labels = data.labels.copy()
    labels[data.gallery[9], 2] = 0
    return data.replace(labels=labels), Verdicts(probe, teacher, 0.01)


def test_planted_disagreements_are_listed_farthest_first(planted):
    data, verdicts = planted
    found = find_disagreements(data, verdicts)
    keys = [data.keys[row] for row in data.gallery]
    assert [(item.key, item.label) for item in found.shown] == [
        (keys[3], "Smiling"),
        (keys[9], "Heavy_Makeup"),
        (keys[5], "Young"),
        (keys[7], "Young"),
        (keys[3], "Male"),
    ]
    assert [item.gap for item in found.shown] == pytest.approx([0.8, 0.8, 0.7, 0.7, abs(0.55 - 0.1)])
    for item in found.shown:
        row = data.label_names.index(item.label)
        place = keys.index(item.key)
        assert item.stored == data.truth[row, place]
        assert item.probe == verdicts.probe[row, place]
        assert item.teacher == verdicts.teacher[row, place]
        assert data.image_ids[data.gallery[place]] == item.image_id
        assert (item.probe >= 0.5) != (item.teacher >= 0.5)


def test_counts_say_whom_the_stored_label_backs(planted):
    data, verdicts = planted
    found = find_disagreements(data, verdicts, count=2)
    total = found.total
    assert (total.label, total.entries) == ("all", 6 * len(data.gallery))
    assert (total.disagreements, total.with_probe, total.with_teacher, total.unknown) == (5, 2, 2, 1)
    assert len(found.shown) == 2
    by_label = {row.label: row for row in found.labels}
    assert (by_label["Young"].with_probe, by_label["Young"].with_teacher) == (0, 2)
    assert (by_label["Smiling"].with_probe, by_label["Smiling"].with_teacher) == (1, 0)
    assert by_label["Heavy_Makeup"].unknown == 1
    assert by_label["Bald"].disagreements == 0
    assert found.labels[0].label == "Young"
    assert json.loads(json.dumps(jsonable(found), allow_nan=False))["total"]["unknown"] == 1


def test_one_label_may_be_looked_at(planted):
    data, verdicts = planted
    found = find_disagreements(data, verdicts, label=1, notes=("a note",))
    assert [row.label for row in found.labels] == ["Young"]
    assert found.total == found.labels[0]
    assert found.total.entries == len(data.gallery)
    assert {item.label for item in found.shown} == {"Young"}
    assert found.notes == ("a note",)


def test_the_probe_is_that_of_p1(data):
    verdicts = judge_gallery(data)
    report = run_attributes(data, resamples=2)
    assert verdicts.probe_strength == report.probe_strength
    truth = data.truth > 0
    assert ((verdicts.probe >= 0.5) == truth).mean() == pytest.approx(report.methods["probe"].accuracy)
    assert ((verdicts.teacher >= 0.5) == truth).mean() == pytest.approx(report.methods["teacher"].accuracy)
    found = find_disagreements(data, verdicts, count=3)
    lead = report.methods["probe"].accuracy - report.methods["teacher"].accuracy
    assert (found.total.with_probe - found.total.with_teacher) / truth.size == pytest.approx(lead)


def test_a_teacher_that_always_obeys_is_refused_where_labels_are_wrong(make):
    """Labels flipped in the gallery and a teacher that takes them over: the probe sides with the truth."""
    data = make()
    rng = np.random.default_rng(1)
    flipped = rng.random(data.truth.shape) < 0.05
    labels = data.labels.copy()
    labels[data.gallery] = np.where(flipped.T, -labels[data.gallery], labels[data.gallery])
    teacher = np.asarray(data.teacher_p).copy()
    teacher[:, data.gallery] = np.where(labels[data.gallery].T > 0, 0.95, 0.05)
    obedient = data.replace(labels=labels, teacher_p=teacher)
    verdicts = judge_gallery(obedient)
    found = find_disagreements(obedient, verdicts)
    assert found.total.with_probe == 0  # the teacher never contradicts a stored label
    refused = verdicts.differ
    assert refused[flipped].mean() > 0.7
    assert refused[~flipped].mean() < 0.3


def test_without_a_teacher_there_is_nothing_to_differ_from(data):
    with pytest.raises(BenchmarkError, match="teacher's probabilities are not there"):
        judge_gallery(data.replace(teacher_p=None))
    with pytest.raises(BenchmarkError, match="0 training"):
        judge_gallery(data.replace(train=np.array([], np.int64)))
