from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.decomposition import PCA

from olrsearch.core.errors import BenchmarkError, QueryError
from olrsearch.evaluation.looks.components import (
    effective_rank,
    evenly_spaced,
    label_components,
    principal_axes,
)

NAMES = ("Smiling", "Young", "Hat")


@pytest.fixture(scope="module")
def planted():
    """Vectors along two known directions, and logits that follow one each (the second one against it)."""
    rng = np.random.default_rng(0)
    along, across = 3 * rng.normal(size=800), rng.normal(size=800)
    directions = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]])
    vectors = (np.outer(along, directions[0]) + np.outer(across, directions[1]) + 7).astype(np.float32)
    logits = np.stack([2 * along - 1, -across, np.full(800, 0.5)])
    return vectors, logits, along, across, directions


def test_shares_are_those_of_a_pca():
    vectors = np.random.default_rng(0).normal(size=(200, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    reference = PCA().fit(vectors)
    shares, axes = principal_axes(vectors)
    assert np.allclose(principal_axes(vectors)[0], reference.explained_variance_ratio_)
    assert np.allclose(shares, reference.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(np.sum(axes * reference.components_, axis=1)), 1)


def test_effective_rank_by_hand():
    assert effective_rank(np.full(4, 0.25)) == pytest.approx(4)
    assert effective_rank(np.array([1.0, 0, 0])) == 1
    assert math.isnan(effective_rank(principal_axes(np.ones((9, 3)))[0]))


def test_a_planted_component_is_found_and_named(planted):
    vectors, logits, along, across, _ = planted
    found, projections = label_components(vectors, logits, NAMES, 0)
    assert found.label == "Smiling"
    assert found.component == 1
    assert sum(found.shares) == pytest.approx(1)
    variances = np.array([along.var(), across.var()])
    assert found.shares[0] == pytest.approx(variances[0] / variances.sum(), abs=0.01)
    assert abs(np.corrcoef(projections, along)[0, 1]) > 0.999
    assert found.own == pytest.approx(np.corrcoef(projections, logits[0])[0, 1])
    assert found.own > 0.999
    assert [item.label for item in found.others] == ["Young", "Hat"]
    assert found.others[1].correlation == 0  # a constant logit goes along with nothing
    assert projections.mean() == pytest.approx(0, abs=1e-5)
    assert np.ptp(projections) == pytest.approx(np.ptp(along), rel=0.05)  # in units of the embedding


@pytest.mark.parametrize("turned", [1, -1])
@pytest.mark.parametrize(("label", "component"), [(0, 1), (1, 2)])
def test_a_component_points_to_where_the_label_is_likelier(planted, turned, label, component):
    vectors, logits, *_ = planted
    found, projections = label_components(turned * vectors, logits, NAMES, label, component=component)
    assert found.own > 0.99
    half = projections > np.median(projections)
    assert logits[label][half].mean() > logits[label][~half].mean()


def test_a_sign_is_chosen_even_where_the_label_says_nothing(planted):
    vectors, logits, *_ = planted
    found, projections = label_components(vectors, logits, NAMES, 2)
    again, others = label_components(-vectors, logits, NAMES, 2)
    assert found.own == again.own == 0
    np.testing.assert_allclose(projections, -others, atol=1e-5)


def test_images_are_evenly_spaced_by_rank():
    projections = np.array([5.0, 1.0, 3.0, 2.0, 4.0, 3.0, 0.0])
    ranks, rows = evenly_spaced(projections, 3)
    assert ranks.tolist() == [1, 4, 7]
    assert projections[rows].tolist() == [0, 3, 5]
    assert rows[1] == 2  # the first of two equal ones
    ranks, rows = evenly_spaced(projections, 100)
    assert ranks.tolist() == list(range(1, 8))
    assert projections[rows].tolist() == sorted(projections)
    ranks, rows = evenly_spaced(np.arange(100_001.0), 11)
    assert rows.tolist() == list(range(0, 100_001, 10_000))
    for images, count, expected in ((4, 3, [1, 3, 4]), (120, 7, [1, 21, 41, 61, 80, 100, 120])):
        # Halfway between two images: the later one.
        assert evenly_spaced(np.arange(float(images)), count)[0].tolist() == expected
    assert evenly_spaced(projections, 1)[0].tolist() == [1]


def test_components_that_are_not_there_are_refused(planted):
    vectors, logits, *_ = planted
    for component in (0, 4):
        with pytest.raises(QueryError, match=r"Smiling has 3, from 1 to 3"):
            label_components(vectors, logits, NAMES, 0, component=component)
    with pytest.raises(BenchmarkError, match="they fill 2 of 3, choose one up to 2"):
        label_components(vectors.astype(np.float64) * [1, 1, 0], logits, NAMES, 0, component=3)
    with pytest.raises(BenchmarkError, match="do not vary over 800 images"):
        label_components(np.ones_like(vectors), logits, NAMES, 0)


def test_inputs_are_left_alone(planted):
    vectors, logits, *_ = planted
    before = vectors.copy(), logits.copy()
    label_components(vectors, logits, NAMES, 0)
    np.testing.assert_array_equal(vectors, before[0])
    np.testing.assert_array_equal(logits, before[1])
