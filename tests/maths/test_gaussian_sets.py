import numpy as np
import pytest

from olrsearch.core.errors import GaussianError
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.gaussian_sets import joined, mixture, product


def some(count, size=3, seed=0):
    rng = np.random.default_rng(seed)
    factors = np.tril(rng.normal(size=(count, size, size)))
    index = np.arange(size)
    factors[:, index, index] = rng.uniform(0.5, 2, (count, size))
    return Gaussians(rng.normal(size=(count, size)), factors)


def test_the_product_is_proportional_to_the_product_of_densities():
    gaussians, weights = some(3), [1.0, 0.5, 2.0]
    points = np.random.default_rng(1).normal(size=(50, 3))
    wanted = weights @ gaussians.log_likelihood(points)
    apart = product(gaussians, weights).log_likelihood(points)[0] - wanted
    np.testing.assert_allclose(apart, apart[0], rtol=1e-9)


def test_the_mixture_has_the_moments_of_draws():
    gaussians, rng = some(2), np.random.default_rng(2)
    drawn = gaussians.sample(200_000, rng)
    chosen = np.concatenate([drawn[0, :150_000], drawn[1, :50_000]])
    found = mixture(gaussians, [3, 1])
    np.testing.assert_allclose(found.mean[0], chosen.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(found.covariance[0], np.cov(chosen.T), atol=0.05)


@pytest.mark.parametrize("combine", [product, mixture])
def test_a_set_of_one_is_what_it_was(combine):
    one = some(1)
    np.testing.assert_allclose(combine(one).mean, one.mean)
    np.testing.assert_allclose(combine(one).covariance, one.covariance)


def test_batches_are_joined():
    one, two = some(2), some(1, seed=4)
    found = joined([one, two])
    assert len(found) == 3
    np.testing.assert_array_equal(found.mean[2], two.mean[0])


@pytest.mark.parametrize("combine", [product, mixture])
@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, np.nan]])
def test_weights_that_do_not_fit_are_refused(combine, weights):
    with pytest.raises(GaussianError, match="a number above 0 for each"):
        combine(some(2), weights)
    with pytest.raises(GaussianError, match="no Gaussians"):
        combine(some(2)[np.empty(0, np.int64)])
