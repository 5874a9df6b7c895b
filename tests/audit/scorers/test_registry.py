"""The rules that every scorer is held to, and scorers by their names."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from made_materials import COMMON, NEVER, RARE, made_material, with_value

from olrsearch.audit.scorers.probability import Probability
from olrsearch.audit.scorers.protocol import scores
from olrsearch.audit.scorers.registry import DEFAULT, SCORERS, make_scorers
from olrsearch.core.errors import AuditError, OptionalDependencyError
from olrsearch.core.progress import silent
from olrsearch.evaluation.metrics import roc_auc

every_scorer = pytest.mark.parametrize("name", SCORERS)


@cache
def made():
    return made_material()


def scorer_of(name):
    if name == "cleanlab":
        pytest.importorskip("cleanlab")
    return SCORERS[name](Probability())


@cache
def evidence_of(name):
    return scorer_of(name).evidence(made()[0], track=silent)


def entries(name):
    """Entries of every label with evidence and without, in several folds; and positives of the rare one."""
    material, _ = made()
    evidence = evidence_of(name)
    rng = np.random.default_rng(4)
    for label in range(material.labels):
        for has in (True, False):
            rows = np.flatnonzero(np.isfinite(evidence[label]) == has)
            for row in rng.permutation(rows)[:1].tolist():
                yield row, label
    for row in np.flatnonzero(material.given[:, RARE] > 0)[:2].tolist():
        yield row, RARE


@every_scorer
def test_evidence_is_probabilities_or_nothing(name):
    material, _ = made()
    evidence = evidence_of(name)
    assert evidence.dtype == np.float32
    assert evidence.shape == (material.labels, material.images)
    there = np.isfinite(evidence)
    assert np.isnan(evidence[~there]).all()
    assert ((evidence[there] >= 0) & (evidence[there] <= 1)).all()
    assert there[COMMON].sum() > 10
    assert np.unique(evidence[there]).size > 1


@every_scorer
def test_an_entrys_own_value_changes_nothing_of_its_evidence(name):
    material, _ = made()
    evidence = evidence_of(name)
    for row, label in entries(name):
        for value in {-1, 0, 1} - {int(material.given[row, label])}:
            changed = scorer_of(name).evidence(with_value(material, row, label, value), track=silent)
            assert np.array_equal(changed[label, row], evidence[label, row], equal_nan=True), (row, label)


@every_scorer
def test_other_values_do_change_it(name):
    """Else the test above would show nothing."""
    material, truth = made()
    given = np.where(np.random.default_rng(1).random(truth.shape) < 0.3, -material.given, material.given)
    changed = scorer_of(name).evidence(replace(material, given=given), track=silent)
    assert not np.array_equal(changed, evidence_of(name), equal_nan=True)


@every_scorer
def test_wrong_entries_come_first(name):
    """What is given wrongly is more suspicious than the rest of what a scorer speaks of."""
    material, truth = made()
    score = scores(evidence_of(name), material.given)
    known = np.isfinite(score)
    wrong = (material.given != truth).T[known]
    assert wrong.sum() >= 3
    assert roc_auc(-score[known][wrong], -score[known][~wrong]) > 0.7


@every_scorer
def test_the_same_again(name):
    """Arrays of the material are read-only, so what writes to them has already failed."""
    again = scorer_of(name).evidence(made()[0], track=silent)
    assert np.array_equal(again, evidence_of(name), equal_nan=True)
    scorer = scorer_of(name)
    first = scorer.evidence(made()[0], track=silent)
    first[:] = 0.5  # the caller's to change
    assert np.array_equal(scorer.evidence(made()[0], track=silent), again, equal_nan=True)


@every_scorer
def test_one_class_says_nothing_and_fails_nowhere(name):
    material, _ = made()
    assert np.isnan(evidence_of(name)[NEVER]).all()
    for value in (-1, 0, 1):
        alone = replace(material, given=np.full_like(material.given, value))
        assert np.isnan(scorer_of(name).evidence(alone, track=silent)).all()


@every_scorer
def test_what_is_unknown_has_evidence_as_well(name):
    material, _ = made()
    there = np.isfinite(evidence_of(name))
    unknown = (material.given == 0).T
    assert there[unknown].any()


@every_scorer
def test_it_says_why(name):
    material, _ = made()
    evidence = evidence_of(name)
    scorer = scorer_of(name)
    seen = set()
    for row, label in entries(name):
        value = float(evidence[label, row])
        present = None if np.isnan(value) else value
        found = scorer.explain(material, row, label, present)
        assert found.scorer == name
        assert found.present == present
        assert found.text
        assert "\n" not in found.text
        assert "nan" not in found.text.split()
        assert all(type(other) is int and 0 <= other < material.images for other in found.rows)
        assert row not in found.rows
        assert len(set(found.rows)) == len(found.rows)
        seen.add(present is None)
    assert seen == {True, False}


def test_names():
    for name in SCORERS:
        scorer = scorer_of(name)
        assert scorer.name == name
        assert re.fullmatch("[a-z-]+", name)
        assert scorer.summary
        assert "\n" not in scorer.summary
    assert set(DEFAULT) <= set(SCORERS)


def test_scorers_by_their_names():
    assert [scorer.name for scorer in make_scorers()] == list(DEFAULT)
    pytest.importorskip("cleanlab")
    backwards = list(SCORERS)[::-1]
    assert [scorer.name for scorer in make_scorers(backwards)] == list(SCORERS)


def test_what_two_build_on_is_computed_once(monkeypatch):
    pytest.importorskip("cleanlab")
    material, _ = made()
    asked = []
    fitted = Probability._fitted
    monkeypatch.setattr(Probability, "_fitted", lambda *given: asked.append(1) or fitted(*given))
    for scorer in make_scorers(["probability", "disagreement", "cleanlab"]):
        found = scorer.evidence(material, track=silent)
        assert np.array_equal(found, evidence_of(scorer.name), equal_nan=True)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["probability", "nobody"], "no scorer is called 'nobody'; there are probability, other-labels"),
        (["twins", "twins"], "expected each scorer once and at least one, found twins, twins"),
        ([], "at least one, found none"),
    ],
)
def test_what_is_no_choice_of_scorers(names, message):
    with pytest.raises(AuditError, match=message):
        make_scorers(names)


def test_without_cleanlab_all_others_are_there(monkeypatch):
    monkeypatch.setattr("olrsearch.audit.scorers.confident.find_spec", lambda _: None)
    assert len(make_scorers()) == len(DEFAULT)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'olrsearch\[audit\]'"):
        make_scorers(["cleanlab"])


def test_scores_are_the_probability_of_what_is_given():
    evidence = np.array([[0.9, 0.9, 0.9, np.nan]], np.float32)
    given = np.array([[1], [-1], [0], [1]], np.int8)
    found = scores(evidence, given)
    assert found.dtype == np.float32
    assert found[0, :2] == pytest.approx([0.9, 0.1])
    assert np.isnan(found[0, 2:]).all()
