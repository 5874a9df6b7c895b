import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import gallery

from olrsearch.core.errors import VectorError
from olrsearch.maths.metric import Metric, choose_metric, fit_metric

KINDS = ("ip", "l2", "cosine")
FORMS = ("plain", "centred", "standardised")


def by_hand(metric, query, vectors, label):
    q, x = query.astype(np.float64), vectors.astype(np.float64)
    if metric.form != "plain":
        q, x = ((v - metric.mean[label]) / metric.deviation[label] for v in (q, x))
    if metric.kind == "l2":
        return ((x - q) ** 2).sum(axis=1)
    if metric.kind == "ip":
        return -(x @ q)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(q)
    return 1 - (x @ q) / np.where(norms > 0, norms, 1)


@settings(max_examples=40)
@given(st.sampled_from(KINDS), st.sampled_from(FORMS), st.integers(0, 20))
def test_distances_are_what_the_docstring_says(kind, form, seed):
    made = gallery(40, seed=seed)
    embeddings = made.all()
    metric = fit_metric(embeddings, kind, form=form, seed=seed)
    for label in range(5):
        found = metric.distances(embeddings[label, 3], embeddings[label], label)
        assert found.dtype == np.float32
        expected = by_hand(metric, embeddings[label, 3], embeddings[label], label)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        if kind != "ip":
            assert found.min() >= 0
            assert found[3] < 1e-5


def test_blocks_leave_no_seam():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2**16 + 77, 4)).astype(np.float32)
    metric = fit_metric(vectors[None, :500], "l2", form="standardised")
    found = metric.distances(vectors[5], vectors, 0)
    np.testing.assert_allclose(found, by_hand(metric, vectors[5], vectors, 0), rtol=1e-4, atol=1e-4)


def test_zero_vectors_have_cosine_distance_one_and_inputs_stay():
    vectors = np.array([[[0, 0], [1, 0], [-2, 0]]], np.float32)
    before = vectors.copy()
    metric = fit_metric(vectors, "cosine", form="plain")
    np.testing.assert_allclose(metric.distances(vectors[0, 1], vectors[0], 0), [1, 0, 2])
    np.testing.assert_allclose(metric.distances(vectors[0, 0], vectors[0], 0), [1, 1, 1])
    metric.transform(vectors[0], 0)
    np.testing.assert_array_equal(vectors, before)


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_rules_a_sum_because_its_vectors_are_long(kind):
    embeddings = gallery(300).all()
    longer = embeddings.copy()
    longer[2] *= 100
    plain = fit_metric(embeddings, kind, form="plain")
    scaled = fit_metric(longer, kind, form="plain")
    for metric, vectors in ((plain, embeddings), (scaled, longer)):
        spreads = [
            np.std(metric.distances(vectors[label, 7], vectors[label], label) / metric.scale[label])
            for label in range(5)
        ]
        assert max(spreads) / min(spreads) < 20
    np.testing.assert_allclose(
        plain.distances(embeddings[2, 1], embeddings[2], 2) / plain.scale[2],
        scaled.distances(longer[2, 1], longer[2], 2) / scaled.scale[2],
        rtol=1e-3,
        atol=1e-5,
    )


def test_constant_and_dead_numbers_are_survived():
    embeddings = gallery(50).all()
    embeddings[1] = 0.5
    embeddings[3, :, 0] = 0
    for kind in KINDS:
        metric = fit_metric(embeddings, kind, form="standardised")
        assert np.isfinite(metric.distances(embeddings[1, 0], embeddings[1], 1)).all()
        assert np.isfinite(metric.distances(embeddings[3, 0], embeddings[3], 3)).all()
    assert metric.scale[1] == 1.0


