"""The rules that every scorer is held to, and scorers by their names."""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from made_materials import COMMON, NEVER, RARE, frozen, made_material, with_value

from olrsearch.audit.scorers.protocol import scores
from olrsearch.audit.scorers.registry import SCORERS, make_scorers
from olrsearch.audit.scorers.retired import RETIRED
from olrsearch.core.errors import AuditError
from olrsearch.core.progress import silent
from olrsearch.evaluation.metrics import roc_auc

every_scorer = pytest.mark.parametrize("name", SCORERS)


@cache
def made():
    return made_material()


@cache
def evidence_of(name):
    return SCORERS[name]().evidence(made()[0], track=silent)


def entries(name, most=1):
    """Entries of every label with evidence and without, in several folds; and positives of the rare one."""
    material, _ = made()
    evidence = evidence_of(name)
    rng = np.random.default_rng(4)
    for label in range(material.labels):
        for has in (True, False):
            rows = np.flatnonzero(np.isfinite(evidence[label]) == has)
            for row in rng.permutation(rows)[:most].tolist():
                yield row, label
    for row in np.flatnonzero(material.given[:, RARE] > 0)[:2].tolist():
        yield row, RARE


def seen_through(make, material, chosen):
    """Entries whose evidence is another where their own value is another: a scorer that is fair has none.

    Args:
        make: Makes the scorer.
        material: What it is given.
        chosen: The entries to try, (row, label) each, with each of the two values that are not theirs.
    """
    evidence = make().evidence(material, track=silent)
    return [
        (row, label)
        for row, label in chosen
        for value in sorted({-1, 0, 1} - {int(material.given[row, label])})
        if not np.array_equal(
            make().evidence(with_value(material, row, label, value), track=silent)[label, row],
            evidence[label, row],
            equal_nan=True,
        )
    ]


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
    assert seen_through(SCORERS[name], made()[0], entries(name, most=2)) == []


@pytest.mark.parametrize("seed", [11, 12])
@every_scorer
def test_nor_does_it_in_other_materials(name, seed):
    """Other labels, folds and persons; entries at random, among them those of twins and of large persons."""
    material, _ = made_material(160, folds=3, seed=seed)
    rng = np.random.default_rng(seed)
    people, count = np.unique(material.identity[material.identity >= 0], return_counts=True)
    crowd = np.flatnonzero(material.identity == people[count.argmax()])
    rows = [*rng.integers(0, 160, 3).tolist(), int(material.twins[0, 0]), int(material.twins[0, 1])]
    chosen = [(row, int(rng.integers(0, NEVER))) for row in (*rows, int(crowd[0]))]
    assert seen_through(SCORERS[name], material, chosen) == []


def test_a_scorer_that_looks_at_the_entrys_own_value_is_caught():
    class Peeking:
        def evidence(self, material, *, track):
            del track
            evidence = evidence_of("probability").copy()
            return np.where(material.given.T == 0, evidence, 0.9 * evidence + 0.05 * (material.given.T > 0))

    chosen = list(entries("probability"))
    assert len(seen_through(Peeking, made()[0], chosen)) > len(chosen) // 2


@every_scorer
def test_other_values_do_change_it(name):
    """Else the tests above would show nothing."""
    material, truth = made()
    given = np.where(np.random.default_rng(1).random(truth.shape) < 0.3, -material.given, material.given)
    changed = SCORERS[name]().evidence(replace(material, given=given), track=silent)
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
    again = SCORERS[name]().evidence(made()[0], track=silent)
    assert np.array_equal(again, evidence_of(name), equal_nan=True)
    scorer = SCORERS[name]()
    first = scorer.evidence(made()[0], track=silent)
    first[:] = 0.5  # the caller's to change
    assert np.array_equal(scorer.evidence(made()[0], track=silent), again, equal_nan=True)


@every_scorer
def test_what_it_was_asked_before_changes_nothing(name):
    """An audit asks one scorer twice, of the labels as they are and of the same with injected errors."""
    material, _ = made()
    scorer = SCORERS[name]()
    scorer.evidence(made_material(160, seed=5)[0], track=silent)
    assert np.array_equal(scorer.evidence(material, track=silent), evidence_of(name), equal_nan=True)


@every_scorer
def test_one_class_says_nothing_and_fails_nowhere(name):
    material, _ = made()
    assert np.isnan(evidence_of(name)[NEVER]).all()
    for value in (-1, 0, 1):
        alone = replace(material, given=np.full_like(material.given, value))
        assert np.isnan(SCORERS[name]().evidence(alone, track=silent)).all()


@pytest.mark.parametrize(
    "lacking",
    [{"twins": None}, {"twins": np.empty((0, 2), np.int64)}, {"identity": np.full(320, -1)}],
    ids=["no twins known", "no twins found", "no persons"],
)
@every_scorer
def test_what_it_has_nothing_to_say_from_is_nan_and_no_error(name, lacking):
    material, _ = made()
    found = SCORERS[name]().evidence(replace(material, **lacking), track=silent)
    assert found.shape == (material.labels, material.images)
    assert found.dtype == np.float32
    assert np.isnan(found).all() == (name in lacking)


@every_scorer
def test_few_images_and_a_single_label_are_no_error(name):
    small, _ = made_material(24, folds=2, seed=2)
    for material in (small, replace(small, names=small.names[:1], given=frozen(small.given[:, :1].copy()))):
        found = SCORERS[name]().evidence(material, track=silent)
        assert found.shape == (material.labels, material.images)
        assert found.dtype == np.float32
        there = found[np.isfinite(found)]
        assert ((there >= 0) & (there <= 1)).all()


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
    scorer = SCORERS[name]()
    seen = set()
    for row, label in entries(name):
        value = float(evidence[label, row])
        present = None if np.isnan(value) else value
        found = scorer.explain(material, row, label, present)
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
        scorer = SCORERS[name]()
        assert scorer.name == name
        assert re.fullmatch("[a-z-]+", name)
        assert scorer.summary
        assert "\n" not in scorer.summary
    assert not set(RETIRED) & set(SCORERS)


def test_scorers_by_their_names():
    assert [scorer.name for scorer in make_scorers()] == list(SCORERS)
    assert [scorer.name for scorer in make_scorers(list(SCORERS)[::-1])] == list(SCORERS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["probability", "nobody"], "no scorer is called 'nobody'; there are probability, other-labels"),
        (["twins", "twins"], "expected each scorer once and at least one, found twins, twins"),
        ([], "at least one, found none"),
        (
            ["cleanlab"],
            r"cleanlab is no longer asked: it added \.0003 .*; there are probability, ",
        ),
        (
            ["probability", "disagreement"],
            "disagreement is no longer asked: it found errors hardly",
        ),
    ],
)
def test_what_is_no_choice_of_scorers(names, message):
    with pytest.raises(AuditError, match=message):
        make_scorers(names)


def test_scores_are_the_probability_of_what_is_given():
    evidence = np.array([[0.9, 0.9, 0.9, np.nan]], np.float32)
    given = np.array([[1], [-1], [0], [1]], np.int8)
    found = scores(evidence, given)
    assert found.dtype == np.float32
    assert found[0, :2] == pytest.approx([0.9, 0.1])
    assert np.isnan(found[0, 2:]).all()
