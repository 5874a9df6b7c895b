"""What an image's other labels say."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from olrsearch.audit.scorers import other_labels
from olrsearch.audit.scorers.material import Material
from olrsearch.audit.scorers.other_labels import RIDGE, OtherLabels
from olrsearch.core.progress import silent
from olrsearch.maths.calibration import MIN_EXAMPLES

NAMES = ("Beard", "Male", "Lipstick", "Hat")
BEARD, MALE, LIPSTICK, HAT = range(4)


def material(given, folds=3, names=NAMES):
    rows = np.arange(len(given))
    return Material(names, given, rows % folds, rows, None)


def drawn(count=400, seed=0, unknown=0.1):
    rng = np.random.default_rng(seed)
    male = rng.random(count) < 0.5
    beard = male & (rng.random(count) < 0.4)
    lipstick = ~male & (rng.random(count) < 0.7)
    given = np.where(np.column_stack([beard, male, lipstick, rng.random(count) < 0.2]), 1, -1)
    given[rng.random(given.shape) < unknown] = 0
    return given.astype(np.int8)


def test_it_is_the_logistic_regression_on_the_other_labels_of_the_other_folds():
    given = drawn()
    found = material(given)
    evidence = OtherLabels().evidence(found, track=silent)
    for fold in range(3):
        inside = found.inside(fold)
        for label in range(4):
            others = np.delete(given, label, axis=1).astype(float)
            rows = found.outside(fold)
            rows = rows[given[rows, label] != 0]
            model = LogisticRegression(C=1 / RIDGE, tol=1e-10, max_iter=1000)
            model.fit(others[rows], given[rows, label])
            expected = model.predict_proba(others[inside])[:, 1]
            assert evidence[label, inside] == pytest.approx(expected, abs=1e-4)


def test_labels_that_decide_each_other_have_finite_weights():
    rng = np.random.default_rng(2)
    given = np.where(rng.random((3000, 4)) < 0.5, 1, -1).astype(np.int8)
    given[:, MALE] = -given[:, BEARD]
    given[:, LIPSTICK] = given[:, BEARD]
    evidence = OtherLabels().evidence(material(given), track=silent)
    assert np.isfinite(evidence).all()
    assert (np.where(given.T > 0, evidence, 1 - evidence)[:HAT] > 0.98).all()


@pytest.mark.parametrize("share", [0.004, 0.996])
def test_rare_labels_end_at_the_least_loss(share):
    """Newton's steps go as far as they have to, and not beyond."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        given = np.where(rng.random((4000, 30)) < rng.random(30), 1, -1).astype(np.int8)
        given[:, 0] = np.where(rng.random(4000) < share, 1, -1)
        given[:, 1] = given[:, 0]
        columns = np.column_stack([given, np.ones(4000, np.int8)]).astype(np.float64)
        weight = other_labels._fit(columns, given, np.arange(4000), 0)
        chance = 1 / (1 + np.exp(-columns @ weight))
        slope = columns.T @ (chance - (given[:, 0] > 0)) + RIDGE * weight
        slope[-1] -= (RIDGE - 1e-6) * weight[-1]
        assert weight[0] == 0
        assert np.abs(slope[1:]).max() < 1e-2


def test_labels_need_examples_of_both_classes():
    given = drawn(unknown=0)
    given[:, HAT] = -1
    outside = material(given).outside(0)
    for count, there in ((MIN_EXAMPLES, True), (MIN_EXAMPLES - 1, False)):
        given[:, HAT] = -1
        given[outside[:count], HAT] = 1
        evidence = OtherLabels().evidence(material(given), track=silent)
        inside = evidence[HAT, material(given).inside(0)]
        assert np.isfinite(inside).all() == there
        assert np.isnan(inside).all() != there
        assert np.isfinite(evidence[:HAT]).all()


def test_a_label_alone_has_its_frequency():
    given = drawn(unknown=0)[:, :1]
    found = material(given, names=("Beard",))
    evidence = OtherLabels().evidence(found, track=silent)
    for fold in range(3):
        share = (given[found.outside(fold), 0] > 0).mean()
        assert evidence[0, found.inside(fold)] == pytest.approx(share, abs=1e-5)


def test_it_says_which_labels_weigh_most():
    given = drawn(unknown=0)
    found = material(given)
    scorer = OtherLabels()
    evidence = scorer.evidence(found, track=silent)
    bearded = int(np.flatnonzero((given[:, BEARD] > 0) & (given[:, LIPSTICK] < 0))[0])
    said = scorer.explain(found, bearded, MALE, float(evidence[MALE, bearded]))
    assert said.text.startswith(
        f"{evidence[MALE, bearded]:.0%} likely by the image's other labels, most of all"
    )
    assert said.text.split("by ")[-1].split(", ")[0] in {"Beard", "not Lipstick"}
    made_up = int(np.flatnonzero((given[:, LIPSTICK] > 0) & (given[:, BEARD] < 0))[0])
    said = scorer.explain(found, made_up, MALE, float(evidence[MALE, made_up]))
    assert said.text.split("most of all by ")[1].split(", ")[0] == "Lipstick"
    assert evidence[MALE, made_up] < 0.1
    assert scorer.explain(found, 0, MALE, None).text == "its other labels say nothing of it"


def test_unknown_labels_are_not_named():
    given = drawn(unknown=0)
    given[3] = 0
    said = OtherLabels().explain(material(given), 3, MALE, 0.5)
    assert said.text == "50% likely by the image's other labels"


@pytest.mark.parametrize("columns", [[BEARD], [BEARD, MALE]])
def test_where_there_are_few_labels_neither_the_offset_nor_the_label_itself_is_named(columns):
    given = drawn(unknown=0)[:, columns]
    names = tuple(NAMES[column] for column in columns)
    found = material(given, names=names)
    for row in range(20):
        for label, name in enumerate(names):
            for present in (0.1, 0.9):
                said = OtherLabels().explain(found, row, label, present).text
                assert name not in said.partition("by the image's other labels")[2]
