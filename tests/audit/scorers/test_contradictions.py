"""Rules speak against what other labels exclude, and never of what they have seen themselves."""

from __future__ import annotations

import numpy as np
import pytest

from olrsearch.audit.scorers.contradictions import MOST_BROKEN, Contradictions
from olrsearch.audit.scorers.material import Material
from olrsearch.audit.scorers.protocol import scores
from olrsearch.audit.scorers.rules import never
from olrsearch.core.progress import silent

NAMES = ("No_Beard", "Goatee", "Male", "Bangs")
BARE, GOATEE, MALE, BANGS = range(4)


class NoViews:
    """Contradictions look at no image."""

    def features(self, fold, rows):
        raise AssertionError(fold, rows)

    def embeddings(self, fold, label):
        raise AssertionError(fold, label)


def labels(count=6000, seed=0, broken=6):
    rng = np.random.default_rng(seed)
    male = rng.random(count) < 0.5
    goatee = male & (rng.random(count) < 0.2)
    bare = ~goatee & (~male | (rng.random(count) < 0.5))
    given = np.where(np.column_stack([bare, goatee, male, rng.random(count) < 0.3]), 1, -1).astype(np.int8)
    given[rng.choice(np.flatnonzero(goatee), broken, replace=False), BARE] = 1
    return given


def material(given, names=NAMES, folds=5):
    rows = np.arange(len(given))
    return Material(names, given, rows % folds, rows, NoViews())


@pytest.fixture(scope="module")
def given():
    return labels()


@pytest.fixture(scope="module")
def evidence(given):
    return Contradictions().evidence(material(given), track=silent)


def test_what_rules_say(given, evidence):
    assert evidence.dtype == np.float32
    assert evidence.shape == given.T.shape
    bare, goatee, male = given[:, BARE] > 0, given[:, GOATEE] > 0, given[:, MALE] > 0
    assert (evidence[BARE, goatee] < 0.02).all()
    assert (evidence[GOATEE, bare] < 0.01).all()
    assert (evidence[MALE, goatee] > 0.99).all()
    assert (evidence[GOATEE, ~male] < 0.01).all()
    assert (evidence[BARE, ~male & ~goatee] > 0.99).all(), "one of No_Beard and Male is always there"
    assert np.isnan(evidence[GOATEE, ~bare & male]).all()
    assert np.isnan(evidence[BANGS]).all()


def test_broken_rules_are_the_most_suspicious(given, evidence):
    broken = (given[:, BARE] > 0) & (given[:, GOATEE] > 0)
    score = scores(evidence, given)
    for label in (BARE, GOATEE):
        assert score[label, broken].max() < np.nanmin(score[label, ~broken])


def test_probabilities_are_those_of_the_other_folds(given, evidence):
    data = material(given)
    row = int(np.flatnonzero((given[:, GOATEE] > 0) & (data.fold == 2))[0])
    other = given[data.fold != 2]
    goatees = other[:, GOATEE] > 0
    both = (goatees & (other[:, BARE] > 0)).sum()
    assert evidence[BARE, row] == pytest.approx((both + 0.5) / (goatees.sum() + 1))


def test_own_values_do_not_count(given, evidence):
    rng = np.random.default_rng(3)
    for label in range(4):
        changed = given.copy()
        row = int(rng.integers(len(given)))
        changed[row, label] *= -1
        again = Contradictions().evidence(material(changed), track=silent)
        assert np.array_equal(again[label, row], evidence[label, row], equal_nan=True)
        changed[row, label] = 0
        again = Contradictions().evidence(material(changed), track=silent)
        assert np.array_equal(again[label, row], evidence[label, row], equal_nan=True)


def test_unknown_labels_trigger_nothing(given):
    changed = given.copy()
    changed[:50] = 0
    evidence = Contradictions().evidence(material(changed), track=silent)
    assert np.isnan(evidence[:, :50]).all()
    unknown = given.copy()
    unknown[:50, BARE] = 0
    evidence = Contradictions().evidence(material(unknown), track=silent)
    assert (evidence[BARE, :50][given[:50, GOATEE] > 0] < 0.02).all(), "an unknown label gets evidence"


def test_no_rule_no_evidence_no_error():
    for given in (labels(60, broken=1), np.ones((100, 4), np.int8), np.zeros((100, 4), np.int8)):
        before = given.copy()
        assert np.isnan(Contradictions().evidence(material(given), track=silent)).all()
        assert (given == before).all()


def test_rules_of_the_user_are_taken_at_their_word(given):
    own = never((GOATEE, BANGS), (1, 1), NAMES, source="file")
    scorer = Contradictions([own])
    data = material(given)
    evidence = scorer.evidence(data, track=silent)
    bangs = given[:, BANGS] > 0
    assert (evidence[GOATEE, bangs] <= np.float32(MOST_BROKEN)).all()
    with_goatee = given[:, GOATEE] > 0
    assert (evidence[BANGS, with_goatee] == np.float32(MOST_BROKEN)).all()
    row = int(np.flatnonzero(with_goatee)[0])
    said = scorer.explain(data, row, BANGS, float(evidence[BANGS, row]))
    assert said.text.startswith("Goatee is given as present, and Goatee and Bangs exclude each other: ")
    assert said.text.endswith("(a rule of the user's)")
    again = Contradictions([never((BARE, GOATEE), (1, 1), NAMES, source="file")])
    both = again.evidence(data, track=silent)
    assert (both[BARE, with_goatee] <= np.float32(MOST_BROKEN)).all(), "the user's goes before the mined one"


def test_explanations_name_the_rule(given, evidence):
    data = material(given)
    scorer = Contradictions()
    row = int(np.flatnonzero((given[:, GOATEE] > 0) & (given[:, BARE] > 0))[0])
    said = scorer.explain(data, row, BARE, float(evidence[BARE, row]))
    assert said.text.startswith("Goatee is given as present, and No_Beard and Goatee exclude each other: ")
    assert "have both" in said.text
    woman = int(np.flatnonzero((given[:, MALE] < 0) & (given[:, GOATEE] < 0))[0])
    said = scorer.explain(data, woman, GOATEE, float(evidence[GOATEE, woman]))
    assert said.text.startswith("Male is given as absent, and Goatee implies Male: ")
    said = scorer.explain(data, woman, BANGS, None)
    assert "no rule" in said.text
