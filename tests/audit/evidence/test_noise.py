from __future__ import annotations

import numpy as np
import pytest

from olrsearch.audit.evidence.noise import asymmetric, instance_dependent, symmetric
from olrsearch.core.errors import AuditError


def labels(images=4000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 0, 1], p=[0.6, 0.1, 0.3], size=(images, 8)).astype(np.int8)


def doubts(shape, seed=1):
    """Probabilities [L, N], the first labels sure, the last ones a coin's."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(6.0, 0.5, shape[1])
    return (1 / (1 + np.exp(-rng.normal(size=shape) * spread))).T.astype(np.float32)


def test_symmetric_flips_its_share_of_known_entries_whatever_they_say():
    given = labels()
    noisy = symmetric(given, 0.05, 3)
    flipped = noisy != given
    assert noisy.dtype == np.int8
    assert set(np.unique(noisy[flipped] * given[flipped])) == {-1}
    for value in (-1, 1):
        assert flipped[given == value].mean() == pytest.approx(0.05, abs=0.01)
    # No label is spared.
    assert (flipped.sum(axis=0) > 100).all()


def test_unknown_entries_stay_unknown_and_nothing_is_written_to():
    given = labels()
    before = given.copy()
    everything = np.full(given.T.shape, 0.5, np.float32)
    for noisy in (
        symmetric(given, 1.0, 0),
        asymmetric(given, positives=1.0, negatives=1.0, seed=0),
        instance_dependent(given, everything, rate=0.9, seed=0),
    ):
        assert ((noisy == 0) == (given == 0)).all()
        assert not np.shares_memory(noisy, given)
    assert (given == before).all()


def test_equal_seeds_flip_the_same_and_models_do_not_share_their_numbers():
    given = labels()
    even = np.full(given.T.shape, 0.5)
    for make in (
        lambda seed: symmetric(given, 0.05, seed),
        lambda seed: asymmetric(given, positives=0.05, negatives=0.05, seed=seed),
        lambda seed: instance_dependent(given, even, rate=0.05, seed=seed),
    ):
        assert (make(1) == make(1)).all()
        assert (make(1) != make(2)).any()
    one = symmetric(given, 0.05, 0) != given
    other = asymmetric(given, positives=0.05, negatives=0.05, seed=0) != given
    assert (one & other).sum() < 0.2 * one.sum()


def test_a_lower_rate_flips_some_of_what_a_higher_one_flips():
    given = labels()
    low, high = symmetric(given, 0.01, 5) != given, symmetric(given, 0.1, 5) != given
    assert (low <= high).all()
    assert 0 < low.sum() < high.sum()


def test_asymmetric_takes_positives_and_negatives_apart():
    given = labels()
    noisy = asymmetric(given, seed=2)
    assert (noisy != given)[given > 0].mean() == pytest.approx(0.2, abs=0.015)
    assert (noisy != given)[given < 0].mean() == pytest.approx(0.02, abs=0.006)
    only = asymmetric(given, positives=0.3, negatives=0.0, seed=2)
    assert (only[given < 0] == -1).all()


def test_hard_entries_are_flipped_in_proportion_to_doubt():
    given = labels(20_000)
    probability = doubts(given.shape)
    flipped = instance_dependent(given, probability, rate=0.05, seed=0) != given
    known = given != 0
    doubt = 1 - np.abs(2 * probability.T - 1)
    assert flipped[known].mean() == pytest.approx(0.05, abs=0.003)
    # One c for all labels: rates by bins of doubt lie on one line through 0.
    scale = 0.05 / doubt[known].mean()
    for low, high in ((0.0, 0.2), (0.4, 0.6), (0.8, 1.0)):
        inside = known & (doubt >= low) & (doubt <= high)
        assert flipped[inside].mean() == pytest.approx(scale * doubt[inside].mean(), abs=0.01)
    assert flipped[:, -1].sum() > 2 * flipped[:, 0].sum()


def test_probabilities_of_a_flip_are_clipped_and_the_share_is_kept():
    given = np.ones((4000, 2), np.int8)
    probability = np.full((2, 4000), 0.999)
    probability[:, :400] = 0.5  # the only doubtful tenth
    flipped = instance_dependent(given, probability, rate=0.2, seed=0) != given
    assert flipped[:400].all()
    assert flipped.mean() == pytest.approx(0.2, abs=0.01)


def test_all_that_can_be_flipped_is_flipped_when_as_much_is_asked():
    given = np.ones((100, 1), np.int8)
    probability = np.ones((1, 100))
    probability[0, :30] = np.linspace(0.01, 0.99, 30)
    flipped = instance_dependent(given, probability, rate=0.3, seed=0) != given
    assert flipped[:, 0].tolist() == [True] * 30 + [False] * 70
    with pytest.raises(AuditError, match=r"30 entries have a probability other than 0 and 1, and 31"):
        instance_dependent(given, probability, rate=0.31, seed=0)


def test_nothing_is_flipped_at_rate_0():
    given = labels(50)
    assert (symmetric(given, 0.0, 0) == given).all()
    assert (instance_dependent(given, doubts(given.shape), rate=0.0, seed=0) == given).all()


def test_what_is_unknown_needs_no_probability():
    given = labels(300)
    probability = doubts(given.shape)
    probability[given.T == 0] = np.nan
    assert (instance_dependent(given, probability, seed=0) != given).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda given: symmetric(given, 1.5, 0), "rate = 1.5 is no probability"),
        (lambda given: asymmetric(given, positives=-0.1, seed=0), "positives = -0.1 is no probability"),
        (lambda given: symmetric(given[0], 0.1, 0), r"expected \[N, L\]"),
        (lambda given: symmetric(given * 2, 0.1, 0), "−1, 0 and"),
        (lambda given: instance_dependent(given, np.ones((2, 3)), seed=0), r"expected \[L, N\] for \[N, L\]"),
        (
            lambda given: instance_dependent(given, np.full(given.T.shape, np.nan), seed=0),
            "hold NaN or values outside",
        ),
        (
            lambda given: instance_dependent(given, np.full(given.T.shape, 1.01), seed=0),
            "hold NaN or values outside",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(AuditError, match=message):
        call(labels(40))
