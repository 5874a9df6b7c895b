import json

import numpy as np
import pytest
from olrsearch_benchmarks.speed.speed_kl import JITTER, largest_products, resample, run_kl_speed

from olrsearch.core.errors import BenchmarkError, VectorError
from olrsearch.maths.divergences import DIRECTIONS, kl
from olrsearch.maths.gaussian import Gaussians, word_prior
from olrsearch.maths.triangles import cholesky, pack


def posteriors(count, size, seed):
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(count, size, size)) * 0.3
    factors = cholesky(matrices @ matrices.swapaxes(1, 2) + 0.05 * np.eye(size))
    return rng.normal(size=(count, size)).astype(np.float32), pack(factors).astype(np.float32)


def test_a_gallery_is_resampled_without_repeats():
    mean, factor = posteriors(20, 4, 0)
    kept = mean.copy()
    means, factors = resample(mean, factor, 9000, seed=3)
    np.testing.assert_array_equal(mean, kept)
    assert (means.shape, factors.shape, means.dtype) == ((9000, 4), (9000, 10), np.float32)
    assert len(np.unique(means, axis=0)) == 9000
    again = resample(mean, factor, 9000, seed=3)
    np.testing.assert_array_equal(again[0], means)
    assert not np.array_equal(resample(mean, factor, 9000, seed=4)[0], means)
    # each lies within its own posterior's tenth of where it was drawn
    rows = np.array([int(np.flatnonzero((factor == one).all(axis=1))[0]) for one in factors])
    moved = Gaussians.of_packed(mean[rows], factors)
    whitened = np.einsum("nij,nj->ni", moved.inverse_factor, means - mean[rows])
    assert whitened.std() == pytest.approx(JITTER, rel=0.05)
    with pytest.raises(BenchmarkError, match="out of 0"):
        resample(mean[:0], factor[:0], 5, seed=0)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_torch_agrees_with_our_divergence(direction):
    pytest.importorskip("torch")
    from olrsearch_benchmarks.speed.oracle import TorchKl

    mean, factor = posteriors(30, 5, 1)
    query = word_prior(np.random.default_rng(2).normal(size=(3, 5)), 0.1)
    images = Gaussians.of_packed(mean, factor)
    expected = kl(query, images) if direction == "query-to-image" else kl(images, query)
    for double, room in ((True, 1e-6), (False, 1e-3)):
        found = TorchKl(mean, factor, double=double).divergences(query, direction)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=room, atol=room)


@pytest.mark.slow
def test_a_run_measures_everything_and_is_right(tmp_path):
    pytest.importorskip("torch")
    mean, factor = posteriors(50, 4, 0)
    priors = [word_prior(np.random.default_rng(seed).normal(size=(3, 4)), 0.1) for seed in range(3)]
    queries = Gaussians(
        np.concatenate([one.mean for one in priors]), np.concatenate([one.factor for one in priors])
    )
    found = run_kl_speed(
        mean, factor, queries, images=300, count=10, turns=3, seed=5, folder=tmp_path, torch_double=True
    )
    lines = [json.loads(json.dumps(line)) for line in found.to_dicts()]
    values = {line["metric"]: line for line in lines}
    assert len(values) == len(lines) >= 8
    for metric in ("answers identical to float64 brute force", "answers proven exact"):
        assert (values[metric]["value"], values[metric]["passed"]) == (1.0, True)
    for line in lines:
        assert {"metric", "value", "target", "passed", "unit", "seed"} <= set(line)
        assert (line["images"], line["dimensions"], line["seed"]) == (300, 4, 5)
        assert line["value"] > 0
        assert (line["passed"] is None) == (line["target"] is None)
    # another gallery in the same folder is not answered with the features of the first
    other = run_kl_speed(mean, factor, queries, images=300, count=10, turns=1, seed=6, folder=tmp_path)
    assert other.rows[0].value == 1.0
    with pytest.raises(BenchmarkError, match="no query"):
        run_kl_speed(mean, factor, queries[:0])


def test_largest_products_are_those_of_numpy():
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    queries, vectors = rng.normal(size=(3, 6)).astype(np.float32), rng.normal(size=(40, 6)).astype(np.float32)
    rows, values = largest_products(queries, vectors, 5)
    products = queries @ vectors.T
    np.testing.assert_array_equal(rows, np.argsort(-products, axis=1)[:, :5])
    np.testing.assert_allclose(values, -np.sort(-products, axis=1)[:, :5], rtol=1e-5)
    assert largest_products(queries, vectors, 100)[0].shape == (3, 40)
    for wrong in (queries[:, :5], queries.astype(float), queries[0], np.full((1, 6), np.nan, np.float32)):
        with pytest.raises(VectorError):
            largest_products(wrong, vectors, 5)
