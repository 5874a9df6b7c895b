from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from olrsearch.audit.benchmark.entry_ranking import (
    Entries,
    EntryRanking,
    audit_figures,
    auprc_influence,
    label_average_precisions,
    perfect_precision,
    resampled,
)
from olrsearch.audit.benchmark.filter_sets import set_figures, set_influence
from olrsearch.core.errors import BenchmarkError
from olrsearch.core.groups import cluster_of
from olrsearch.evaluation.bootstrap import cluster_weights
from olrsearch.evaluation.metrics import weighted_average_precision

seeds = st.integers(0, 10_000)


def case(seed, images=80, labels=4, *, levels=None, people=None):
    """Given labels, flips and scores that know a little of them; few levels make ties, some are NaN."""
    rng = np.random.default_rng(seed)
    given = rng.choice([-1, 0, 1], p=[0.5, 0.1, 0.4], size=(images, labels)).astype(np.int8)
    flips = (rng.random(given.shape) < 0.12) & (given != 0)
    scores = rng.normal(size=given.shape) - 1.2 * flips
    if levels is not None:
        scores = np.floor(scores * levels)
    scores[rng.random(given.shape) < 0.1] = np.nan
    scores[given == 0] = np.nan
    identity = rng.integers(0, people or images, images)
    return given, flips, scores.T.astype(np.float32), identity


def suspicion(values):
    """Scores as scikit-learn takes them: larger is more suspicious, what has none comes last."""
    return np.where(np.isnan(values), -1e9, -values)


@drawn(seeds, st.sampled_from([None, 1, 3]))
@settings(max_examples=30, deadline=None)
def test_average_precision_is_that_of_scikit_learn_with_ties(seed, levels):
    given, flips, scores, _ = case(seed, levels=levels)
    entries = Entries.of(flips, given)
    known = given.T != 0
    figures = audit_figures(scores, entries)
    expected = average_precision_score(flips.T[known], suspicion(scores[known]))
    assert figures.auprc == pytest.approx(expected)
    by_label = [
        average_precision_score(flips[given[:, row] != 0, row], suspicion(scores[row, given[:, row] != 0]))
        for row in range(len(scores))
        if flips[:, row].any()
    ]
    found = label_average_precisions(entries.of_labels(scores), entries)
    assert found[np.isfinite(found)] == pytest.approx(by_label)
    assert figures.macro_auprc == pytest.approx(np.mean(by_label))


@drawn(seeds)
@settings(max_examples=10, deadline=None)
def test_cuts_count_what_a_random_order_of_equal_scores_finds(seed):
    given, flips, scores, _ = case(seed, levels=1, images=30)
    entries = Entries.of(flips, given)
    values = np.asarray(entries.of_labels(scores))
    ranking = EntryRanking.of(values, entries.wrong)
    rng = np.random.default_rng(seed)
    cut = int(rng.integers(1, len(values)))
    found = []
    for _ in range(200):
        shuffled = rng.permutation(len(values))
        order = shuffled[np.argsort(values[shuffled], kind="stable")]
        order = order[np.isfinite(values[order])]
        found.append(entries.wrong[order[:cut]].sum())
    spread = np.std(found) / np.sqrt(len(found))
    assert ranking.found(cut) == pytest.approx(np.mean(found), abs=5 * spread + 1e-9)


def test_figures_by_hand():
    # Two labels, six images, one unknown entry: 11 entries, 4 of them wrong.
    given = np.ones((6, 2), np.int8)
    given[5, 1] = 0
    flips = np.zeros((6, 2), np.bool_)
    flips[[0, 2, 4], 0] = True
    flips[1, 1] = True
    scores = np.array([[0.1, 0.2, 0.3, 0.8, np.nan, 0.9], [0.5, 0.4, 0.6, 0.7, 0.95, np.nan]], np.float32)
    # Order: wrong .1, .2, wrong .3, wrong .4, .5, .6, .7, .8, .9, .95, then the one without a score (wrong).
    entries = Entries.of(flips, given)
    figures = audit_figures(scores, entries)
    assert figures.precision_t == pytest.approx(3 / 4)
    assert figures.lift_t == pytest.approx((3 / 4) / (4 / 11))
    assert figures.ap_t == pytest.approx((1 + 2 / 3 + 3 / 4) / 4)
    assert figures.auprc == pytest.approx((1 + 2 / 3 + 3 / 4 + 4 / 11) / 4)
    assert figures.macro_auprc == pytest.approx(((1 + 2 / 3 + 3 / 6) / 3 + 1.0) / 2)
    assert figures.precision_100 == pytest.approx(3 / 100)
    assert figures.reviews_1000 == figures.reviews_10000 == pytest.approx(10 / 3)
    assert figures.scored == pytest.approx(10 / 11)
    assert entries.label.tolist() == [0] * 6 + [1] * 5
    assert entries.image.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]


