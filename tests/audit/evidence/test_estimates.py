from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import expit, logit

from olrsearch.audit.evidence.estimates import FEWEST, _spread, estimate_errors
from olrsearch.audit.evidence.flip_curve import bin_scores
from olrsearch.core.errors import AuditError

pytestmark = pytest.mark.slow

NAMES = ("Common", "Rare")


def made(*, seed=0, count=3000, apart=7.0, shares=(0.4, 0.08), up=0.05, down=0.05, hard=0.0):
    """Truth and given labels int8 [N, L], evidence of two scorers and identities.

    `apart` is how far classes lie from each other, in log-odds; a third scorer knows the prevalence alone.
    `up` and `down` are the rates at which absent and present entries are turned round; with `hard` it is in
    proportion to how ambiguous an entry is instead.
    """
    rng = np.random.default_rng([seed, 5])
    prior = logit(np.array(shares))
    truth = np.where(rng.random((count, len(shares))) < shares, 1, -1).astype(np.int8)
    odds = prior + truth * apart / 2 + np.sqrt(apart) * rng.normal(size=truth.shape)
    chance = np.where(truth > 0, down, up)
    if hard:
        chance = hard * np.minimum(expit(odds), expit(-odds))
    given = np.where(rng.random(truth.shape) < chance, -truth, truth).astype(np.int8)
    # What scorers learn from noisy labels is how often a label is given.
    learnt = (up + (1 - up - down) * expit(odds)).T
    blurred = expit(logit(learnt) + 0.5 * rng.normal(size=learnt.shape))
    evidence = {
        "probability": learnt.astype(np.float32),
        "neighbours": blurred.astype(np.float32),
        "useless": np.repeat((given > 0).mean(axis=0)[:, None], count, axis=1).astype(np.float32),
    }
    return truth, given, evidence, rng.integers(0, count // 2, count)


def wrong(truth, given, label):
    """False absent, false present and both, of one label."""
    off = truth[:, label] != given[:, label]
    absent, present = int((off & (given[:, label] < 0)).sum()), int((off & (given[:, label] > 0)).sum())
    return absent, present, absent + present


def parts(found):
    return found.false_absent, found.false_present, found.total


def covered(truth, given, found, label):
    actual = wrong(truth, given, label)
    return [
        part.count_low <= count <= part.count_high for part, count in zip(parts(found), actual, strict=True)
    ]


NOISES = {
    "none": {"up": 0.0, "down": 0.0},
    "symmetric": {"up": 0.05, "down": 0.05},
    "asymmetric": {"up": 0.02, "down": 0.2},
    "hard": {"up": 0.0, "down": 0.0, "hard": 0.6},
}


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES)
def test_intervals_cover_the_truth_whatever_the_noise(noise):
    hits = []
    for seed, apart in enumerate((4.0, 6.0, 9.0, 14.0)):
        truth, given, evidence, identity = made(seed=seed, apart=apart, **NOISES[noise])
        found = estimate_errors(NAMES, given, evidence, identity)
        hits += [hit for label in range(2) for hit in covered(truth, given, found[label], label)]
    assert np.mean(hits) >= 0.85


def test_separable_labels_have_narrow_intervals_on_the_truth():
    truth, given, evidence, identity = made(apart=24.0, count=6000)
    for label, found in enumerate(estimate_errors(NAMES, given, evidence, identity)):
        assert found.identifiable
        assert not found.note
        assert found.label == NAMES[label]
        for part, count in zip(parts(found), wrong(truth, given, label), strict=True):
            assert abs(part.rate - count / part.entries) < 0.02
            assert part.high - part.low < 0.1
        assert found.total.high - found.total.low < 0.02
        assert found.total.low > 0.03


def test_directions_are_told_apart():
    _, given, evidence, identity = made(apart=16.0, up=0.0, down=0.25)
    common = estimate_errors(NAMES, given, evidence, identity)[0]
    assert common.false_absent.low > 0.05
    assert common.false_present.low == 0.0
    assert common.false_present.high < 0.03
    _, given, evidence, identity = made(apart=16.0, up=0.25, down=0.0)
    common = estimate_errors(NAMES, given, evidence, identity)[0]
    assert common.false_present.low > 0.05
    assert common.false_absent.low == 0.0
    assert common.false_absent.high < 0.03


