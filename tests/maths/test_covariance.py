import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from olrsearch.maths.covariance import scatter, shrunk_covariance


@pytest.mark.parametrize(("count", "size"), [(7, 20), (40, 12), (3000, 5), (200, 1)])
def test_the_covariance_is_that_of_scikit_learn(count, size):
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=(count, size)) @ rng.normal(size=(size, size))
    found, share = shrunk_covariance(vectors)
    expected, shrinkage = ledoit_wolf(vectors, assume_centered=True)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert share == pytest.approx(shrinkage, abs=1e-9)


@pytest.mark.parametrize("count", [1, 1000, 70_001])  # one block, and several with a rest
def test_scatter_is_the_sum_of_outer_products(count):
    vectors = np.random.default_rng(count).normal(size=(count, 4))
    np.testing.assert_allclose(scatter(vectors), vectors.T @ vectors, rtol=1e-10, atol=1e-10)