@drawn(seeds)
@settings(max_examples=20, deadline=None)
def test_average_precision_at_all_of_it_is_average_precision(seed):
    given, flips, scores, _ = case(seed, levels=2)
    scores = np.where(np.isnan(scores), np.float32(9), scores)
    entries = Entries.of(flips, given)
    ranking = EntryRanking.of(entries.of_labels(scores), entries.wrong)
    assert ranking.average_precision_at(len(entries.wrong)) == pytest.approx(ranking.average_precision())
    assert ranking.found(len(entries.wrong)) == ranking.errors


def test_a_perfect_ranking_and_one_that_says_nothing():
    given, flips, _, _ = case(0, images=400)
    entries = Entries.of(flips, given)
    perfect = audit_figures(np.where(flips, 0.0, 1.0).T, entries)
    assert perfect.auprc == perfect.macro_auprc == perfect.precision_t == perfect.ap_t == 1
    assert perfect.precision_100 == 1
    nothing = audit_figures(np.full(given.T.shape, np.nan), entries)
    assert nothing.auprc == pytest.approx(entries.wrong.mean())
    assert nothing.precision_100 == nothing.precision_t == nothing.scored == 0
    assert math.isnan(nothing.reviews_1000)


def test_without_errors_there_is_nothing_to_find():
    given, flips, scores, _ = case(0)
    entries = Entries.of(np.zeros_like(flips), given)
    figures = audit_figures(scores, entries)
    assert all(math.isnan(value) for value in (figures.auprc, figures.macro_auprc, figures.precision_t))
    assert np.isnan(auprc_influence(scores, entries, np.arange(len(given)))[0]).all()


@pytest.mark.slow
@drawn(seeds)
@settings(max_examples=15, deadline=None)
def test_influence_is_the_derivative_by_the_weights(seed):
    given, flips, scores, _ = case(seed, levels=2, images=25)
    entries = Entries.of(flips, given)
    values = np.asarray(entries.of_labels(scores))
    if not entries.wrong.any():
        return
    influence = EntryRanking.of(values, entries.wrong).influence(entries.wrong)
    assert influence.sum() == pytest.approx(0, abs=1e-9)
    step = 1e-4
    for entry in range(0, len(values), 7):
        sides = []
        for sign in (1, -1):
            weights = np.ones(len(values))
            weights[entry] += sign * step
            sides.append(average_precision_score(entries.wrong, suspicion(values), sample_weight=weights))
        assert influence[entry] == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-6)


def exact(entries, scores, weights):
    """Micro and macro average precision of each resample, float64 [2, R]."""
    values, truth = entries.of_labels(scores), np.where(entries.wrong, 1, -1).astype(np.int8)
    drawn = weights[entries.image]
    macro = [
        weighted_average_precision(-values[of], truth[of], drawn[of])
        for of in (entries.label == label for label in range(entries.shape[1]))
    ]
    return np.stack([weighted_average_precision(-values, truth, drawn), np.mean(macro, axis=0)])


def test_the_bootstrap_to_first_order_is_that_of_whole_identities():
    given, flips, ours, identity = case(1, images=1500, labels=3, people=500)
    rng = np.random.default_rng(2)
    ours = np.where(np.isnan(ours), rng.random(ours.shape) + 5, ours)  # no ties, which are tested above
    theirs = ours + rng.normal(size=ours.shape) * 0.8
    entries, cluster = Entries.of(flips, given), cluster_of(identity)
    influence = auprc_influence(ours, entries, cluster) - auprc_influence(theirs, entries, cluster)
    one, two = audit_figures(ours, entries), audit_figures(theirs, entries)
    weights = np.concatenate(list(cluster_weights(identity, seed=5, resamples=400)), axis=1)
    samples = exact(entries, ours, weights) - exact(entries, theirs, weights)
    estimates = (one.auprc - two.auprc, one.macro_auprc - two.macro_auprc)
    for row in range(2):
        # The same resamples, one by one.
        linear = estimates[row] + influence[row] @ weights[np.unique(cluster, return_index=True)[1]]
        assert np.corrcoef(linear, samples[row])[0, 1] > 0.96
        found = resampled(influence[row], estimates[row], seed=5, resamples=400)
        assert found.estimate == estimates[row]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(linear, [0.025, 0.975])), abs=1e-6)
        low, high = np.quantile(samples[row], [0.025, 0.975])
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.12 * (high - low))


