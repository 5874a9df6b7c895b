"""How well images fit: the share that lies farther out, of numbers whose shares are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from olrsearch.core.errors import FitError
from olrsearch.maths.fit import FOREIGN, fit_model

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(12, 12))


def features(count, seed, *, shift=0.0):
    """Skewed, correlated and long-tailed numbers, one of which never varies."""
    rng = np.random.default_rng(seed)
    found = np.exp(0.5 * (rng.normal(size=(count, 12)) @ MIXING / 3 + shift))
    found[:, 3] = 0
    return found.astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return fit_model(features(4000, 1), features(1000, 2))


def test_a_fit_is_the_share_that_lies_farther_out(model):
    fits = model.fits(features(4000, 3))
    assert fits.dtype == np.float32
    assert fits.min() >= 0
    assert fits.max() <= 1
    for share in (0.5, 0.2, 0.1, 0.05, FOREIGN):
        assert np.mean(fits < share) == pytest.approx(share, rel=0.35)


def test_what_is_unlike_the_training_has_a_small_fit_that_still_tells_near_from_far(model):
    near, far = model.fits(features(200, 4, shift=3)), model.fits(features(200, 5, shift=6))
    assert (near < FOREIGN).mean() > 0.9
    assert far.max() < near.max()
    assert (far > 0).all()


def test_the_same_mean_and_spread_do_not_fit_without_the_correlations(model):
    apart = np.stack([RNG.permutation(column) for column in features(500, 6).T], axis=1)
    assert np.median(model.fits(apart)) < FOREIGN


def test_a_channel_that_training_never_excited_is_noticed_and_not_infinitely_far(model):
    odd = features(100, 7)
    odd[:, 3] = 0.001
    fits = model.fits(odd)
    assert np.median(fits) < np.median(model.fits(features(100, 7)))
    assert (fits > 0).all()


def test_features_that_follow_from_others_do_no_harm():
    def doubled(rows):
        return np.concatenate([rows, rows, np.ones_like(rows[:, :1])], axis=1)

    model = fit_model(doubled(features(400, 1)), doubled(features(100, 2)))
    assert np.mean(model.fits(doubled(features(400, 3))) < 0.1) == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize(("training", "held_out"), [(99, 20), (100, 19), (0, 0)])
def test_too_few_images_are_refused(training, held_out):
    with pytest.raises(FitError, match="to say how well images fit"):
        fit_model(features(training, 1), features(held_out, 2))


def test_parts_that_do_not_belong_together_are_refused(model):
    with pytest.raises(FitError, match="expected"):
        dataclasses.replace(model, centre=model.centre[:-1])
    with pytest.raises(FitError, match="above 0"):
        dataclasses.replace(model, tail=0.0)
    with pytest.raises(FitError, match="of numbers"):
        dataclasses.replace(model, factor=model.factor * np.nan)
    with pytest.raises(FitError, match=r"expected \[images, 12\]"):
        model.fits(features(3, 1)[:, :5])
