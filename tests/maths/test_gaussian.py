import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from olrsearch.core.errors import GaussianError
from olrsearch.maths.divergences import DIRECTIONS, jeffreys, kl
from olrsearch.maths.gaussian import SIGMA0, Gaussians, word_prior
from olrsearch.maths.kl_features import Frame, feature_size, image_features, query_features
from olrsearch.maths.triangles import cholesky, inverse_triangles, pack, triangle, unpack

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 7)
shrinkages = st.floats(1e-3, 1.0)


def made(count, size, seed, spread=1.0):
    """Gaussians with eigenvalues from the floor to some hundreds."""
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(count, size, size)) * np.exp(rng.uniform(-4, 2, (count, size, 1)))
    covariances = matrices @ matrices.swapaxes(1, 2) + SIGMA0**2 * np.eye(size)
    return Gaussians(rng.normal(size=(count, size)) * spread, cholesky(covariances))


# -- divergences -------------------------------------------------------------------------


@settings(deadline=None)
@given(sizes, seeds)
def test_divergences_are_those_of_torch(size, seed):
    torch = pytest.importorskip("torch")
    p, q = made(4, size, seed), made(4, size, seed + 1)

    def normal(gaussians):
        return torch.distributions.MultivariateNormal(
            torch.from_numpy(gaussians.mean), scale_tril=torch.from_numpy(gaussians.factor)
        )

    expected = torch.distributions.kl_divergence(normal(p), normal(q)).numpy()
    np.testing.assert_allclose(kl(p, q), expected, rtol=1e-8, atol=1e-8)


@settings(deadline=None)
@given(sizes, seeds)
def test_log_likelihoods_are_those_of_scipy(size, seed):
    gaussians = made(3, size, seed)
    points = np.random.default_rng(seed).normal(size=(5, size))
    found = gaussians.log_likelihood(points)
    expected = [
        multivariate_normal(mean, covariance).logpdf(points)
        for mean, covariance in zip(gaussians.mean, gaussians.covariance, strict=True)
    ]
    np.testing.assert_allclose(found, np.reshape(expected, (3, 5)), rtol=1e-7, atol=1e-7)


@settings(deadline=None)
@given(sizes, seeds)
def test_divergences_are_not_negative_and_vanish_only_on_equal_gaussians(size, seed):
    p, q = made(6, size, seed), made(6, size, seed + 1)
    assert (kl(p, q) > 0).all()
    assert (kl(p, p) >= 0).all()
    np.testing.assert_allclose(kl(p, p), 0, atol=1e-10)


@settings(deadline=None)
@given(sizes, seeds)
def test_jeffreys_divergence_is_symmetric(size, seed):
    p, q = made(6, size, seed), made(6, size, seed + 1)
    np.testing.assert_array_equal(jeffreys(p, q), jeffreys(q, p))
    np.testing.assert_array_equal(jeffreys(p, q), kl(p, q) + kl(q, p))


@settings(deadline=None)
@given(sizes, seeds)
def test_one_gaussian_stands_against_each_of_a_batch(size, seed):
    one, many = made(1, size, seed), made(5, size, seed + 1)
    for row in range(5):
        assert kl(one, many)[row] == pytest.approx(kl(one, many[row])[0], rel=1e-12)
        assert kl(many, one)[row] == pytest.approx(kl(many[row], one)[0], rel=1e-12)


@settings(deadline=None)
@given(sizes, seeds, st.sampled_from(DIRECTIONS))
def test_a_divergence_is_an_inner_product_of_features(size, seed, direction):
    queries, images = made(3, size, seed), made(5, size, seed + 1)
    vectors, constants = query_features(queries, direction)
    assert vectors.shape == (3, feature_size(size))
    found = image_features(images, direction) @ vectors.T + constants
    for number in range(3):
        query = queries[number]
        direct = kl(query, images) if direction == "query-to-image" else kl(images, query)
        np.testing.assert_allclose(found[:, number], direct, rtol=1e-7, atol=1e-6)


