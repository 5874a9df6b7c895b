from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.special import logit

from olrsearch.audit.benchmark.metrics import Entries, audit_figures
from olrsearch.audit.scorers.confident import MIN_EXAMPLES, Confident
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.audit.scorers.protocol import scores
from olrsearch.core.errors import AuditError, OptionalDependencyError
from olrsearch.core.progress import silent

NAMES = ("common", "rare", "half")


class Fixed:
    """A scorer that has its probabilities from elsewhere."""

    name = "probability"
    summary = "fixed"

    def __init__(self, probability):
        self.probability = probability
        self.asked = 0

    def evidence(self, material, *, track):
        del material, track
        self.asked += 1
        return self.probability

    def explain(self, material, row, label, present):
        raise NotImplementedError


def case(images=1200, seed=0):
    """Labels of three frequencies, and probabilities that lie below the truth where a label is rare."""
    rng = np.random.default_rng(seed)
    offsets = np.array([1.0, -2.5, 0.0])
    logits = rng.normal(size=(images, 3)) * 2 + offsets
    given = np.where(rng.random(logits.shape) < 1 / (1 + np.exp(-logits)), 1, -1).astype(np.int8)
    given[rng.random(given.shape) < 0.05] = 0
    probability = (1 / (1 + np.exp(-(logits + 0.5 * rng.normal(size=logits.shape))))).T.astype(np.float32)
    identity = rng.integers(0, images // 3, images)
    return Material(NAMES, given, identity_folds(identity), identity, None), probability


def with_given(material, given):
    return Material(material.names, given, material.fold, material.identity, None)


def lines(material, probability, rows):
    """What cleanlab's thresholds put ½ at, written out, float64 [L]."""
    given, likely = material.given[rows].T, probability[:, rows].astype(np.float64)
    return np.array(
        [
            (np.mean(values[known > 0]) + np.mean(values[known < 0])) / 2
            for values, known in zip(likely, given, strict=True)
        ]
    )


def test_half_lies_midway_between_the_classes_of_the_other_half_of_the_fold():
    material, probability = case()
    evidence = Confident(Fixed(probability)).evidence(material, track=silent)
    assert evidence.dtype == np.float32
    assert evidence.shape == (3, 1200)
    for fold in range(material.folds):
        rows = material.inside(fold)
        half = identity_folds(material.identity[rows], folds=2, seed=material.seed)
        for side in (0, 1):
            line = lines(material, probability, rows[half == side])
            expected = logit(probability[:, rows[half != side]]) - logit(line)[:, None]
            found = logit(evidence[:, rows[half != side]].astype(np.float64))
            assert found == pytest.approx(expected, abs=1e-3)


def test_rare_labels_are_raised_and_order_within_a_label_stays():
    material, probability = case()
    evidence = Confident(Fixed(probability)).evidence(material, track=silent)
    rare = NAMES.index("rare")
    assert (evidence[rare] > probability[rare]).all()
    for fold in range(material.folds):
        rows = material.inside(fold)
        half = identity_folds(material.identity[rows], folds=2, seed=material.seed)
        for side in (0, 1):
            part = rows[half == side]
            order = np.argsort(probability[rare, part], kind="stable")
            assert (np.diff(evidence[rare, part][order]) >= 0).all()


def test_lost_positives_are_found_better_than_by_the_probability_alone():
    """N2: a fifth of the positives are gone, and a model that learnt from the rest gives them too little."""
    rng = np.random.default_rng(5)
    material, _ = case(6000)
    truth = np.where(material.given == 0, np.int8(1), material.given)
    gone = (truth > 0) & (rng.random(truth.shape) < 0.4)
    given = np.where(gone, np.int8(-1), truth)
    informed = truth * 3.0 + rng.normal(size=truth.shape) * 1.5
    # Bayes with the frequencies that are left.
    share = (given > 0).mean(axis=0)
    likely = 1 / (1 + np.exp(-(informed + logit(share) - 1.5)))
    noisy = with_given(material, given)
    probability = likely.T.astype(np.float32)
    entries = Entries.of(gone, given)
    before = audit_figures(scores(probability, given), entries)
    after = audit_figures(scores(Confident(Fixed(probability)).judge(probability, noisy), given), entries)
    assert after.auprc > before.auprc + 0.02


def test_an_entrys_own_value_and_its_persons_change_nothing_of_its_evidence():
    material, probability = case()
    scorer = Confident(Fixed(probability))
    evidence = scorer.evidence(material, track=silent)
    rng = np.random.default_rng(1)
    for row, label in zip(rng.integers(0, 1200, 4), (0, 1, 2, 1), strict=True):
        for value in (-1, 0, 1):
            given = material.given.copy()
            given[material.identity == material.identity[row], label] = value
            changed = scorer.evidence(with_given(material, given), track=silent)
            assert changed[label, row] == evidence[label, row]


def test_unknown_labels_are_no_examples_but_have_evidence():
    material, probability = case()
    evidence = Confident(Fixed(probability)).evidence(material, track=silent)
    assert np.isfinite(evidence[material.given.T == 0]).all()
    # A probability of an unknown entry moves no line.
    moved = np.where(material.given.T == 0, np.float32(0.999), probability)
    known = material.given.T != 0
    assert (Confident(Fixed(moved)).evidence(material, track=silent)[known] == evidence[known]).all()


def test_few_examples_and_one_class_give_nan_and_no_error():
    material, probability = case(300)
    given = material.given.copy()
    given[:, 0] = 1
    given[:, 1] = -1
    given[:5, 1] = 1
    given[:, 2] = np.where(np.arange(300) % 2, 1, -1)
    evidence = Confident(Fixed(probability)).evidence(with_given(material, given), track=silent)
    assert np.isnan(evidence[:2]).all()
    assert np.isfinite(evidence[2]).all()
    # As many as a threshold needs, and one less, in the halves of one fold.
    for count, there in ((MIN_EXAMPLES, True), (MIN_EXAMPLES - 1, False)):
        rare = np.full((4 * MIN_EXAMPLES, 1), -1, np.int8)
        half = identity_folds(np.arange(len(rare)), folds=2)
        for side in (0, 1):
            rare[np.flatnonzero(half == side)[:count]] = 1
        one = Material(("rare",), rare, np.zeros(len(rare), np.int64), np.arange(len(rare)), None)
        likely = np.linspace(0.1, 0.9, len(rare), dtype=np.float32)[None]
        assert np.isfinite(Confident(Fixed(likely)).judge(likely, one)).all() == there


def test_where_the_other_scorer_says_nothing_there_is_nothing():
    material, probability = case()
    probability[:, ::7] = np.nan
    probability[1] = np.nan
    evidence = Confident(Fixed(probability)).evidence(material, track=silent)
    assert (np.isnan(evidence) == np.isnan(probability)).all()


def test_a_fold_of_one_person_has_nothing_to_stand_beside():
    material, probability = case(300)
    fold = np.where(material.identity == material.identity[0], 1, 0)
    one = Material(NAMES, material.given, fold, material.identity, None)
    evidence = Confident(Fixed(probability)).judge(probability, one)
    assert np.isnan(evidence[:, fold == 1]).all()
    assert np.isfinite(evidence[:, fold == 0]).any()


def test_sure_probabilities_stay_finite():
    material, probability = case()
    sure = np.round(probability)
    evidence = Confident(Fixed(sure)).evidence(material, track=silent)
    assert np.isfinite(evidence).all()
    assert ((evidence >= 0) & (evidence <= 1)).all()


def test_evidence_that_is_there_is_not_made_again_and_nothing_is_changed():
    material, probability = case()
    inner = Fixed(probability)
    before, given = probability.copy(), material.given.copy()
    evidence = Confident(inner).evidence(material, track=silent)
    assert inner.asked == 1
    assert (Confident(inner).judge(probability, material) == evidence).all()
    assert inner.asked == 1
    assert (probability == before).all()
    assert (material.given == given).all()


def test_it_says_why():
    material, probability = case()
    scorer = Confident(Fixed(probability))
    found = scorer.explain(material, 3, 1, 0.875)
    assert (found.scorer, found.present, found.rows) == ("cleanlab", 0.875, ())
    assert found.text == (
        "88% likely by cleanlab's thresholds: 50% lies midway between what images given as rare and all "
        "others usually get from probability"
    )
    assert scorer.explain(material, 3, 1, None).present is None


def test_bad_input_is_named(monkeypatch):
    material, probability = case(300)
    scorer = Confident(Fixed(probability))
    with pytest.raises(AuditError, match=r"expected \[L, N\]"):
        scorer.judge(probability.T, material)
    with pytest.raises(AuditError, match="outside 0 to 1"):
        scorer.judge(probability * 2, material)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'olrsearch\[audit\]'"):
        scorer.evidence(material, track=silent)
