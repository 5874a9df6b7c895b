"""Edits of embeddings."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from olrsearch.core.errors import FitError
from olrsearch.maths.editing import REACH, fit_directions, label_gaussian, replaced

LABELS, SIZE = 4, 6


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def space(rng):
    """Embeddings whose slots all know something of all labels, and a readout of each slot."""
    hidden = rng.normal(size=(300, LABELS))
    mix = 0.3 * rng.normal(size=(LABELS, LABELS, SIZE)) + np.eye(LABELS)[:, :, None]
    mixed = np.einsum("nl,lmk->mnk", hidden, mix) + 0.1 * rng.normal(size=(LABELS, 300, SIZE))
    embeddings, weight = mixed.astype(np.float32), np.ones((LABELS, SIZE))
    return embeddings, weight


def logits_of(embeddings, weight):
    return np.einsum("lnk,lk->ln", embeddings.astype(np.float64), weight)


def test_the_gaussian_of_a_label_is_that_of_the_paper(rng):
    vectors = rng.normal(size=(30, SIZE)).astype(np.float32)
    found = label_gaussian(vectors)
    np.testing.assert_allclose(found.mean[0], vectors.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.covariance[0], ledoit_wolf(vectors)[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("vectors", [np.zeros((1, 3)), np.full((4, 3), np.nan)])
def test_too_little_for_a_gaussian_is_refused(vectors):
    with pytest.raises(FitError, match="vectors to fit a Gaussian to"):
        label_gaussian(vectors.astype(np.float32))


def test_equal_vectors_have_a_gaussian_too():
    assert np.isfinite(label_gaussian(np.ones((5, 3), np.float32)).factor).all()


@pytest.mark.parametrize(
    ("added", "strength", "factor"),
    [(True, 1, 1), (True, 1.5, 1.5), (False, 1, 0), (False, 2, 0), (False, 0.75, 0.25)],
)
def test_the_papers_edit_replaces_one_vector(added, strength, factor):
    embedding = np.ones((LABELS, SIZE), np.float32)
    found = replaced(embedding, 2, np.arange(SIZE) * 1.0, added=added, strength=strength)
    np.testing.assert_allclose(found[2], np.arange(SIZE) * factor)
    assert (np.delete(found, 2, axis=0) == 1).all()
    assert (embedding == 1).all()


def test_the_asked_logits_change_as_asked_and_others_hardly(space):
    embeddings, weight = space
    directions = fit_directions(embeddings, logits_of(embeddings, weight), weight)
    image = embeddings[:, 7]
    moved = directions.moved(image, {1: 2.0, 3: -3.0})
    change = np.einsum("lk,lk->l", (moved - image).astype(np.float64), weight)
    np.testing.assert_allclose(change[[1, 3]], [2, -3], atol=1e-4)
    assert np.abs(change[[0, 2]]).max() < 0.7
    assert (np.abs(moved - image).max(axis=1) > 1e-3).all()  # every slot moves
    np.testing.assert_array_equal(directions.moved(image, {1: 0.0}), image)


def test_directions_are_those_of_a_regression_on_probabilities(space):
    embeddings, weight = space
    logits = logits_of(embeddings, weight)
    directions = fit_directions(embeddings, logits, weight)
    chances = 1 / (1 + np.exp(-logits))
    centred = chances - chances.mean(axis=1, keepdims=True)
    rows = embeddings.transpose(1, 0, 2).reshape(300, -1).astype(np.float64)
    ridge = 0.1 * np.trace(centred @ centred.T) / LABELS
    expected = np.linalg.solve(
        centred @ centred.T + ridge * np.eye(LABELS), centred @ (rows - rows.mean(axis=0))
    )
    for found, one in zip(directions.steps.reshape(LABELS, -1), expected, strict=True):
        cosine = found @ one / np.linalg.norm(found) / np.linalg.norm(one)
        assert cosine == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.diag(directions.effect), 1, rtol=1e-9)


def test_edits_aim_beyond_typical_logits(space):
    embeddings, weight = space
    logits = logits_of(embeddings, weight)
    directions = fit_directions(embeddings, logits, weight)
    high, low = logits[1][logits[1] > 0].mean(), logits[1][logits[1] <= 0].mean()
    middle = (high + low) / 2
    assert directions.target(1, added=True, strength=1 / REACH) == pytest.approx(high)
    assert directions.target(1, added=False, strength=1) == pytest.approx(middle - REACH * (middle - low))


def test_a_label_that_all_have_has_another_side_and_moves_alone():
    embeddings = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    weights = np.ones((2, 3))
    directions = fit_directions(embeddings, np.stack([np.full(20, 2.0), np.full(20, -3.0)]), weights)
    assert directions.low.tolist() == [-2, -3]
    assert directions.high.tolist() == [2, 3]
    moved = directions.moved(embeddings[:, 0], {0: 3.0}) - embeddings[:, 0]
    np.testing.assert_allclose(moved, [[1, 1, 1], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("embeddings", [np.zeros((2, 1, 3)), np.full((2, 9, 3), np.inf)])
def test_too_little_for_directions_is_refused(embeddings):
    with pytest.raises(FitError, match="images to fit directions to"):
        fit_directions(embeddings.astype(np.float32), np.zeros(embeddings.shape[:2]), np.ones((2, 3)))