@settings(deadline=None)
@given(sizes, seeds)
def test_a_frame_changes_no_divergence(size, seed):
    p, q = made(4, size, seed, spread=5), made(4, size, seed + 1, spread=5)
    frame = Frame.of(p)
    np.testing.assert_allclose(kl(frame.apply(p), frame.apply(q)), kl(p, q), rtol=1e-7, atol=1e-7)
    framed = frame.apply(p)
    np.testing.assert_allclose(framed.mean.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(framed.covariance.mean(axis=0), np.eye(size), atol=1e-6)
    np.testing.assert_allclose(frame.points(p.mean), framed.mean)
    volume = np.log(np.diagonal(frame.matrix)).sum()
    np.testing.assert_allclose(
        framed.log_likelihood(frame.points(q.mean)) + volume, p.log_likelihood(q.mean), rtol=1e-7, atol=1e-6
    )


@settings(deadline=None)
@given(sizes, seeds)
def test_inverse_triangles_invert(size, seed):
    factors = made(3, size, seed).factor
    inverse = inverse_triangles(factors)
    assert not np.triu(inverse, 1).any()
    # the residual from the left side, against what the method promises (Higham 2002, section 14.2)
    room = 100 * np.finfo(float).eps * (np.abs(inverse) @ np.abs(factors) @ np.abs(inverse) @ np.abs(factors))
    assert (np.abs(inverse @ factors - np.eye(size)) <= room + 1e-14).all()


# -- priors ------------------------------------------------------------------------------


@settings(deadline=None)
@given(sizes, st.integers(2, 6), seeds, shrinkages)
def test_a_prior_is_the_papers_formula(size, words, seed, shrinkage):
    vectors = np.random.default_rng(seed).normal(size=(words, size))
    middle = sum(vectors) / words
    spread = sum(np.outer(w - middle, w - middle) for w in vectors) / (words - 1)
    covariance = (1 - shrinkage) * spread + shrinkage * np.eye(size)
    prior = word_prior(vectors, shrinkage)
    np.testing.assert_allclose(prior.mean, [middle], atol=1e-12)
    np.testing.assert_allclose(prior.covariance, [covariance], atol=1e-12)


@settings(deadline=None)
@given(sizes, seeds, shrinkages, st.floats(1e-3, 1e3))
def test_weights_of_a_prior_are_shares(size, seed, shrinkage, factor):
    rng = np.random.default_rng(seed)
    vectors, weights = rng.normal(size=(4, size)), rng.uniform(0.1, 3, 4)
    equal, plain = word_prior(vectors, shrinkage, weights=np.full(4, factor)), word_prior(vectors, shrinkage)
    np.testing.assert_allclose(equal.mean, plain.mean, atol=1e-12)
    np.testing.assert_allclose(equal.covariance, plain.covariance, atol=1e-12)
    kept = weights.copy()
    weighted = word_prior(vectors, shrinkage, weights=weights)
    np.testing.assert_array_equal(weights, kept)
    share = weights / weights.sum()
    middle = share @ vectors
    spread = sum(s * np.outer(w - middle, w - middle) for s, w in zip(share, vectors, strict=True))
    spread /= 1 - (share**2).sum()
    np.testing.assert_allclose(weighted.mean, [middle], atol=1e-12)
    expected = (1 - shrinkage) * spread + shrinkage * np.eye(size)
    np.testing.assert_allclose(weighted.covariance, [expected], atol=1e-12)


@pytest.mark.parametrize("least", [1e-8, 1e-17, 1e-100])
def test_a_word_that_hardly_counts_gives_the_formulas_limit(least):
    vectors = np.array([[0.0, 0.0], [3.0, 4.0]])
    prior = word_prior(vectors, 0.5, weights=[1.0, least])
    apart = vectors[1] - vectors[0]
    np.testing.assert_allclose(
        prior.covariance[0], 0.25 * np.outer(apart, apart) + 0.5 * np.eye(2), rtol=1e-6
    )


def test_one_word_and_no_words():
    one = word_prior([[1.0, 2.0]], 0.25)
    np.testing.assert_array_equal(one.mean, [[1, 2]])
    np.testing.assert_allclose(one.covariance, [0.25 * np.eye(2)])
    none = word_prior(np.empty((0, 3)), 0.25, size=3)
    np.testing.assert_array_equal(none.mean, np.zeros((1, 3)))
    np.testing.assert_array_equal(none.covariance, np.eye(3)[None])
    with pytest.raises(GaussianError, match="no words and no dimension"):
        word_prior([], 0.25)


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.0001, np.nan, np.inf])
def test_shrinkage_outside_its_range_is_refused(shrinkage):
    with pytest.raises(GaussianError, match="shrinkage"):
        word_prior([[1.0, 2.0]], shrinkage)


