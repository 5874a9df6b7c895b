"""Ratios of densities: against the direct formula, kept, and not trusted when they are of something else."""

import json

import numpy as np
import pytest
from made_stores import posteriors

from olrsearch.core.checked_arrays import CheckedArray
from olrsearch.core.errors import GaussianError, StoreCorruptError, VectorError
from olrsearch.maths.gaussian import Gaussians
from olrsearch.search.kl.view import KlView, PlainPosteriors
from olrsearch.search.kl.word_scores import (
    WordScores,
    compute_ratios,
    log_densities,
    log_mean_exp,
    read_ratios,
    write_ratios,
)

WORDS = np.random.default_rng(7).normal(size=(5, 4))


def part(count, first=1, seed=0, k=4):
    made = posteriors(count, k, seed)
    return PlainPosteriors(np.arange(first, first + count), made["mean"], made["factor"])


def direct(held, points):
    """ln N of points [m, d] under every posterior, [m, n], by the formula of `Gaussians`."""
    return Gaussians.of_packed(held.mean, held.factor).log_likelihood(points).T


def brute(held, points):
    own = direct(held, WORDS)
    return direct(held, points) - np.log(np.mean(np.exp(own - own.max(axis=0)), axis=0)) - own.max(axis=0)


def test_densities_are_those_of_the_formula(monkeypatch):
    held = part(300)
    wanted = direct(held, WORDS)
    np.testing.assert_allclose(log_densities(held, WORDS), wanted, rtol=1e-9)
    monkeypatch.setattr("olrsearch.search.kl.word_scores._BLOCK_NUMBERS", 7 * 5 * 4)
    np.testing.assert_allclose(log_densities(held, WORDS), wanted, rtol=1e-9)
    assert log_densities(held, np.empty((0, 4))).shape == (0, 300)


def test_one_dimension():
    held = part(9, k=1)
    np.testing.assert_allclose(log_densities(held, WORDS[:, :1]), direct(held, WORDS[:, :1]), rtol=1e-9)


def test_the_background_does_not_overflow():
    values = np.array([[-1e5, 700.0], [-1e5, 800.0]])
    np.testing.assert_allclose(log_mean_exp(values), [-1e5, 800 - np.log(2)])


def test_kept_ratios_are_rounded_and_no_more():
    held = part(200)
    made = compute_ratios(held, WORDS)
    wanted = brute(held, WORDS)
    assert made.own.dtype == np.float32
    assert np.abs(made.own - wanted).max() <= 7e-8 * np.abs(wanted).max()
    np.testing.assert_allclose(made.background, direct(held, WORDS)[0] - wanted[0], rtol=1e-9)
    assert np.all(made.own.max(axis=0) >= 0)  # the densest word is as dense as the mean, at least


def test_scores_over_several_parts_with_deleted_images(tmp_path):
    parts = [part(30), part(20, 31, 1)]
    view = KlView(parts, [3, 40])
    write_ratios(tmp_path, parts[1], WORDS, segment="b")
    kept = read_ratios(tmp_path, parts[1], WORDS, segment="b")
    wanted = np.concatenate([brute(one, WORDS) for one in parts], axis=1)
    wanted = np.delete(wanted, [2, 39], axis=1)
    for scores in (WordScores(view, WORDS), WordScores(view, WORDS, [None, kept])):
        for word in range(5):
            np.testing.assert_allclose(scores.own(word), wanted[word], rtol=1e-6, atol=1e-4)
        rows = np.array([45, 0, 28])
        np.testing.assert_allclose(scores.own_of(rows), wanted[:, rows], rtol=1e-6, atol=1e-4)


def test_what_is_kept_is_read_mapped(tmp_path):
    held = part(40)
    assert read_ratios(tmp_path, held, WORDS, segment="a") is None
    write_ratios(tmp_path, held, WORDS, segment="a")
    found = read_ratios(tmp_path, held, WORDS, segment="a")
    assert isinstance(found.own, CheckedArray)
    made = compute_ratios(held, WORDS)
    np.testing.assert_array_equal(found.own[:], made.own)
    np.testing.assert_array_equal(found.background[:], made.background)


def test_ratios_of_something_else_are_not_used(tmp_path, caplog):
    held = part(40)
    write_ratios(tmp_path, held, WORDS, segment="a")
    assert read_ratios(tmp_path, held, WORDS + 1e-9, segment="a") is None
    assert read_ratios(tmp_path, part(40, 2), WORDS, segment="a") is None
    (tmp_path / "a.json").write_text("{")
    assert read_ratios(tmp_path, held, WORDS, segment="a") is None
    assert "is not of this segment and encoder" in caplog.text


def test_damaged_ratios_are_an_error(tmp_path):
    held = part(40)
    write_ratios(tmp_path, held, WORDS, segment="a")
    np.save(tmp_path / "a.npy", np.zeros((5, 39), np.float32))
    with pytest.raises(StoreCorruptError, match=r"a\.npy was cut, swapped or damaged"):
        read_ratios(tmp_path, held, WORDS, segment="a")
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(StoreCorruptError, match="damaged"):
        read_ratios(tmp_path, held, WORDS, segment="a")
    write_ratios(tmp_path, held, WORDS, segment="a")  # as index build does
    assert read_ratios(tmp_path, held, WORDS, segment="a") is not None
    assert json.loads((tmp_path / "a.json").read_text())["words"] == 5


def test_bad_input_is_named():
    held = part(10)
    with pytest.raises(GaussianError, match=r"points of shape \(5, 3\): expected finite numbers \[m, 4\]"):
        log_densities(held, WORDS[:, :3])
    with pytest.raises(GaussianError, match="finite"):
        log_densities(held, np.full((1, 4), np.nan))
    held.factor[6, 0] = 0
    with pytest.raises(VectorError, match="posterior of image 7 holds NaN or infinity, or is singular"):
        log_densities(held, WORDS)
