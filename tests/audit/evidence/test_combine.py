"""All evidence together, weighed where the truth is known."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from olrsearch.audit.evidence.combine import CLIP, Combination, adapt_combination, fit_combination
from olrsearch.core.errors import AuditError

LABELS = ("A", "B", "C")
WEIGHTS = np.array([0.9, 0.4, 0.0])
GIVEN_PRESENT, GIVEN_ABSENT = 1.2, -0.8
FREQUENCY = np.array([0.5, 0.2, 0.35])
NAMES = ("first", "second", "idle")


def frequency_of(given):
    return (given > 0).sum(axis=0) / np.maximum(1, (given != 0).sum(axis=0))


def simulated(count=4000, seed=0, weights=WEIGHTS, present=GIVEN_PRESENT, absent=GIVEN_ABSENT):
    """Evidence of three scorers, given labels, and the truth that follows: [L, N], [N, L], [N, L]."""
    rng = np.random.default_rng(seed)
    given = np.where(rng.random((count, len(FREQUENCY))) < FREQUENCY, 1, -1).astype(np.int8)
    odds = logit(frequency_of(given))
    moves = rng.normal(size=(3, len(FREQUENCY), count)) * 2
    evidence = {
        name: expit(move + odds[:, None]).astype(np.float32) for name, move in zip(NAMES, moves, strict=True)
    }
    log_odds = np.einsum("s,sln->ln", weights, moves) + odds[:, None]
    log_odds += np.where(given.T > 0, present, absent)
    truth = np.where(rng.random(log_odds.shape) < expit(log_odds), 1, -1).astype(np.int8).T.copy()
    return evidence, given, truth


@pytest.fixture(scope="module")
def case():
    return simulated()


@pytest.fixture(scope="module")
def fitted(case):
    return fit_combination(*case, LABELS)


def design(evidence, given, label):
    """The columns of one label, written out."""
    odds = logit(frequency_of(given)[label])
    moves = [np.clip(logit(evidence[name][label].astype(float)), -CLIP, CLIP) - odds for name in evidence]
    value = given[:, label]
    return np.column_stack([*moves, value > 0, value < 0, np.full(len(given), odds)])


# -- what evidence is worth ------------------------------------------------------------------


def test_known_weights_are_found(case, fitted):
    assert fitted.scorers == NAMES
    assert fitted.labels == LABELS
    assert fitted.pooled == pytest.approx([*WEIGHTS, GIVEN_PRESENT, GIVEN_ABSENT, 1.0], abs=0.15)
    assert fitted.weight == pytest.approx(np.broadcast_to(fitted.pooled, (3, 6)), abs=0.25)
    evidence, given, truth = case
    found = fitted.present(evidence, given, LABELS)
    assert found.dtype == np.float32
    assert found.shape == (3, 4000)
    # Probabilities are what they say.
    for low, high in ((0.0, 0.2), (0.4, 0.6), (0.8, 1.0)):
        part = (found > low) & (found <= high)
        assert (truth.T[part] > 0).mean() == pytest.approx(found[part].mean(), abs=0.03)


def test_the_common_weights_are_those_of_scikit_learn(case, fitted):
    evidence, given, truth = case
    columns = np.concatenate([design(evidence, given, label) for label in range(3)])
    model = LogisticRegression(C=1e3, fit_intercept=False, tol=1e-10, max_iter=10_000)
    model.fit(columns, truth.T.ravel())
    assert fitted.pooled == pytest.approx(model.coef_[0], abs=1e-3)


def test_a_labels_own_weights_are_held_to_the_common_ones(case, fitted):
    """The least of loss and tether: its slope is zero there."""
    evidence, given, truth = case
    for label in range(3):
        columns = design(evidence, given, label)
        chance = expit(columns @ fitted.weight[label])
        slope = columns.T @ (chance - (truth[:, label] > 0)) + 300.0 * (fitted.weight[label] - fitted.pooled)
        assert np.abs(slope).max() < 0.05


def test_few_entries_move_a_label_little_and_many_move_it_far():
    evidence, given, truth = simulated(6000)
    # Of the last label everything is the other way round.
    truth = truth.copy()
    truth[:, 2] *= -1
    far = fit_combination(evidence, given, truth, LABELS)
    few = truth.copy()
    few[20:, 2] = 0
    near = fit_combination(evidence, given, few, LABELS)
    assert far.weight[2, 0] < 0
    assert np.abs(near.weight[2] - near.pooled).max() < 0.1
    assert near.pooled == pytest.approx([*WEIGHTS, GIVEN_PRESENT, GIVEN_ABSENT, 1.0], abs=0.2)
    nothing = few.copy()
    nothing[:, 2] = 0
    none = fit_combination(evidence, given, nothing, LABELS)
    assert np.array_equal(none.weight[2], none.pooled)


def test_entries_count_as_often_as_they_are_said_to():
    evidence, given, truth = simulated(600)
    rng = np.random.default_rng(1)
    often = rng.integers(0, 4, truth.shape)
    rows = np.repeat(np.arange(600), 3)
    times = np.tile(np.arange(3), 600)
    more = truth[rows].copy()
    more[times[:, None] >= often[rows]] = 0
    weighed = fit_combination(evidence, given, truth, LABELS, weight=often.astype(np.float32))
    repeated = fit_combination(
        {name: part[:, rows] for name, part in evidence.items()}, given[rows], more, LABELS
    )
    assert weighed.weight == pytest.approx(repeated.weight, abs=1e-4)
    ones = fit_combination(evidence, given, truth, LABELS, weight=np.ones(truth.shape))
    assert np.array_equal(ones.weight, fit_combination(evidence, given, truth, LABELS).weight)


def test_what_is_decided_has_finite_weights():
    evidence, given, _ = simulated(500)
    found = fit_combination(evidence, given, given, LABELS)
    assert np.isfinite(found.weight).all()
    assert (np.sign(found.present(evidence, given, LABELS) - 0.5) == given.T).all()


def test_only_entries_that_are_given_and_known_are_learnt_from():
    evidence, given, truth = simulated(800)
    known, hidden = truth.copy(), given.copy()
    known[500:650] = 0
    hidden[650:] = 0
    first = fit_combination(evidence, hidden, known, LABELS)
    spoiled = known.copy()
    spoiled[650:] *= -1
    other = {name: part.copy() for name, part in evidence.items()}
    for part in other.values():
        part[:, 500:] = 0.5
    assert np.array_equal(fit_combination(other, hidden, spoiled, LABELS).weight, first.weight)


def test_a_scorer_that_never_says_anything_weighs_nothing(case):
    evidence, given, truth = case
    silent = {**evidence, "idle": np.full((3, 4000), np.nan, np.float32)}
    found = fit_combination(silent, given, truth, LABELS)
    assert found.pooled[2] == pytest.approx(0, abs=1e-6)
    assert found.pooled[:2] == pytest.approx(WEIGHTS[:2], abs=0.1)


def test_nothing_is_changed(case):
    evidence, given, truth = case
    before = [part.copy() for part in (*evidence.values(), given, truth)]
    fit_combination(evidence, given, truth, LABELS).present(evidence, given, LABELS)
    for part, kept in zip((*evidence.values(), given, truth), before, strict=True):
        assert np.array_equal(part, kept)


# -- what it comes to ------------------------------------------------------------------------


def test_the_formula_written_out(fitted):
    evidence, given, _ = simulated(50, seed=4)
    found = fitted.present(evidence, given, LABELS)
    for label in range(3):
        expected = expit(design(evidence, given, label) @ fitted.weight[label])
        assert found[label] == pytest.approx(expected, rel=1e-5)


def test_no_evidence_moves_nothing(case, fitted):
    evidence, given, _ = case
    gone = {name: part.copy() for name, part in evidence.items()}
    gone["first"][:, 5] = np.nan
    neutral = {name: part.copy() for name, part in evidence.items()}
    neutral["first"][:, 5] = frequency_of(given)
    assert fitted.present(gone, given, LABELS) == pytest.approx(
        fitted.present(neutral, given, LABELS), abs=1e-6
    )
    nothing = {name: np.full_like(part, np.nan) for name, part in evidence.items()}
    found = fitted.present(nothing, given, LABELS)
    odds = logit(frequency_of(given))
    for label in range(3):
        own = fitted.weight[label]
        assert found[label, given[:, label] > 0] == pytest.approx(expit(own[3] + own[5] * odds[label]))
        assert found[label, given[:, label] < 0] == pytest.approx(expit(own[4] + own[5] * odds[label]))


def test_an_entry_that_is_not_given_is_judged_by_the_evidence_alone(case, fitted):
    evidence, given, _ = case
    hidden = given.copy()
    hidden[:40] = 0
    found = fitted.present(evidence, hidden, LABELS)
    odds = logit(frequency_of(hidden))
    for label in range(3):
        own = fitted.weight[label]
        moves = np.stack([logit(evidence[name][label, :40].astype(float)) - odds[label] for name in NAMES])
        assert found[label, :40] == pytest.approx(expit(own[:3] @ moves + own[5] * odds[label]), abs=1e-5)


def test_sure_evidence_counts_no_more_than_so_much(fitted):
    evidence, given, _ = simulated(20)
    sure = {name: np.where(part > 0.5, 1, 0).astype(np.float32) for name, part in evidence.items()}
    found = fitted.present(sure, given, LABELS)
    assert np.isfinite(found).all()
    clipped = {name: expit(np.where(part > 0.5, CLIP, -CLIP)) for name, part in evidence.items()}
    assert found == pytest.approx(fitted.present(clipped, given, LABELS), abs=1e-6)


def test_labels_with_one_class_or_nothing_given_are_no_error(fitted):
    evidence, given, _ = simulated(30)
    given = given.copy()
    given[:, 0], given[:, 1], given[:, 2] = 1, -1, 0
    assert np.isfinite(fitted.present(evidence, given, LABELS)).all()


def test_labels_go_by_name_and_strange_ones_by_the_common_weights(fitted):
    evidence, given, _ = simulated(60)
    whole = fitted.present(evidence, given, LABELS)
    order = [2, 0]
    part = {name: values[order] for name, values in evidence.items()}
    assert np.array_equal(fitted.present(part, given[:, order], ("C", "A")), whole[order])
    common = Combination(fitted.scorers, LABELS, np.tile(fitted.pooled, (3, 1)), fitted.pooled)
    strange = fitted.present(part, given[:, order], ("C", "Other"))
    assert np.array_equal(strange[0], whole[2])
    assert np.array_equal(strange[1], common.present(evidence, given, LABELS)[0])


def test_more_scorers_than_have_weights_do_not_matter(fitted):
    evidence, given, _ = simulated(30)
    more = {"another": np.full((3, 30), 0.01, np.float32), **evidence}
    assert np.array_equal(fitted.present(more, given, LABELS), fitted.present(evidence, given, LABELS))


# -- some scorers alone, and other stores ----------------------------------------------------


def test_what_left_out_scorers_weighed_is_the_others(fitted):
    part = fitted.restricted(("second", "first"))
    assert part.scorers == ("second", "first")
    assert part.labels == LABELS
    factor = fitted.pooled[:3].sum() / fitted.pooled[:2].sum()
    assert part.pooled[:2] == pytest.approx(fitted.pooled[[1, 0]] * factor)
    assert part.weight[:, :2] == pytest.approx(fitted.weight[:, [1, 0]] * factor)
    assert np.array_equal(part.weight[:, 2:], fitted.weight[:, 3:])
    assert np.array_equal(part.pooled[2:], fitted.pooled[3:])
    whole = fitted.restricted(NAMES)
    assert whole.weight == pytest.approx(fitted.weight)


def test_a_scorer_without_weight_gets_none(fitted):
    part = fitted.restricted(("new", "first", "second", "idle"))
    assert part.pooled[0] == 0
    assert (part.weight[:, 0] == 0).all()
    assert part.pooled[1:] == pytest.approx(fitted.pooled)
    with pytest.raises(AuditError, match="say nothing of new: they are of first, second, idle"):
        fitted.restricted(("new",))
    with pytest.raises(AuditError, match="say nothing of no scorer"):
        fitted.restricted(())


def test_there_and_back(fitted):
    again = Combination.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert (again.scorers, again.labels) == (fitted.scorers, fitted.labels)
    assert np.array_equal(again.weight, fitted.weight)
    assert np.array_equal(again.pooled, fitted.pooled)
    none = dataclasses.replace(fitted, labels=(), weight=np.empty((0, 6)))
    assert Combination.from_dict(json.loads(json.dumps(none.to_dict()))).labels == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooled": None}, r"and \(\), expected"),
        ({"weight": [[1, 2], [3]]}, "are damaged"),
        ({"weight": "x"}, "are damaged"),
        ({"labels": 3}, "are damaged"),
        ({"pooled": [1.0] * 5}, r"have the shapes \(3, 6\) and \(5,\), expected \(3, 6\) and \(6,\)"),
        ({"labels": ["A"]}, r"expected \(1, 6\)"),
        ({"pooled": [float("nan")] * 6}, "are not finite"),
    ],
)
def test_damaged_weights_are_refused(fitted, change, message):
    with pytest.raises(AuditError, match=f"weights of evidence .*{message}.*run the audit again"):
        Combination.from_dict(fitted.to_dict() | change)


@pytest.mark.parametrize("field", ["scorers", "labels", "weight", "pooled"])
def test_missing_fields_are_refused(fitted, field):
    data = fitted.to_dict()
    del data[field]
    with pytest.raises(AuditError, match=f"are damaged .*{field}"):
        Combination.from_dict(data)


def test_what_does_not_fit_is_refused(case, fitted):
    evidence, given, truth = case
    with pytest.raises(AuditError, match="no evidence of second, found first, idle"):
        fitted.present({name: evidence[name] for name in ("first", "idle")}, given, LABELS)
    with pytest.raises(AuditError, match=r"evidence of first is \(3, 4000\) for labels \(10, 3\)"):
        fitted.present(evidence, given[:10], LABELS)
    with pytest.raises(AuditError, match=r"labels \(4000, 3\) of 2 names: expected \[N, L\]"):
        fitted.present(evidence, given, ("A", "B"))
    with pytest.raises(AuditError, match=r"labels \(4000, 3\) and truth \(10, 3\)"):
        fit_combination(evidence, given, truth[:10], LABELS)
    with pytest.raises(AuditError, match=r"weights \(10, 3\)"):
        fit_combination(evidence, given, truth, LABELS, weight=np.ones((10, 3)))
    with pytest.raises(AuditError, match="no entry has a known label"):
        fit_combination(evidence, given, np.zeros_like(truth), LABELS)
    for wrong in (-0.1, 1.1):
        odd = {**evidence, "second": np.full((3, 4000), wrong, np.float32)}
        with pytest.raises(AuditError, match="evidence of second holds values outside 0 to 1"):
            fit_combination(odd, given, truth, LABELS)


# -- reviews ---------------------------------------------------------------------------------


def test_reviews_move_constants_easily_and_scorers_hardly(fitted):
    evidence, given, _ = simulated(60, seed=9)
    truth = np.zeros_like(given)
    truth[:, 1] = -1  # whatever was given, the label was never there
    found = adapt_combination(fitted, evidence, given, truth, LABELS, frequency=FREQUENCY)
    moved = found.weight - fitted.weight
    assert (moved[[0, 2]] == 0).all()
    assert moved[1, 3] < -0.5
    assert moved[1, 4] < -0.2
    assert np.abs(moved[1, :3]).max() < 0.3
    assert np.array_equal(found.pooled, fitted.pooled)
    before, after = fitted.present(evidence, given, LABELS), found.present(evidence, given, LABELS)
    assert np.array_equal(after[[0, 2]], before[[0, 2]])
    assert after[1].mean() < before[1].mean() / 2


def test_labels_of_another_store_are_adapted_from_the_common_weights(fitted):
    evidence, given, truth = simulated(40, seed=9)
    truth = truth.copy()
    truth[:, 0] = 0
    names = ("Other", "C", "Another")
    found = adapt_combination(fitted, evidence, given, truth, names, frequency=FREQUENCY)
    assert found.labels == names
    assert np.array_equal(found.weight[0], fitted.pooled)
    assert np.abs(found.weight[1] - fitted.weight[2]).max() > 1e-3
    assert np.abs(found.weight[2] - fitted.pooled).max() > 1e-3


def test_the_frequency_is_that_of_all_images_and_not_of_the_reviewed(fitted):
    """Evidence as frequent as the label says nothing, however many of these few have it."""
    given = np.ones((30, 3), np.int8)
    evidence = {name: np.tile(FREQUENCY[:, None], 30).astype(np.float32) for name in NAMES}
    truth = given.copy()
    found = adapt_combination(fitted, evidence, given, truth, LABELS, frequency=FREQUENCY)
    assert found.weight[:, :3] == pytest.approx(fitted.weight[:, :3], abs=1e-6)
    assert (found.weight[:, 3] > fitted.weight[:, 3]).all()
    assert found.weight[:, 4] == pytest.approx(fitted.weight[:, 4])


def test_reviews_that_do_not_fit_are_refused(fitted):
    evidence, given, truth = simulated(20)
    with pytest.raises(AuditError, match="no evidence of idle"):
        adapt_combination(
            fitted,
            {name: evidence[name] for name in NAMES[:2]},
            given,
            truth,
            LABELS,
            frequency=FREQUENCY,
        )
    for other, often in ((truth[:5], FREQUENCY), (truth, FREQUENCY[:2])):
        with pytest.raises(AuditError, match=r"and frequencies .* do not fit"):
            adapt_combination(fitted, evidence, given, other, LABELS, frequency=often)