@pytest.mark.parametrize(
    "weights", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf], ["a", "b"]]
)
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(GaussianError, match="weights"):
        word_prior([[1.0, 2.0], [0.0, 1.0]], 0.5, weights=weights)


def test_weights_whose_product_vanishes_are_refused():
    with pytest.raises(GaussianError, match="too far apart"):
        word_prior([[1.0, 2.0], [0.0, 1.0]], 0.5, weights=[1e200, 1e-200])


@pytest.mark.parametrize("vectors", [[[np.nan, 0.0]], [[np.inf, 0.0]], [1.0, 2.0], [["a", "b"]]])
def test_word_vectors_that_are_none_are_refused(vectors):
    with pytest.raises(GaussianError, match="word vectors"):
        word_prior(vectors, 0.5)


def test_vectors_too_large_for_a_covariance_are_refused():
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(GaussianError, match="NaN or infinity"),
    ):
        word_prior([[1e200, 0.0], [-1e200, 0.0]], 0.5)


# -- what is no Gaussian -----------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 7), seeds)
def test_singular_covariances_are_refused_whatever_rounding_makes_of_them(size, seed):
    half = np.random.default_rng(seed).normal(size=(size, size - 1))
    with pytest.raises(GaussianError, match="Gaussian 1 is"):
        cholesky(np.stack([np.eye(size), half @ half.T]))


def test_scales_of_coordinates_do_not_make_a_covariance_singular():
    scales = np.array([1e-12, 1.0, 1e12])
    found = Gaussians(np.zeros((1, 3)), cholesky(np.diag(scales)[None]))
    np.testing.assert_allclose(found.log_determinant, 0, atol=1e-12)


def test_indefinite_covariances_are_refused():
    with pytest.raises(GaussianError, match="Gaussian 0 is not positive definite"):
        cholesky(np.array([[[1.0, 2.0], [2.0, 1.0]]]))
    with pytest.raises(GaussianError, match="NaN or infinity"):
        cholesky(np.full((1, 2, 2), np.nan))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(bad):
    with pytest.raises(GaussianError, match="means hold NaN or infinity, first in row 1"):
        Gaussians.of_packed([[0.0], [bad]], np.ones((2, 1)))
    with pytest.raises(GaussianError, match="factors hold NaN or infinity, first in row 0"):
        Gaussians.of_packed([[0.0]], [[bad]])
    with pytest.raises(GaussianError, match="points hold NaN"):
        made(1, 1, 0).log_likelihood([[bad]])


def test_factors_that_are_none_are_refused():
    for entry in (0.0, -1.0):
        with pytest.raises(GaussianError, match="Gaussian 1 has the diagonal entry"):
            Gaussians.of_packed(np.zeros((2, 1)), [[1.0], [entry]])
    with pytest.raises(GaussianError, match="no array of numbers"):
        Gaussians.of_packed([["a"]], [[1.0]])


