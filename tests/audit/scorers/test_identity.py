"""What a person's other images say, as far as a label belongs to persons."""

import numpy as np
import pytest

from olrsearch.audit.scorers.identity import MIN_PAIRS, Identity
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.core.progress import silent

NAMES = ("Kept", "Passing")
KEPT, PASSING = range(2)


def material(given, identity):
    identity = np.asarray(identity, np.int64)
    return Material(NAMES[: given.shape[1]], given, identity_folds(identity, folds=2), identity, None)


def drawn(people=200, each=5, seed=0):
    """A label that persons keep and one that comes and goes."""
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(people), each)
    kept = (rng.random(people) < 0.3)[identity]
    given = np.where(np.column_stack([kept, rng.random(len(identity)) < 0.3]), 1, -1).astype(np.int8)
    return given, identity


def evidence_of(given, identity):
    return Identity().evidence(material(given, identity), track=silent)


def test_the_formula_written_out():
    given, identity = drawn(30, 4)
    rng = np.random.default_rng(3)
    given[rng.random(given.shape) < 0.15] = 0
    given[rng.random(given.shape) < 0.2] *= -1
    evidence = evidence_of(given, identity)
    for row in (0, 17, 60, 119):
        for label in (KEPT, PASSING):
            value = given[:, label]
            own = identity == identity[row]
            others = value[~own & (value != 0)]
            frequency = (others > 0).mean()
            pairs = [
                (value[one] > 0) & (value[two] > 0)
                for one in range(len(value))
                for two in range(len(value))
                if one != two
                and identity[one] == identity[two] != identity[row]
                and value[one]
                and value[two]
            ]
            rho = (np.mean(pairs) - frequency**2) / (frequency * (1 - frequency))
            kappa = (1 - np.clip(rho, 1e-3, 0.999)) / np.clip(rho, 1e-3, 0.999)
            mine = np.delete(value, row)[np.delete(own, row)]
            mine = mine[mine != 0]
            expected = (kappa * frequency + (mine > 0).sum()) / (kappa + len(mine))
            assert evidence[label, row] == pytest.approx(expected, rel=1e-5)


def test_a_label_that_persons_keep_is_believed_and_a_passing_one_is_not():
    given, identity = drawn()
    evidence = evidence_of(given, identity)
    kept = np.where(given[:, KEPT] > 0, evidence[KEPT], 1 - evidence[KEPT])
    assert kept.min() > 0.99
    assert np.abs(evidence[PASSING] - 0.3).max() < 0.2
    # One image that says otherwise than the rest of its person.
    wrong = given.copy()
    wrong[8, KEPT] *= -1
    changed = evidence_of(wrong, identity)
    assert (changed[KEPT, 8] > 0.5) == (given[8, KEPT] > 0)


def test_no_value_speaks_for_itself_or_for_strangers_alone():
    given, identity = drawn(20, 4)
    given[:, PASSING] = -1
    for label in (KEPT, PASSING):
        before = evidence_of(given, identity)
        for row in (0, 41):
            for value in (-1, 0, 1):
                changed = given.copy()
                changed[row, label] = value
                found = evidence_of(changed, identity)[label, row]
                assert np.array_equal(found, before[label, row], equal_nan=True)


def test_labels_that_the_others_have_one_value_of_say_nothing():
    given, identity = drawn(40, 4)
    given[:, KEPT] = -1
    given[:4, KEPT] = 1  # all of one person
    evidence = evidence_of(given, identity)
    assert np.isnan(evidence[KEPT, :4]).all()
    assert np.isfinite(evidence[KEPT, 4:]).all()


def test_a_person_needs_another_image_with_the_label_and_the_label_enough_pairs():
    given, identity = drawn(30, 3)
    identity[:3] = [-1, 500, -1]
    given[4:6, KEPT] = 0
    evidence = evidence_of(given, identity)
    assert np.isnan(evidence[:, :3]).all()
    assert np.isnan(evidence[KEPT, 3])
    assert np.isfinite(evidence[KEPT, 4:6]).all(), "what is unknown itself is told by the one that is known"
    assert np.isfinite(evidence[PASSING, 3:]).all()
    # Pairs of images, ordered, besides the person's own.
    for people, there in ((MIN_PAIRS // 2 + 1, True), (MIN_PAIRS // 2, False)):
        pairs = np.repeat(np.arange(people), 2)
        values = np.where(np.arange(len(pairs)) % 3, 1, -1).astype(np.int8)[:, None]
        assert np.isfinite(evidence_of(values, pairs)).all() == there


def test_without_identities_there_is_nothing():
    given, identity = drawn(20, 3)
    assert np.isnan(evidence_of(given, np.full(len(identity), -1))).all()


def test_it_says_how_many():
    given, identity = drawn(30, 4)
    given[:4, KEPT] = [1, 1, -1, 0]
    given[4:8, KEPT] = [-1, 0, 0, 0]
    given[8:12, KEPT] = 1
    identity[12] = -1
    found, scorer = material(given, identity), Identity()
    said = scorer.explain(found, 2, KEPT, 0.7)
    assert said.rows == (0, 1)
    assert said.text == "2 of 2 other images of this person have Kept"
    assert scorer.explain(found, 0, KEPT, 0.7).rows == (2,)
    assert scorer.explain(found, 3, KEPT, 0.7).rows == (), "nothing contradicts what is not given"
    assert scorer.explain(found, 8, KEPT, 0.9).rows == ()
    for row in (4, 12):
        assert scorer.explain(found, row, KEPT, None).text == "no other image of this person is labelled"
    said = scorer.explain(found, 0, KEPT, None)
    assert said.text == "too few labels to say whether Kept belongs to a person"