def test_equal_methods_do_not_differ():
    given, flips, scores, identity = case(4)
    entries, cluster = Entries.of(flips, given), cluster_of(identity)
    # Another scale, the same order.
    influence = auprc_influence(scores, entries, cluster) - auprc_influence(3 * scores - 1, entries, cluster)
    found = resampled(influence[0], 0.0, seed=0)
    assert found.low == found.high == 0
    assert not found.excludes_zero


def test_a_set_beside_the_first_entries_of_a_ranking():
    given = np.ones((10, 1), np.int8)
    flips = np.zeros((10, 1), np.bool_)
    flips[[0, 1, 2, 7], 0] = True
    scores = np.arange(10, dtype=np.float32)[None]
    chosen = np.zeros((1, 10), np.bool_)
    chosen[0, [0, 5, 6, 7]] = True
    found = set_figures(chosen, scores, Entries.of(flips, given))
    assert (found.size, found.precision, found.recall) == (4, 0.5, 0.5)
    assert (found.ranked_precision, found.ranked_recall, found.more) == (0.75, 0.75, 1)
    empty = set_figures(np.zeros_like(chosen), scores, Entries.of(flips, given))
    assert math.isnan(empty.precision)
    assert (empty.size, empty.recall, empty.ranked_recall, empty.more) == (0, 0, 0, 0)


def test_a_set_that_is_the_top_of_the_ranking_does_not_differ_from_it():
    given, flips, scores, identity = case(3, images=300)
    chosen = np.zeros(scores.shape, np.bool_)
    chosen.ravel()[np.argsort(scores.ravel())[:60]] = True
    entries = Entries.of(flips, given)
    assert set_figures(chosen, scores, entries).more == 0
    assert set_influence(chosen, scores, entries, cluster_of(identity)) == pytest.approx(0)


def test_the_bootstrap_of_recall_at_the_sets_own_size():
    given, flips, scores, identity = case(7, images=1500, labels=4, people=500)
    entries, cluster = Entries.of(flips, given), cluster_of(identity)
    noise = np.random.default_rng(1).normal(size=scores.shape)
    chosen = np.nan_to_num(scores + noise, nan=9.0) < -1.2
    weights = np.concatenate(list(cluster_weights(identity, seed=3, resamples=250)), axis=1)
    values, inside = np.asarray(entries.of_labels(scores)), np.asarray(entries.of_labels(chosen))
    order = np.argsort(values, kind="stable")
    samples = []
    for column in weights.T.astype(np.float64):
        weight = column[entries.image]
        first = np.cumsum(weight[order]) <= (weight * inside).sum()
        ours = (weight * entries.wrong)[order][first].sum()
        samples.append((ours - (weight * entries.wrong * inside).sum()) / (weight * entries.wrong).sum())
    figures = set_figures(chosen, scores, entries)
    estimate = figures.ranked_recall - figures.recall
    found = resampled(set_influence(chosen, scores, entries, cluster), estimate, seed=3, resamples=250)
    low, high = np.quantile(samples, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.2 * (high - low))
    assert found.high == pytest.approx(high, abs=0.2 * (high - low))


def test_natural_errors_cap_a_perfect_auditor():
    assert perfect_precision(0.05, 0.01) == pytest.approx(0.839, abs=0.001)  # P4 says near .84
    assert perfect_precision(0.05, 0.0) == 1
    assert math.isnan(perfect_precision(0.0, 0.0))
    # By simulation: errors that were there, flips, and an auditor who knows everything.
    rng = np.random.default_rng(0)
    natural, flipped = rng.random(400_000) < 0.02, rng.random(400_000) < 0.1
    wrong = natural ^ flipped
    assert (flipped & wrong).sum() / wrong.sum() == pytest.approx(perfect_precision(0.1, 0.02), abs=0.005)


def test_bad_input_is_named():
    given, flips, scores, _ = case(0)
    with pytest.raises(BenchmarkError, match=r"expected \[N, L\] of both"):
        Entries.of(flips[1:], given)
    with pytest.raises(BenchmarkError, match="only known ones can be"):
        Entries.of(np.ones_like(flips), given)
    with pytest.raises(BenchmarkError, match="scores"):
        audit_figures(scores.T, Entries.of(flips, given))