def test_mixed_dimensions_and_batches_are_refused():
    with pytest.raises(GaussianError, match="dimensions"):
        kl(made(1, 2, 0), made(1, 3, 0))
    with pytest.raises(GaussianError, match="2 Gaussians against 3"):
        kl(made(2, 2, 0), made(3, 2, 0))
    with pytest.raises(GaussianError, match="expected"):
        Gaussians.of_packed(np.zeros((2, 2)), np.ones((2, 6)))
    with pytest.raises(GaussianError, match="expected"):
        Gaussians.of_packed(np.zeros((2, 2)), np.ones((2, 2, 2)))
    with pytest.raises(GaussianError, match="expected"):
        Gaussians.of_packed(np.zeros((1, 0)), np.ones((1, 0)))
    with pytest.raises(GaussianError, match="dimensions"):
        made(1, 2, 0).log_likelihood(np.zeros((1, 3)))
    with pytest.raises(GaussianError, match="dimensions"):
        Frame.of(made(2, 2, 0)).apply(made(2, 3, 0))
    with pytest.raises(GaussianError, match="no posteriors"):
        Frame.of(Gaussians(np.zeros((0, 2)), np.zeros((0, 2, 2))))
    with pytest.raises(GaussianError, match="unknown direction"):
        image_features(made(1, 2, 0), "sideways")
    with pytest.raises(GaussianError, match="unknown direction"):
        query_features(made(1, 2, 0), "sideways")


def test_the_floor_is_checked():
    made(20, 5, 3).check_floor()
    low = Gaussians(np.zeros((2, 2)), cholesky(np.stack([np.eye(2), np.diag([1.0, 0.9 * SIGMA0**2])])))
    with pytest.raises(GaussianError, match="Gaussian 1 has the eigenvalue 9e-05"):
        low.check_floor()
    Gaussians(np.zeros((1, 2)), cholesky(0.96 * SIGMA0**2 * np.eye(2)[None])).check_floor()


# -- batches -----------------------------------------------------------------------------


@settings(deadline=None)
@given(sizes, seeds)
def test_packing_is_undone(size, seed):
    gaussians = made(3, size, seed)
    packed = pack(gaussians.factor)
    assert packed.shape == (3, triangle(size))
    np.testing.assert_array_equal(unpack(packed, size), gaussians.factor)
    np.testing.assert_array_equal(pack(unpack(packed, size)), packed)
    again = Gaussians.of_packed(gaussians.mean, packed)
    np.testing.assert_array_equal(again.factor, gaussians.factor)
    assert unpack(packed.astype(np.float32), size).dtype == np.float32


def test_packed_rows_stand_in_the_order_of_the_format():
    np.testing.assert_array_equal(
        unpack(np.array([[1, 2, 3, 4, 5, 6]]), 3), [[[1, 0, 0], [2, 3, 0], [4, 5, 6]]]
    )
    with pytest.raises(GaussianError, match="packed factors"):
        Gaussians.of_packed(np.zeros((1, 2)), np.ones((1, 4)))


def test_choosing_from_a_batch():
    batch = made(4, 2, 0)
    for row in (0, 3, -1, np.int64(2)):
        assert len(batch[row]) == 1
        np.testing.assert_array_equal(batch[row].mean, batch.mean[[row]])
    np.testing.assert_array_equal(batch[np.array([2, 0])].mean, batch.mean[[2, 0]])
    np.testing.assert_array_equal(batch[batch.mean[:, 0] > 0].mean, batch.mean[batch.mean[:, 0] > 0])
    assert len(batch[1:3]) == 2
    with pytest.raises(IndexError):
        batch[4]


def test_given_arrays_are_copied():
    mean, factor = np.zeros((1, 2)), pack(np.eye(2)[None])
    gaussians = Gaussians.of_packed(mean, factor)
    mean += 1
    factor += 1
    np.testing.assert_array_equal(gaussians.mean, [[0, 0]])
    np.testing.assert_array_equal(gaussians.factor, [np.eye(2)])


def test_samples_have_the_moments():
    gaussians = made(2, 3, 5)
    drawn = gaussians.sample(40_000, np.random.default_rng(0))
    for row in range(2):
        scale = np.sqrt(np.diagonal(gaussians.covariance[row]))
        np.testing.assert_allclose((drawn[row].mean(axis=0) - gaussians.mean[row]) / scale, 0, atol=0.03)
        np.testing.assert_allclose(
            (np.cov(drawn[row].T) - gaussians.covariance[row]) / np.outer(scale, scale), 0, atol=0.04
        )
