from __future__ import annotations

import sys

import numpy as np
import pytest

from olrsearch.audit.benchmark.baselines import (
    FILTERS,
    cleanlab_filter,
    cleanlab_scores,
    random_scores,
    whole_votes,
)
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.audit.scorers.protocol import scores
from olrsearch.core.errors import BenchmarkError, OptionalDependencyError
from olrsearch.core.progress import silent

METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def case(images=400, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(images, labels)) + np.linspace(-2, 1, labels)
    given = np.where(rng.random(logits.shape) < 1 / (1 + np.exp(-logits)), 1, -1).astype(np.int8)
    flips = rng.random(given.shape) < 0.05
    given[flips] *= -1
    given[rng.random(given.shape) < 0.05] = 0
    probability = (1 / (1 + np.exp(-logits))).T.astype(np.float32)
    return given, probability, flips


class Views:
    def __init__(self, features):
        self.all = features

    def features(self, fold, rows):
        del fold
        return self.all[rows]


def test_chance_orders_known_entries_by_the_seed_alone():
    given, _, _ = case()
    found = random_scores(given, seed=1)
    assert found.dtype == np.float32
    assert (np.isnan(found) == (given.T == 0)).all()
    assert np.array_equal(found, random_scores(given, seed=1), equal_nan=True)
    assert not np.array_equal(found, random_scores(given, seed=2), equal_nan=True)


def test_cleanlabs_three_rankings_of_a_binary_task_are_those_of_self_confidence():
    given, probability, _ = case()
    ours = scores(probability, given)
    known = np.isfinite(ours)
    for method in METHODS:
        found = cleanlab_scores(given, probability, method=method)
        assert (np.isnan(found) == ~known).all()
        # In the order of self-confidence no score falls but by rounding.
        assert np.diff(found[known][np.argsort(ours[known])]).min() > -1e-6


def test_cleanlabs_multilabel_scores_are_the_same_task_by_task():
    from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

    given, probability, _ = case()
    given[given == 0] = 1
    listed = [np.flatnonzero(row > 0).tolist() for row in given]
    for adjusted in (False, True):
        expected = get_label_quality_scores_per_class(
            listed, probability.T.astype(np.float64), adjust_pred_probs=adjusted
        )
        found = cleanlab_scores(given, probability, adjusted=adjusted)
        assert np.allclose(found.T, expected, atol=1e-5)


def test_adjusted_scores_take_thresholds_off():
    given, probability, _ = case()
    plain, adjusted = (cleanlab_scores(given, probability, adjusted=flag) for flag in (False, True))
    known = np.isfinite(plain)
    assert np.abs(plain[known] - adjusted[known]).max() > 0.05


@pytest.mark.parametrize("by", FILTERS)
def test_filters_are_cleanlabs_label_by_label(by):
    from cleanlab.filter import find_label_issues

    given, probability, flips = case(1500)
    found = cleanlab_filter(given, probability, by=by)
    assert not found[given.T == 0].any()
    for label in range(3):
        rows = np.flatnonzero(given[:, label] != 0)
        present = probability[label, rows].astype(np.float64)
        expected = find_label_issues(
            (given[rows, label] > 0).astype(int),
            np.stack([1 - present, present], axis=1),
            filter_by=by,
            n_jobs=1,
        )
        assert (found[label, rows] == expected).all()
    # It flags more of what is wrong than of what is not.
    assert found[flips.T].mean() > 3 * found[~flips.T].mean()


def test_pruning_by_class_and_by_both_is_pruning_by_noise_rate_in_a_binary_task():
    given, probability, _ = case(1500)
    expected = cleanlab_filter(given, probability)
    assert expected.any()
    for by in ("prune_by_class", "both"):
        assert (cleanlab_filter(given, probability, by=by) == expected).all()


def test_one_class_or_no_probability_is_no_task():
    given, probability, _ = case()
    given[:, 0] = 1
    probability[1] = np.nan
    given[:, 2] = -1
    given[0, 2] = 1  # a single positive, of which cleanlab flags none
    found = cleanlab_scores(given, probability)
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2]).all()
    assert not cleanlab_filter(given, probability)[:2].any()


def test_votes_are_shares_of_the_nearest_of_other_folds():
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(90, 5)) * [1, 10, 0.1, 1, 1]).astype(np.float32)
    features[:, 4] = 2.0  # a constant says nothing
    given = rng.choice([-1, 0, 1], size=(90, 2)).astype(np.int8)
    identity = np.arange(90)
    material = Material(("a", "b"), given, identity_folds(identity, folds=3), identity, Views(features))
    found = whole_votes(material, neighbours=7, track=silent)
    for row in range(90):
        outside = material.outside(int(material.fold[row]))
        spread = features[outside].std(axis=0)
        spread[spread == 0] = 1
        apart = (((features[outside] - features[row]) / spread) ** 2).sum(axis=1)
        near = outside[np.argsort(apart)[:7]]
        for label in range(2):
            everybody = given[outside, label]
            share = (everybody > 0).sum() / (everybody != 0).sum()
            votes = given[near, label]
            expected = ((votes > 0).sum() + share) / ((votes != 0).sum() + 1)
            assert found[label, row] == pytest.approx(expected, abs=1e-5)


def test_votes_say_nothing_of_a_label_with_one_class_and_do_with_few_images():
    features = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    given = np.ones((12, 2), np.int8)
    given[::2, 1] = -1
    identity = np.arange(12)
    material = Material(("one", "both"), given, identity_folds(identity, folds=2), identity, Views(features))
    found = whole_votes(material, track=silent)
    assert np.isnan(found[0]).all()
    assert ((found[1] > 0) & (found[1] < 1)).all()


def test_an_entrys_own_value_has_no_vote():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    given = rng.choice([-1, 1], size=(60, 2)).astype(np.int8)
    identity = np.arange(60)
    fold = identity_folds(identity, folds=3)
    before = whole_votes(Material(("a", "b"), given, fold, identity, Views(features)), track=silent)
    other = given.copy()
    other[10, 1] *= -1
    after = whole_votes(Material(("a", "b"), other, fold, identity, Views(features)), track=silent)
    assert before[1, 10] == after[1, 10]
    assert (before != after).any()


def test_bad_input_is_named(monkeypatch):
    given, probability, _ = case()
    with pytest.raises(BenchmarkError, match=r"expected \[L, N\] of \[N, L\]"):
        cleanlab_scores(given, probability.T)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    for call in (cleanlab_scores, cleanlab_filter):
        with pytest.raises(OptionalDependencyError, match="audit"):
            call(given, probability)
