import numpy as np
import pytest
from sklearn.decomposition import PCA

from olrsearch.audit.scorers.vectors import COORDINATES, VARIANCE, principal_coordinates


def test_coordinates_are_the_first_of_scikit_learn_and_hold_what_they_promise():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(400, 20)) @ rng.normal(size=(20, 20)) + 7).astype(np.float32)
    before = vectors.copy()
    found = principal_coordinates(vectors)
    shares = PCA().fit(vectors.astype(np.float64)).explained_variance_ratio_.cumsum()
    count = found.shape[1]
    assert count > COORDINATES
    assert shares[count - 1] >= VARIANCE > shares[count - 2]
    expected = PCA(count).fit_transform(vectors.astype(np.float64))
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, rtol=1e-3, atol=1e-3)
    assert found.dtype == np.float32
    assert (vectors == before).all()


@pytest.mark.parametrize(("size", "coordinates"), [(2, 2), (9, COORDINATES)])
def test_one_strong_axis_still_has_others_beside_it(size, coordinates):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, size)).astype(np.float32)
    vectors[:, 1] *= 50
    assert principal_coordinates(vectors).shape == (300, coordinates)


def test_distances_of_many_vectors_are_those_in_full_but_for_little():
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(30_000, 3)) @ rng.normal(size=(3, 12))).astype(np.float32)
    found = principal_coordinates(vectors)
    pairs = rng.integers(30_000, size=(2, 500))
    full, few = (np.linalg.norm(each[pairs[0]] - each[pairs[1]], axis=1) for each in (vectors, found))
    np.testing.assert_allclose(few, full, rtol=1e-3, atol=1e-3)


def test_vectors_that_do_not_vary_have_coordinates_too():
    found = principal_coordinates(np.full((10, 6), 3, np.float32))
    assert found.shape == (10, COORDINATES)
    assert not found.any()
