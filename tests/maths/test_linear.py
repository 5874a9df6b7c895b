from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from olrsearch.core.errors import FitError
from olrsearch.maths.linear import LinearProblem


def draw(rows=400, features=12, targets=3, seed=0):
    rng = np.random.default_rng(seed)
    # Far from isotropic, with a constant column, as embeddings are.
    x = rng.normal(size=(rows, features)) @ rng.normal(size=(features, features)) * 3 + 5
    x[:, 4] = 2.5
    logits = (x - x.mean(axis=0)) @ rng.normal(size=(features, targets)) / 10
    y = np.where(logits + rng.logistic(size=logits.shape) > 0.5, 1, -1).astype(np.int8)
    return x.astype(np.float32), y


def standardised(x):
    scale = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1)


@pytest.mark.parametrize("strength", [0.003, 0.1, 3.0])
def test_logistic_regression_is_that_of_scikit_learn(strength):
    x, y = draw()
    before = x.copy()
    found = LinearProblem(x, y).solve(strength, tolerance=1e-6).decision(x)
    for target in range(y.shape[1]):
        model = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(standardised(x), y[:, target])
        assert np.allclose(found[:, target], model.decision_function(standardised(x)), rtol=5e-3, atol=5e-3)
    assert (x == before).all()


def test_the_svm_is_that_of_scikit_learn():
    x, y = draw()
    # LinearSVC penalises the intercept unless it is scaled out of the way.
    model = LinearSVC(C=0.05, tol=1e-8, max_iter=200_000, dual=False, intercept_scaling=300)
    expected = model.fit(standardised(x), y[:, 0]).decision_function(standardised(x))
    found = LinearProblem(x, y, loss="squared_hinge").solve(0.05, tolerance=1e-6).decision(x)[:, 0]
    assert np.allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_unknown_targets_have_no_say(loss):
    x, y = draw(targets=2)
    unknown = y.copy()
    unknown[300:, 1] = 0
    spoilt = unknown.copy()
    found = LinearProblem(x, unknown, loss=loss).solve(0.1, tolerance=1e-6)
    # Standardisation sees all rows either way; only the losses differ.
    spoilt[:, 0] = -spoilt[:, 0]
    other = LinearProblem(x, spoilt, loss=loss).solve(0.1, tolerance=1e-6)
    assert np.allclose(found.weight[:, 1], other.weight[:, 1], atol=2e-3)
    assert not np.allclose(found.weight[:, 0], other.weight[:, 0], atol=2e-3)


def test_a_warm_start_changes_the_way_and_not_the_end():
    x, y = draw()
    *_, warm = LinearProblem(x, y).path([0.001, 0.01, 0.1])
    cold = LinearProblem(x, y).solve(0.1)
    assert warm.strength == 0.1
    assert np.allclose(warm.decision(x), cold.decision(x), atol=2e-2)


def test_more_features_than_rows():
    x, y = draw(rows=30, features=80)
    found = LinearProblem(x, y).solve(0.01, tolerance=1e-6).decision(x)
    model = LogisticRegression(C=0.01, tol=1e-8, max_iter=5000).fit(standardised(x), y[:, 0])
    assert np.allclose(found[:, 0], model.decision_function(standardised(x)), rtol=5e-3, atol=5e-3)


def test_rows_must_match():
    with pytest.raises(FitError, match="3 rows of features and 2 of targets"):
        LinearProblem(np.ones((3, 2), np.float32), np.ones((2, 1), np.int8))
