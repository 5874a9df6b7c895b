from __future__ import annotations

import json
import math

import numpy as np
import pytest
from olrsearch_benchmarks.richness import average_precision_influence, norm_r2, run_richness
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.metrics import weighted_average_precision


@pytest.fixture(scope="module")
def rich(data):
    return run_richness(data, resamples=60)


@pytest.fixture(scope="module")
def poor(make):
    made = make(rich=False)
    return run_richness(made, resamples=60)


def test_r2_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.random(300).round(2)
    norm = np.sqrt(p) + 0.1 * rng.normal(size=300)
    linear, monotone = norm_r2(norm, p)
    assert linear == pytest.approx(LinearRegression().fit(p[:, None], norm).score(p[:, None], norm))
    fitted = IsotonicRegression().fit(p, norm)
    assert monotone == pytest.approx(fitted.score(p, norm))
    assert monotone > linear
    assert all(math.isnan(value) for value in norm_r2(np.ones(5), p[:5]))
    assert norm_r2(norm, np.full(300, 0.5))[1] == pytest.approx(0)


def test_the_surrogate_collapses_and_nothing_beats_it(poor):
    for row in poor.labels:
        assert row.pc1_share == pytest.approx(1)
        assert row.effective_rank == pytest.approx(1, abs=1e-4)
        assert row.surrogate_effective_rank == pytest.approx(1, abs=1e-4)
        assert row.norm_r2 == pytest.approx(1, abs=1e-5)
        assert abs(row.others_gain.estimate) < 0.05
    assert "other labels mAP" not in poor.richer


def test_an_embedding_that_holds_more_is_found_richer(rich):
    assert rich.mean["effective_rank"] > 1.5
    assert rich.mean["pc1_share"] < 0.95
    assert rich.others_gain.low > 0
    assert "other labels mAP" in rich.richer
    assert rich.mean["others_map"] - rich.mean["others_map_probability"] == pytest.approx(
        rich.others_gain.estimate
    )
    for row in rich.labels:
        assert row.others_gain.low <= row.others_gain.estimate <= row.others_gain.high


def test_correlations_stand_beside_the_papers(data, rich):
    pairs = {(row.first, row.second): row for row in rich.correlations}
    assert set(pairs) == {("Male", "Heavy_Makeup"), ("Bald", "Young")}
    norms = np.linalg.norm(data.embeddings[:, data.gallery], axis=2)
    row = pairs["Male", "Heavy_Makeup"]
    assert row.norms == pytest.approx(np.corrcoef(norms[0], norms[2])[0, 1])
    assert row.labels == pytest.approx(np.corrcoef(data.truth[0], data.truth[2])[0, 1])
    assert row.reached == (row.norms < 0 and abs(row.norms + 0.8) <= 0.15)
    assert -1 <= rich.correlation_agreement <= 1


def test_the_report_is_seeded_json_and_text(data, rich):
    assert run_richness(data, resamples=60).to_dict() == rich.to_dict()
    found = json.loads(json.dumps(rich.to_dict(), allow_nan=False))
    assert set(found["results"]["against_surrogate"]) == {
        "queries AP (linear probe)",
        "similar nDCG@20",
        "triplet accuracy",
        "exemplar AP",
    }
    text = rich.to_markdown()
    assert "### P6" in text
    assert "| mean " in text


def test_models_need_training_images(data):
    with pytest.raises(BenchmarkError, match="0 training"):
        run_richness(data.replace(train=np.array([], np.int64)))


def test_influence_is_the_derivative_by_the_weights():
    rng = np.random.default_rng(3)
    truth = rng.choice([-1, 1], p=[0.7, 0.3], size=(1, 60)).astype(np.int8)
    truth[:, 0] = 1
    scores = rng.permuted(np.arange(60.0)[None], axis=1)
    truth[0, 5] = 0
    influence = average_precision_influence(scores[0], truth[0])
    step = 1e-4
    for image in range(0, truth.shape[1], 7):
        weights = np.ones((truth.shape[1], 2))
        weights[image] = 1 + step, 1 - step
        up, down = weighted_average_precision(scores[0], truth[0], weights)
        assert influence[image] == pytest.approx((up - down) / (2 * step), abs=1e-6)
    assert np.isnan(average_precision_influence(scores[0], -np.abs(truth[0]))).all()
