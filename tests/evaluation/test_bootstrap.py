from __future__ import annotations

import math

import numpy as np

from olrsearch.core.groups import cluster_of
from olrsearch.evaluation.bootstrap import Interval, cluster_weights, interval, paired_difference


def test_images_of_one_identity_are_drawn_together_and_unknown_ones_alone():
    identity = np.array([7, 7, -1, 3, -1, 3], np.int64)
    clusters = cluster_of(identity)
    assert len(set(clusters.tolist())) == 4
    weights = np.concatenate(list(cluster_weights(identity, seed=0, resamples=30, block=7)), axis=1)
    assert weights.shape == (6, 30)
    assert (weights[0] == weights[1]).all()
    assert (weights[3] == weights[5]).all()
    assert (weights[2] != weights[4]).any()
    # Four clusters are drawn, whatever images they hold.
    assert (weights[0] + weights[2] + weights[3] + weights[4] == 4).all()


def test_equal_seeds_pair_methods():
    identity = np.arange(50, dtype=np.int64)
    first = np.concatenate(list(cluster_weights(identity, seed=4, resamples=20)), axis=1)
    again = np.concatenate(list(cluster_weights(identity, seed=4, resamples=20)), axis=1)
    other = np.concatenate(list(cluster_weights(identity, seed=5, resamples=20)), axis=1)
    assert (first == again).all()
    assert (first != other).any()


def test_a_known_difference_is_covered_about_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(200):
        theirs = rng.normal(size=80)
        ours = theirs + 0.3 + rng.normal(size=80)
        found = paired_difference(ours, theirs, seed=seed, resamples=400)
        covered += found.low <= 0.3 <= found.high
    assert 175 <= covered <= 199


def test_pairing_sees_what_the_spread_hides():
    rng = np.random.default_rng(2)
    theirs = 100 * rng.normal(size=60)
    found = paired_difference(theirs + 0.1 + 0.01 * rng.normal(size=60), theirs, seed=0)
    assert found.excludes_zero
    assert found.low > 0
    assert abs(found.estimate - 0.1) < 0.01


def test_pairs_without_a_value_are_left_out():
    ours, theirs = np.array([1.0, np.nan, 3.0]), np.array([0.5, 1.0, 2.5])
    found = paired_difference(ours, theirs, seed=0)
    assert (found.estimate, found.low, found.high) == (0.5, 0.5, 0.5)
    nothing = paired_difference(ours[1:2], theirs[1:2], seed=0)
    assert math.isnan(nothing.estimate)
    assert not nothing.excludes_zero
    assert math.isnan(interval(np.array([np.nan]), 0.5).low)


def test_an_interval_reads_as_text():
    assert str(Interval(0.1, -0.2, 0.3)) == "+0.1000 [-0.2000, +0.3000]"
    assert not Interval(0.1, -0.2, 0.3).excludes_zero
    assert Interval(-0.1, -0.2, -0.05).excludes_zero