def test_the_metric_that_finds_labels_best_is_chosen():
    # Presence is a direction, length is noise: cosine must win over l2 and ip.
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((300, 3)) < 0.4, 1, -1).astype(np.int8)
    direction = np.array([1.0, 0, 0, 0])
    other = np.array([0, 1.0, 0, 0])
    vectors = np.where(labels.T[:, :, None] > 0, direction, other) + rng.normal(size=(3, 300, 4)) * 0.25
    embeddings = (vectors * rng.lognormal(0, 1.5, (3, 300, 1))).astype(np.float32)
    metric = choose_metric(embeddings, labels, seed=1)
    assert metric.kind == "cosine"
    assert len(metric.trials) == 8
    assert [t.exemplar_ap for t in metric.trials] == sorted(
        (t.exemplar_ap for t in metric.trials), reverse=True
    )
    assert metric.trials[0].triplet_accuracy > 0.8
    assert choose_metric(embeddings, labels, seed=1).trials == metric.trials


def test_an_exemplar_without_the_label_counts_as_much_as_one_with_it():
    # Present images point along one axis with any length, absent ones are nearly zero: plain inner
    # products find the present ones best, and answer "lacks it, like this one" with the same images.
    rng = np.random.default_rng(3)
    labels = np.where(rng.random((400, 1)) < 0.3, 1, -1).astype(np.int8)
    length = np.where(labels.T > 0, rng.uniform(0.3, 1.0, (1, 400)), rng.uniform(0, 0.25, (1, 400)))
    embeddings = (length[:, :, None] * np.array([1.0, 0.2])).astype(np.float32)
    metric = choose_metric(embeddings, labels)
    trials = {(trial.kind, trial.form): trial for trial in metric.trials}
    plain = trials["ip", "plain"]
    assert plain.present_ap > 0.99
    assert plain.absent_ap < 0.7  # no better than chance
    assert metric.trials[0].absent_ap > 0.9
    assert metric.trials[0].exemplar_ap == (metric.trials[0].present_ap + metric.trials[0].absent_ap) / 2


def test_without_labels_the_plainest_metric_is_taken():
    embeddings = gallery(30).all()
    metric = choose_metric(embeddings, np.zeros((30, 5), np.int8))
    assert (metric.kind, metric.form) == ("l2", "plain")
    assert metric.trials[0].labels == 0


def test_json_gives_back_the_very_same_metric():
    made = gallery(50)
    metric = choose_metric(made.all(), made.labels)
    again = Metric.from_dict(json.loads(json.dumps(metric.to_dict())))
    assert (again.kind, again.form, again.trials) == (metric.kind, metric.form, metric.trials)
    for name in ("mean", "deviation", "scale"):
        assert getattr(again, name).dtype == getattr(metric, name).dtype
        np.testing.assert_array_equal(getattr(again, name), getattr(metric, name))


@pytest.mark.parametrize(
    "change", [{"scale": [0.0]}, {"kind": "l3"}, {"form": "bent"}, {"mean": "x"}, {"trials": [{"a": 1}]}]
)
def test_damaged_metrics_are_named(change):
    stored = fit_metric(gallery(20).all(), "l2", form="standardised").to_dict()
    with pytest.raises(VectorError):
        Metric.from_dict(stored | change)
    with pytest.raises(VectorError, match="damaged"):
        Metric.from_dict({})


def test_bad_samples_and_queries_are_named():
    embeddings = gallery(20).all()
    with pytest.raises(VectorError, match="n ≥ 2"):
        fit_metric(embeddings[:, :1], "l2", form="plain")
    holed = embeddings.copy()
    holed[0, 0, 0] = np.nan
    with pytest.raises(VectorError, match="NaN"):
        choose_metric(holed, np.ones((20, 5), np.int8))
    with pytest.raises(VectorError, match="do not fit"):
        choose_metric(embeddings, np.ones((19, 5), np.int8))
    metric = fit_metric(embeddings, "l2", form="plain")
    with pytest.raises(VectorError, match=r"shape \(3,\)"):
        metric.distances(np.zeros(3, np.float32), embeddings[0], 0)
    with pytest.raises(VectorError, match="NaN"):
        metric.distances(holed[0, 0], embeddings[0], 0)
