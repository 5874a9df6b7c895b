from __future__ import annotations

import json
import math

import numpy as np
import pytest

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.looks.correlations import (
    COUNTED,
    PAPER_CORRELATIONS,
    cluster_order,
    correlate_norms,
    gallery_correlations,
    label_correlations,
)
from olrsearch.evaluation.report import jsonable

NAMES = ("Male", "Bald", "heavy makeup", "Young", "Smiling")


@pytest.fixture(scope="module")
def planted():
    """Norms with known correlations: Male −.8 with Heavy_Makeup, Bald −.3 with Young, all else 0."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(5, 4000))
    base -= base.mean(axis=1, keepdims=True)
    orthogonal = np.linalg.qr(base.T)[0].T
    norms = orthogonal.copy()
    norms[2] = -0.8 * orthogonal[0] + 0.6 * orthogonal[2]
    norms[3] = -0.3 * orthogonal[1] + math.sqrt(1 - 0.09) * orthogonal[3]
    labels = np.where(rng.random((5, 4000)) < 0.4, 1, -1).astype(np.int8)
    labels[2] = -labels[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("olrsearch.evaluation.looks.correlations.STRONGEST", 3)
        return correlate_norms(norms + 5, labels, NAMES, notes=("a note",)), norms, labels


def test_planted_correlations_are_found(planted):
    found, norms, _ = planted
    assert found.images == 4000
    np.testing.assert_allclose(found.norms, np.corrcoef(norms), atol=1e-9)
    (pair,) = [row for row in found.paper if row.first == "Male"]
    assert (pair.second, pair.paper, pair.reached) == ("Heavy_Makeup", -0.8, True)
    assert pair.norms == pytest.approx(-0.8)
    assert pair.labels == pytest.approx(-1)
    assert [(row.first, row.second) for row in found.paper] == [("Male", "Heavy_Makeup"), ("Bald", "Young")]
    assert found.notes == ("a note",)


def test_the_strongest_pairs_come_first_in_both_directions(planted):
    found, _, _ = planted
    assert [(pair.first, pair.second) for pair in found.apart[:2]] == [
        ("Male", "heavy makeup"),
        ("Bald", "Young"),
    ]
    assert [pair.norms for pair in found.apart] == sorted(pair.norms for pair in found.apart)
    assert len(found.together) <= 3
    assert all(pair.norms > 0 for pair in found.together)
    assert [pair.norms for pair in found.together] == sorted(
        (pair.norms for pair in found.together), reverse=True
    )


def test_a_pair_is_reached_by_sign_and_distance():
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    labels = np.where(rng.random((2, 2000)) < 0.5, 1, -1).astype(np.int8)
    near = correlate_norms(
        np.stack([x, x + rng.normal(size=2000)]), labels, ("Wearing_Lipstick", "Attractive")
    )
    assert near.paper[0].norms == pytest.approx(0.7, abs=0.05)
    assert near.paper[0].reached
    far = correlate_norms(np.stack([x, x]), labels, ("Wearing_Lipstick", "Attractive"))
    assert far.paper[0].norms == pytest.approx(1)
    assert not far.paper[0].reached
    wrong = correlate_norms(np.stack([x, -x]), labels, ("Bald", "Attractive"))
    assert not wrong.paper[0].reached


def test_labels_correlate_over_the_images_where_both_are_known():
    rng = np.random.default_rng(2)
    labels = rng.choice([-1, 0, 1], size=(4, 500)).astype(np.int8)
    labels[3] = 1
    found = label_correlations(labels)
    for a in range(3):
        for b in range(3):
            known = (labels[a] != 0) & (labels[b] != 0)
            expected = np.corrcoef(labels[a, known], labels[b, known])[0, 1]
            assert found[a, b] == pytest.approx(expected)
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()
    nothing = label_correlations(np.zeros((2, 9), np.int8))
    assert np.isnan(nothing).all()


def test_clustering_puts_blocks_together():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 3000))
    rows = np.stack([(first, second)[number % 2] + 0.5 * rng.normal(size=3000) for number in range(8)])
    order = cluster_order(np.corrcoef(rows))
    assert sorted(order) == list(range(8))
    assert {number % 2 for number in order[:4]} in ({0}, {1})
    assert cluster_order(np.eye(2)) == (0, 1)
    assert cluster_order(np.eye(1)) == (0,)


def test_the_gallery_is_what_reports_measure_on(data):
    found = gallery_correlations(data)
    norms = np.linalg.norm(data.embeddings[:, data.gallery], axis=2)
    np.testing.assert_allclose(found.norms, np.corrcoef(norms), atol=1e-6)
    np.testing.assert_allclose(found.labels, np.corrcoef(data.truth), atol=1e-12)
    upper = np.triu_indices(len(norms), 1)
    expected = np.corrcoef(found.norms[upper], found.labels[upper])[0, 1]
    assert found.agreement == pytest.approx(expected)
    assert json.loads(json.dumps(jsonable(found), allow_nan=False))["images"] == len(data.gallery)


def test_inputs_are_checked_and_left_alone():
    norms, labels = np.ones((2, 5)), np.ones((2, 5), np.int8)
    with pytest.raises(BenchmarkError, match="2 images, expected at least 3"):
        correlate_norms(norms[:, :2], labels[:, :2], ("a", "b"))
    with pytest.raises(BenchmarkError, match="do not fit each other"):
        correlate_norms(norms, labels, ("a",))
    with pytest.raises(BenchmarkError, match="do not fit each other"):
        correlate_norms(norms, labels[:, 1:], ("a", "b"))
    found = correlate_norms(norms, labels, ("a", "b"))
    assert (norms == 1).all()
    assert math.isnan(found.agreement)
    assert found.together == found.apart == ()


def test_the_counted_pairs_are_the_strong_ones():
    assert all(abs(paper) >= 0.3 for _, _, paper in PAPER_CORRELATIONS[:COUNTED])
    assert all(abs(paper) < 0.3 for _, _, paper in PAPER_CORRELATIONS[COUNTED:])
