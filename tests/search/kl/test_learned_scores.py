"""Word scores by learned Gaussians: against the formula, and never mixed with those of points."""

import numpy as np
import pytest
from made_stores import posteriors

from olrsearch.core.errors import VectorError
from olrsearch.encoders.words.learned import LearnedWords
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.triangles import cholesky
from olrsearch.search.kl.view import KlView, PlainPosteriors
from olrsearch.search.kl.word_scores import (
    WordScores,
    compute_ratios,
    log_mean_others,
    ratios_of_images,
    read_ratios,
    write_ratios,
)

SIZE = 4


def part(count, first=1, seed=0):
    made = posteriors(count, SIZE, seed)
    return PlainPosteriors(np.arange(first, first + count), made["mean"], made["factor"])


def words(seed=0, *, absent):
    rng = np.random.default_rng(seed)

    def some():
        loose = rng.normal(size=(3, SIZE, SIZE))
        return Gaussians(
            rng.normal(size=(3, SIZE)), cholesky(loose @ loose.swapaxes(1, 2) + 0.1 * np.eye(SIZE))
        )

    return LearnedWords(some(), some() if absent else None)


def wanted(held, learned):
    points = held.mean.astype(np.float64)
    dense = learned.present.log_likelihood(points)
    if learned.absent is not None:
        return dense - learned.absent.log_likelihood(points)
    others = [np.log(np.exp(np.delete(dense, word, axis=0)).mean(axis=0)) for word in range(len(dense))]
    return dense - np.stack(others)


@pytest.mark.parametrize("absent", [False, True])
def test_the_density_is_that_of_the_mean_under_the_words_gaussian(absent, monkeypatch):
    held, learned = part(60), words(absent=absent)
    monkeypatch.setattr("olrsearch.search.kl.word_scores._BLOCK_NUMBERS", 7 * 3 * SIZE)
    made = compute_ratios(held, learned)
    np.testing.assert_allclose(made.own, wanted(held, learned), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        made.background,
        np.log(np.exp(learned.present.log_likelihood(held.mean.astype(np.float64))).mean(axis=0)),
    )
    images = Gaussians.of_packed(held.mean[:5], held.factor[:5])
    np.testing.assert_allclose(ratios_of_images(images, learned), wanted(held, learned)[:, :5], rtol=1e-9)


def test_the_others_mean_neither_overflows_nor_vanishes():
    values = np.array([[0.0, 1000.0, -1e5], [-800.0, 999.0, -1e5], [-1000.0, -5.0, -1e5]])
    found = log_mean_others(values)
    np.testing.assert_allclose(found[0], [-800 - np.log(2), 999 - np.log(2), -1e5], rtol=1e-12)
    np.testing.assert_allclose(found[1], [-np.log(2), 1000 - np.log(2), -1e5], rtol=1e-12)
    np.testing.assert_array_equal(log_mean_others(values[:1]), values[:1])


def test_what_is_kept_is_of_these_gaussians_and_no_others(tmp_path):
    held, learned = part(40), words(absent=True)
    write_ratios(tmp_path, held, learned, segment="a")
    assert read_ratios(tmp_path, held, learned, segment="a") is not None
    points = learned.present.mean
    assert read_ratios(tmp_path, held, points, segment="a") is None
    for other in (
        LearnedWords(learned.present),
        LearnedWords(learned.present, words(1, absent=True).absent),
        LearnedWords(Gaussians(points, 2 * learned.present.factor), learned.absent),
    ):
        assert read_ratios(tmp_path, held, other, segment="a") is None
    write_ratios(tmp_path, held, points, segment="a")
    assert read_ratios(tmp_path, held, learned, segment="a") is None
    assert read_ratios(tmp_path, held, points, segment="a") is not None


def test_a_word_that_is_none_of_the_own():
    parts = [part(30), part(20, 31, 1)]
    view, learned = KlView(parts, [3, 40]), words(absent=False)
    other = words(9, absent=False).present[1]
    found = WordScores(view, learned).at_gaussian(other)
    points = view.means(np.arange(len(view))).astype(np.float64)
    background = np.log(np.exp(learned.present.log_likelihood(points)).mean(axis=0))
    np.testing.assert_allclose(found, other.log_likelihood(points)[0] - background, rtol=1e-9)


def test_a_damaged_mean_is_named():
    held = part(10)
    held.mean[6, 0] = np.nan
    with pytest.raises(VectorError, match="posterior of image 7 holds NaN or infinity"):
        compute_ratios(held, words(absent=False))
