from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from olrsearch.evaluation.metrics import (
    average_precision,
    label_average_precision,
    ndcg_at,
    pearson_rows,
    precision_at,
    r_precision,
    ranked,
    roc_auc,
    weighted_average_precision,
)

seeds = st.integers(0, 10_000)


def draw(seed, rows=3, images=60):
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1, 1], p=[0.7, 0.3], size=(rows, images)).astype(np.int8)
    truth[:, 0] = 1
    return rng.permuted(np.tile(np.arange(images, dtype=np.float64), (rows, 1)), axis=1), truth


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_average_precision_is_that_of_scikit_learn(seed):
    scores, truth = draw(seed)
    found = label_average_precision(scores, truth)
    for row in range(len(scores)):
        assert found[row] == pytest.approx(reference.average_precision_score(truth[row] > 0, scores[row]))


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_weighted_average_precision_is_that_of_scikit_learn(seed):
    scores, truth = draw(seed)
    weights = np.random.default_rng(seed).poisson(1, (truth.shape[1], 5)).astype(np.float32)
    weights[0] = 1
    found = weighted_average_precision(scores[0], truth[0], weights)
    for column in range(5):
        expected = reference.average_precision_score(
            truth[0] > 0, scores[0], sample_weight=weights[:, column]
        )
        assert found[column] == pytest.approx(expected, abs=1e-6)


def test_a_weighted_ranking_of_nothing_relevant_is_nan():
    truth = np.array([-1, 1, 0, 1], np.int8)
    scores = np.array([0.1, 0.9, 0.5, 0.2])
    nothing = np.array([[1], [0], [3], [0]], np.float32)
    assert math.isnan(weighted_average_precision(scores, truth, nothing)[0])
    assert np.isnan(weighted_average_precision(scores, -np.abs(truth), np.ones((4, 3), np.float32))).all()
    # The unknown image, however heavy, changes nothing.
    assert weighted_average_precision(scores, truth, np.array([[1], [1], [9], [1]], np.float32))[0] == 1


def test_ties_are_ordered_by_position_and_unknown_labels_are_left_out():
    assert ranked(np.array([[1.0, 2.0, 1.0, 2.0]])).tolist() == [[1, 3, 0, 2]]
    tied = np.zeros((1, 4))
    assert label_average_precision(tied, np.array([[-1, 1, -1, -1]], np.int8))[0] == 0.5
    assert label_average_precision(tied, np.array([[0, 1, 0, -1]], np.int8))[0] == 1.0


def test_nothing_relevant_is_nan_but_a_precision_of_zero():
    nothing = np.zeros((1, 5), np.bool_)
    assert math.isnan(average_precision(nothing)[0])
    assert math.isnan(r_precision(nothing)[0])
    assert precision_at(nothing, 10)[0] == 0
    assert math.isnan(ndcg_at(np.zeros((1, 5)), 3)[0])


def test_precisions_by_hand():
    found = np.array([[True, False, True, True, False]])
    assert precision_at(found, 2)[0] == 0.5
    assert precision_at(found, 10)[0] == 0.3
    assert r_precision(found)[0] == pytest.approx(2 / 3)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_ndcg_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    gains = rng.random((4, 30)).astype(np.float32)
    scores = rng.permuted(np.tile(np.arange(30.0), (4, 1)), axis=1)
    ordered = np.take_along_axis(gains, ranked(scores), axis=1)
    for row in range(4):
        expected = reference.ndcg_score(gains[row : row + 1], scores[row : row + 1], k=20)
        assert ndcg_at(ordered[row : row + 1], 20)[0] == pytest.approx(expected, rel=1e-6)
        # Only the first 20 need to be known when the ideal is given apart.
        assert ndcg_at(ordered[row : row + 1, :20], 20, gains[row : row + 1])[0] == pytest.approx(expected)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_roc_auc_is_that_of_scikit_learn_with_ties(seed):
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(0, 6, 20).astype(float), rng.integers(0, 5, 30).astype(float)
    truth = np.r_[np.ones(20), np.zeros(30)]
    expected = reference.roc_auc_score(truth, np.r_[positive, negative])
    assert roc_auc(positive, negative) == pytest.approx(expected)


def test_roc_auc_of_nothing_is_nan():
    assert math.isnan(roc_auc(np.array([]), np.array([1.0])))


def test_correlations_are_those_of_numpy_and_constants_have_none():
    rows = np.random.default_rng(0).normal(size=(3, 50))
    assert np.allclose(pearson_rows(rows), np.corrcoef(rows))
    rows[1] = 4.0
    assert pearson_rows(rows)[1].tolist() == [0, 1, 0]
