from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from olrsearch.audit.evidence.flip_curve import BINS, bin_scores, fit_curves


def made(*, seed=0, count=20_000, share=0.3, apart=3.0, up=0.05, down=0.1):
    """Scores of two normal classes, and what is given of them."""
    rng = np.random.default_rng([seed, 11])
    truth = rng.random(count) < share
    score = rng.normal(size=count) + apart * truth
    return score, np.where(truth, rng.random(count) >= down, rng.random(count) < up)


def mean(curves, values):
    return float(curves.weight @ values)


def deviation(curves, values):
    return float(np.sqrt(curves.weight @ (values - mean(curves, values)) ** 2))


def test_bins_hold_every_entry_once_in_the_order_of_scores():
    score, present = made(count=3000, share=0.02)
    bins = bin_scores(score, present)
    assert len(bins.count) <= BINS
    assert bins.count.sum() == 3000
    assert bins.present.sum() == present.sum()
    assert (bins.counted(present) == bins.present).all()
    assert (np.diff(bins.score) > 0).all()
    assert (np.diff(bins.of[np.argsort(score)]) >= 0).all()
    # A rare label has bins of its own at the end where it is.
    assert bins.count[-1] < 0.2 * bins.count[0]


def test_only_the_order_of_scores_counts():
    score, present = made(count=2000)
    plain, bent = bin_scores(score, present), bin_scores(expit(5 * score) - 7, present)
    assert (plain.of == bent.of).all()
    assert (plain.score == bent.score).all()


@pytest.mark.parametrize(("up", "down"), [(0.0, 0.0), (0.05, 0.05), (0.02, 0.2), (0.1, 0.0)])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_floor_and_ceiling_are_the_rates_of_noise(up, down, share):
    curves = fit_curves(bin_scores(*made(up=up, down=down, share=share, apart=5.0)))
    assert curves.weight.sum() == pytest.approx(1.0)
    for values, rate, entries in ((curves.floor, up, 1 - share), (curves.ceiling, down, share)):
        chance = 3 * np.sqrt((rate + 1e-4) / (20_000 * entries))
        assert abs(mean(curves, values) - rate) < 2 * deviation(curves, values) + chance
        assert deviation(curves, values) < 0.03


def test_the_curve_is_the_share_that_is_given():
    score, present = made(apart=2.5)
    bins = bin_scores(score, present)
    curves = fit_curves(bins)
    best = np.array([int(curves.weight.argmax())])
    curve = curves.floor[best] + (1 - curves.floor[best] - curves.ceiling[best]) * curves.truly(
        best, bins.score
    )
    error = np.sqrt(curve[0] * (1 - curve[0]) / bins.count)
    assert np.mean(np.abs(bins.present / bins.count - curve[0]) < 2.5 * error + 0.01) > 0.95


def test_less_data_and_data_that_vary_together_say_less():
    whole = fit_curves(bin_scores(*made()))
    part = fit_curves(bin_scores(*made(count=1000)))
    together = fit_curves(bin_scores(*made()), spread=10.0)
    for fewer in (part, together):
        assert deviation(fewer, fewer.floor) > 1.5 * deviation(whole, whole.floor)


def test_scores_that_say_nothing_leave_the_rates_open():
    rng = np.random.default_rng(2)
    curves = fit_curves(bin_scores(rng.normal(size=3000), rng.random(3000) < 0.3))
    assert deviation(curves, curves.floor) > 0.05
    assert np.isfinite(curves.weight).all()


def test_classes_that_do_not_overlap_are_a_step():
    score = np.arange(1000.0)
    curves = fit_curves(bin_scores(score, score >= 700))
    assert mean(curves, curves.floor) < 0.005
    assert mean(curves, curves.ceiling) < 0.01
    likely = np.flatnonzero(curves.weight > curves.weight.max() / 2)
    low, high = bin_scores(score, score >= 700).score[[0, -1]]
    shown = curves.truly(likely, np.array([low, high]))
    assert shown[:, 0].max() < 0.01
    assert shown[:, 1].min() > 0.99


def test_equal_scores_share_a_place_and_do_no_harm():
    curves = fit_curves(bin_scores(np.zeros(200), np.arange(200) % 4 == 0))
    assert np.isfinite(curves.weight).all()
    assert np.isfinite(curves.slope).all()