def test_rates_are_shares_of_the_entries_given_that_value():
    _, given, evidence, identity = made()
    given = given.copy()
    given[::7] = 0
    for label, found in enumerate(estimate_errors(NAMES, given, evidence, identity)):
        value = given[:, label]
        sizes = [int((value < 0).sum()), int((value > 0).sum()), int((value != 0).sum())]
        for part, size in zip(parts(found), sizes, strict=True):
            assert part.entries == size
            assert part.rate == part.count / size
            assert (part.low, part.high) == (part.count_low / size, part.count_high / size)
            assert 0 <= part.low <= part.rate <= part.high <= 1


@pytest.mark.slow
def test_the_harder_a_label_is_to_see_the_wider_its_interval():
    widths = []
    for apart in (20.0, 8.0, 3.0):
        _, given, evidence, identity = made(apart=apart, down=0.05)
        total = estimate_errors(NAMES, given, evidence, identity)[0].total
        widths.append(total.high - total.low)
    assert widths == sorted(widths)
    assert widths[0] < 0.03


def test_a_label_that_no_scorer_sees_says_so_and_rules_little_out():
    rng = np.random.default_rng(3)
    _, given, _, identity = made()
    evidence = {"probability": rng.uniform(0.3, 0.4, given.T.shape).astype(np.float32)}
    for found in estimate_errors(NAMES, given, evidence, identity):
        assert not found.identifiable
        assert found.label in found.note
        assert [part.low for part in parts(found)] == [0.0] * 3
        assert found.false_present.high > 0.5


@pytest.mark.slow
def test_a_useless_view_costs_nothing_and_one_that_speaks_helps():
    _, given, evidence, identity = made(apart=6.0)
    alone = {"probability": evidence["probability"]}
    useless = alone | {"useless": evidence["useless"]}
    for first, second in zip(
        estimate_errors(NAMES, given, alone, identity),
        estimate_errors(NAMES, given, useless, identity),
        strict=True,
    ):
        assert abs(first.total.rate - second.total.rate) < 0.01
        assert abs(first.total.high - second.total.high) < 0.01
    rng = np.random.default_rng(9)
    blurred = expit(logit(evidence["probability"]) + 2.5 * rng.normal(size=given.T.shape)).astype(np.float32)
    vague = estimate_errors(NAMES, given, {"probability": blurred}, identity)[0].total
    both = estimate_errors(NAMES, given, alone | {"neighbours": blurred}, identity)[0].total
    assert both.high - both.low < vague.high - vague.low


def test_what_no_scorer_speaks_of_is_as_wrong_as_the_rest():
    truth, given, evidence, identity = made(apart=16.0)
    some = {name: found.copy() for name, found in evidence.items()}
    for found in some.values():
        found[:, ::2] = np.nan
    whole = estimate_errors(NAMES, given, evidence, identity)[0]
    half = estimate_errors(NAMES, given, some, identity)[0]
    assert half.total.entries == whole.total.entries
    assert covered(truth, given, half, 0) == [True] * 3
    assert abs(half.total.rate - whole.total.rate) < 0.02


def test_one_scorer_may_be_silent_where_another_speaks():
    truth, given, evidence, identity = made(apart=16.0)
    evidence["probability"][:, ::3] = np.nan
    found = estimate_errors(NAMES, given, evidence, identity)
    assert covered(truth, given, found[0], 0) == [True] * 3


@pytest.mark.parametrize("value", [-1, 1])
def test_a_label_of_one_value_cannot_be_judged(value):
    _, given, evidence, identity = made()
    given = given.copy()
    given[:, 0] = value
    found = estimate_errors(NAMES, given, evidence, identity)[0]
    assert not found.identifiable
    assert "expected 5 of each" in found.note
    full, empty = (found.false_absent, found.false_present)[::-value]
    assert math.isnan(full.rate)
    assert (full.low, full.high, full.entries) == (0.0, 1.0, len(given))
    assert (empty.entries, empty.count, empty.count_low, empty.count_high) == (0, 0.0, 0.0, 0.0)
    assert math.isnan(empty.rate)


