from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from olrsearch.maths.logistic import fit_logistic


def made(count=200, size=3):
    rng = np.random.default_rng(4)
    columns = np.column_stack([rng.normal(size=(count, size - 1)), np.ones(count)])
    target = (rng.random(count) < 1 / (1 + np.exp(-columns @ np.array([1.0, -2.0, 0.3])))).astype(float)
    return columns, target, rng.uniform(0, 3, count)


def test_the_minimum_is_that_of_another_optimiser_and_runs_of_entries_add_up():
    columns, target, often = made()
    ridge, centre = np.array([0.5, 2.0, 1e-3]), np.array([1.0, 0.0, -1.0])

    def objective(weight):
        logits = columns @ weight
        loss = often @ (np.logaddexp(0, logits) - target * logits)
        return loss + 0.5 * ridge @ np.square(weight - centre)

    start = np.zeros(3)
    found = fit_logistic([(columns, target, often)], start, ridge, centre)
    assert found == pytest.approx(minimize(objective, start, tol=1e-9).x, abs=1e-4)
    assert (start == 0).all()
    halves = [(columns[part], target[part], often[part]) for part in (slice(80), slice(80, None))]
    assert fit_logistic(halves, start, ridge, centre) == pytest.approx(found, abs=1e-6)


def test_separable_classes_and_no_entries_have_finite_weights():
    columns, _, often = made()
    far = 50 * columns
    found = fit_logistic(
        [(far, (columns[:, 0] > 0).astype(float), often)], np.zeros(3), np.ones(3), np.zeros(3)
    )
    assert np.isfinite(found).all()
    centre = np.array([1.0, 2.0, 3.0])
    assert fit_logistic([], np.zeros(3), np.ones(3), centre) == pytest.approx(centre)
