"""Constants that rise to the errors that estimates prove."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit

from olrsearch.audit.evidence.combine import Combination, fit_combination
from olrsearch.audit.evidence.estimates import estimate_errors
from olrsearch.audit.evidence.noise import asymmetric, symmetric
from olrsearch.audit.evidence.raising import QUORUM, raise_constants, raise_notes
from olrsearch.core.errors import AuditError

LABELS = tuple("ABCDEFGHIJ")
ANYTHING = (0.0, np.inf)


@dataclass(frozen=True)
class Count:
    count_low: float
    count_high: float


@dataclass(frozen=True)
class Errors:
    false_present: Count
    false_absent: Count


def errors(present=None, absent=None, labels=LABELS):
    """Estimates: bounds of false present and false absent by label, anything where nothing is said."""
    present, absent = present or {}, absent or {}
    return [
        Errors(Count(*present.get(name, ANYTHING)), Count(*absent.get(name, ANYTHING))) for name in labels
    ]


@pytest.fixture
def weights():
    pooled = np.array([1.0, 2.9, -2.9, 1.0])
    return Combination(("looks",), (), np.empty((0, 4)), pooled)


@pytest.fixture
def case():
    """Evidence of one scorer and given labels: [L, N] and [N, L]."""
    rng = np.random.default_rng(5)
    evidence = expit(3 * rng.normal(size=(len(LABELS), 2000))).astype(np.float32)
    given = np.where(rng.random(evidence.shape) < evidence, 1, -1).astype(np.int8).T
    given[rng.random(given.shape) < 0.05] = 0
    return {"looks": evidence}, np.ascontiguousarray(given)


def expected(weights, case, label, value):
    """How many of the entries given so a combination expects to be wrong."""
    evidence, given = case
    present = weights.present(evidence, given, LABELS)[label]
    wrong = 1 - present if value > 0 else present
    return float(wrong[given[:, label] == value].sum())


def test_a_constant_rises_to_as_many_errors_as_are_proven(weights, case):
    before = expected(weights, case, 2, -1)
    raised = raise_constants(weights, *case, LABELS, errors(absent={"C": (3 * before, np.inf)}))
    assert expected(raised, case, 2, -1) == pytest.approx(3 * before, rel=1e-4)
    moved = raised.weight - weights.pooled
    assert moved[2, -2] > 0
    moved[2, -2] = 0
    assert not moved.any()  # nothing else changes, for one label is no quorum


def test_both_values_rise_apart(weights, case):
    proven = {"A": (2 * expected(weights, case, 0, 1), np.inf)}
    raised = raise_constants(weights, *case, LABELS, errors(present=proven))
    assert raised.weight[0, -3] < weights.pooled[-3]
    assert raised.weight[0, -2] == weights.pooled[-2]
    assert expected(raised, case, 0, 1) == pytest.approx(proven["A"][0], rel=1e-4)


def test_nothing_is_lowered(weights, case):
    none = dict.fromkeys(LABELS, (0.0, 0.0))
    raised = raise_constants(weights, *case, LABELS, errors(none, none))
    assert np.array_equal(raised.weight, np.tile(weights.pooled, (len(LABELS), 1)))


def test_a_quorum_raises_the_others_as_far_as_their_intervals_go(weights, case):
    quorum = round(QUORUM * len(LABELS))
    assert quorum == 2
    asking = {
        name: (factor * expected(weights, case, place, -1), np.inf)
        for place, name, factor in ((0, "A", 4), (1, "B", 2))
    }
    bounded = {"C": (0.0, 1.2 * expected(weights, case, 2, -1)), "D": (0.0, 0.0)}
    raised = raise_constants(weights, *case, LABELS, errors(absent={**asking, **bounded}))
    moved = raised.weight[:, -2] - weights.pooled[-2]
    assert expected(raised, case, 0, -1) == pytest.approx(asking["A"][0], rel=1e-4)
    assert expected(raised, case, 1, -1) == pytest.approx(asking["B"][0], rel=1e-4)
    assert expected(raised, case, 2, -1) == pytest.approx(bounded["C"][1], rel=1e-4)
    assert moved[3] == 0
    assert moved[4:] == pytest.approx(moved[1])  # what two ask for, or more: the smaller of theirs
    assert moved[0] > moved[1] > moved[2] > 0


@pytest.mark.parametrize("labels", [1, 2])
def test_few_labels_speak_for_themselves(weights, case, labels):
    evidence, given = case
    few = {"looks": evidence["looks"][:labels]}, np.ascontiguousarray(given[:, :labels])
    proven = errors(absent={"A": (500.0, np.inf)}, labels=LABELS[:labels])
    raised = raise_constants(weights, *few, LABELS[:labels], proven)
    assert raised.labels == LABELS[:labels]
    assert raised.weight[0, -2] > weights.pooled[-2]
    assert (raised.weight[1:] == weights.pooled).all()


def test_an_estimate_beyond_all_entries_leaves_some_right(weights, case):
    entries = int((case[1][:, 0] < 0).sum())
    raised = raise_constants(weights, *case, LABELS, errors(absent={"A": (2.0 * entries, np.inf)}))
    assert expected(raised, case, 0, -1) == pytest.approx(0.9 * entries, rel=1e-4)


def test_a_label_without_entries_of_a_value(weights, case):
    evidence, given = case
    given[given[:, 0] < 0, 0] = 0
    raised = raise_constants(weights, evidence, given, LABELS, errors(absent={"A": (7.0, 9.0)}))
    assert np.array_equal(raised.weight[0], weights.pooled)


def test_evidence_that_is_missing_is_refused(weights, case):
    with pytest.raises(AuditError, match="no evidence of looks"):
        raise_constants(weights, {}, case[1], LABELS, errors())


def test_what_was_raised_is_said(weights, case):
    one = raise_constants(weights, *case, LABELS, errors(absent={"B": (500.0, np.inf)}))
    (note,) = raise_notes(weights, one, LABELS)
    assert note.startswith("B is wrongly absent more often than the weights expect")
    proven = {"A": (500.0, np.inf), "B": (700.0, np.inf)}
    many = raise_constants(weights, *case, LABELS, errors(present=proven))
    (note,) = raise_notes(weights, many, LABELS)
    assert note.startswith("10 labels, most of all B, are wrongly present more often than the weights expect")
    assert raise_notes(weights, weights, LABELS) == ()


@pytest.mark.slow
def test_errors_of_one_direction_are_proven_and_symmetric_ones_are_expected():
    rng = np.random.default_rng(2)
    latent = rng.normal(size=(4000, len(LABELS)))
    truth = np.where(latent > 0.4, 1, -1).astype(np.int8)
    seen = expit(6 * (latent - 0.4 + 0.1 * rng.normal(size=latent.shape))).T

    def looks(turned_up, missing):
        """What a model that learns from such labels says."""
        return {"looks": (turned_up + (1 - missing - turned_up) * seen).astype(np.float32)}

    weights = fit_combination(looks(0.05, 0.05), symmetric(truth, 0.05, 100), truth, LABELS)
    moved = {}
    for name, given, evidence in (
        ("one way", asymmetric(truth, seed=1), looks(0.02, 0.2)),
        ("both ways", symmetric(truth, 0.05, 1), looks(0.05, 0.05)),
    ):
        found = estimate_errors(LABELS, given, evidence, np.full(len(latent), -1))
        raised = raise_constants(weights, evidence, given, LABELS, found)
        moved[name] = raised.weight - weights.weight
    assert (moved["one way"][:, -2] > 0.5).all()
    assert not moved["one way"][:, -3].any()
    assert np.abs(moved["both ways"]).max() < 0.1