def test_no_evidence_at_all_and_nothing_known():
    _, given, evidence, identity = made(count=200)
    silent = {name: np.full_like(found, np.nan) for name, found in evidence.items()}
    for asked in (silent, {}):
        for found in estimate_errors(NAMES, given, asked, identity):
            assert not found.identifiable
            assert (found.total.low, found.total.high) == (0.0, 1.0)
    nothing = estimate_errors(NAMES, np.zeros_like(given), evidence, identity)[0]
    assert nothing.total.entries == 0
    assert math.isnan(nothing.total.high)
    assert estimate_errors((), np.zeros((3, 0), np.int8), {}, np.arange(3)) == ()


def test_five_positives_are_an_estimate_with_a_wide_interval():
    truth, given, evidence, identity = made(count=600, apart=6.0, up=0.0, down=0.0)
    given, truth = given.copy(), truth.copy()
    keep = np.flatnonzero(truth[:, 0] > 0)[:FEWEST]
    evidence = {name: found.copy() for name, found in evidence.items()}
    for found in evidence.values():
        found[0] = 0.02
        found[0, keep] = 0.6
    given[:, 0] = truth[:, 0] = -1
    given[keep, 0] = truth[keep, 0] = 1
    found = estimate_errors(NAMES, given, evidence, identity)[0]
    assert found.false_present.entries == FEWEST
    assert covered(truth, given, found, 0) == [True] * 3
    assert found.false_present.count_low == 0.0
    given[keep[0], 0] = -1
    fewer = estimate_errors(NAMES, given, evidence, identity)[0]
    assert (fewer.false_present.low, fewer.false_present.high) == (0.0, 1.0)


@pytest.mark.slow
def test_equal_seeds_give_equal_estimates_and_inputs_stay_as_they_are():
    _, given, evidence, identity = made()
    before = (given.copy(), {name: found.copy() for name, found in evidence.items()}, identity.copy())
    first = estimate_errors(NAMES, given, evidence, identity, seed=4)
    assert estimate_errors(NAMES, given, evidence, identity, seed=4) == first
    assert estimate_errors(NAMES, given, evidence, identity, seed=5) != first
    assert (given == before[0]).all()
    assert all((found == before[1][name]).all() for name, found in evidence.items())
    assert (identity == before[2]).all()


def test_labels_do_not_depend_on_each_other():
    _, given, evidence, identity = made()
    whole = estimate_errors(NAMES, given, evidence, identity)
    first = {name: found[:1] for name, found in evidence.items()}
    assert estimate_errors(NAMES[:1], given[:, :1], first, identity) == whole[:1]


def test_people_who_err_together_count_as_fewer():
    _, given, evidence, _ = made(count=2000, apart=12.0)
    score = logit(evidence["probability"][0].astype(np.float64))
    alone = bin_scores(score, given[:, 0] > 0)
    assert _spread(alone, given[:, 0] > 0, np.arange(2000)) == pytest.approx(1.0)
    rows = np.tile(np.arange(500), 4)  # the same 500 images four times over
    copied = bin_scores(score[rows], given[rows, 0] > 0)
    assert _spread(copied, given[rows, 0] > 0, rows) == pytest.approx(4.0, rel=0.1)


def most_suspicious(given, evidence, label, count):
    said = evidence["probability"][label]
    return np.argsort(np.where(given[:, label] > 0, said, 1 - said), kind="stable")[:count]


def review(truth, given, rows, label):
    out = np.zeros_like(given)
    out[rows, label] = np.where(truth[rows, label] == given[rows, label], -1, 1)
    return out


@pytest.mark.slow
def test_reviews_of_the_most_suspicious_entries_narrow_the_interval_and_keep_the_truth():
    hits = []
    for noise in NOISES.values():
        for seed in range(2):
            truth, given, evidence, identity = made(seed=seed, apart=5.0, shares=(0.3,), **noise)
            plain = estimate_errors(NAMES[:1], given, evidence, identity)[0]
            reviewed = review(truth, given, most_suspicious(given, evidence, 0, 400), 0)
            taught = estimate_errors(NAMES[:1], given, evidence, identity, reviewed=reviewed)[0]
            hits += covered(truth, given, taught, 0)
            assert taught.total.high - taught.total.low < 0.5 * (plain.total.high - plain.total.low)
    assert np.mean(hits) >= 0.85


def test_known_errors_and_known_right_entries_bound_the_count():
    truth, given, evidence, identity = made(apart=4.0)
    rows = np.random.default_rng(1).choice(len(given), 1500, replace=False)
    reviewed = review(truth, given, rows, 0)
    found = estimate_errors(NAMES, given, evidence, identity, reviewed=reviewed)[0]
    for part, side in ((found.false_absent, given[:, 0] < 0), (found.false_present, given[:, 0] > 0)):
        assert part.count_low >= (side & (reviewed[:, 0] > 0)).sum()
        assert part.count_high <= part.entries - (side & (reviewed[:, 0] < 0)).sum()


@pytest.mark.slow
def test_reviews_that_clear_what_looks_wrong_lower_the_estimate():
    _, given, evidence, identity = made(apart=5.0)
    rows = most_suspicious(given, evidence, 0, 200)
    reviewed = np.zeros_like(given)
    plain = estimate_errors(NAMES, given, evidence, identity)[0].total
    reviewed[rows, 0] = -1
    cleared = estimate_errors(NAMES, given, evidence, identity, reviewed=reviewed)[0].total
    reviewed[rows, 0] = 1
    found = estimate_errors(NAMES, given, evidence, identity, reviewed=reviewed)[0].total
    assert cleared.count < plain.count
    assert found.count_low >= 200
    assert found.count > cleared.count + 150


def test_a_label_reviewed_from_end_to_end_is_known():
    truth, given, evidence, identity = made()
    given = given.copy()
    given[:50] = 0
    reviewed = np.where(truth == given, -1, 1).astype(np.int8)  # says something of unknown entries too
    for label, found in enumerate(estimate_errors(NAMES, given, evidence, identity, reviewed=reviewed)):
        actual = wrong(truth[50:], given[50:], label)
        for part, count in zip(parts(found), actual, strict=True):
            assert (part.count_low, part.count, part.count_high) == (count, count, count)
    one = np.where(given == 0, 0, -1).astype(np.int8)
    found = estimate_errors(NAMES, one, evidence, identity, reviewed=reviewed)[0]
    assert found.total.count == (reviewed[50:, 0] > 0).sum()


def test_what_does_not_fit_is_refused():
    _, given, evidence, identity = made(count=100)
    more = {"probability": np.where(evidence["probability"] > 0.5, 1.5, 0.1).astype(np.float32)}
    for message, change in (
        ("expected .N, L., L names", {"names": ("Common",)}),
        ("identities .99,.", {"identity": identity[:99]}),
        ("given labels", {"given": given * 2}),
        ("reviewed entries", {"reviewed": given[:50]}),
        ("reviewed entries", {"reviewed": given * 3}),
        ("evidence of probability is", {"evidence": {"probability": evidence["probability"].T}}),
        ("outside 0 to 1", {"evidence": more}),
    ):
        asked = {"names": NAMES, "given": given, "evidence": evidence, "identity": identity} | change
        with pytest.raises(AuditError, match=message):
            estimate_errors(**asked)


def test_estimates_become_json():
    _, given, evidence, identity = made(count=300)
    data = dataclasses.asdict(estimate_errors(NAMES, given, evidence, identity)[1])
    assert data["label"] == "Rare"
    assert set(data["false_absent"]) == {
        "rate",
        "low",
        "high",
        "count",
        "count_low",
        "count_high",
        "entries",
    }
    assert all(type(value) in {float, int} for value in data["total"].values())
