import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from olrsearch.audit.scorers.likelihood import Likelihood, fit_odds
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.core.errors import AuditError
from olrsearch.core.progress import silent
from olrsearch.maths.calibration import fit_calibration

NAMES = ("Smiling", "Eyeglasses", "Bald")
RATES = (0.45, 0.2, 0.05)


class Shown:
    def __init__(self, vectors):
        self._vectors = vectors  # float32 [F, L, N, k], or [1, L, N, k]

    def embeddings(self, fold, label):
        return self._vectors[fold if len(self._vectors) > 1 else 0, label]


def make(images=500, *, size=6, seed=0, unknown=0.1, wrong=0.05, by_fold=False):
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random((images, 3)) < RATES, 1, -1).astype(np.int8)
    mixed = rng.normal(size=(5 if by_fold else 1, 3, images, size)) @ rng.normal(size=(size, size))
    vectors = (truth.T[None, :, :, None] * np.linspace(0.5, 2, size) + mixed + 3).astype(np.float32)
    flipped = rng.random(truth.shape) < wrong
    given = np.where(flipped, -truth, truth)
    given[rng.random(truth.shape) < unknown] = 0
    identity = rng.integers(images // 3, size=images)
    return Material(NAMES, given, identity_folds(identity), identity, Shown(vectors), seed=seed), flipped


def changed(material, given):
    return Material(
        material.names, given, material.fold, material.identity, material.views, seed=material.seed
    )


def by_hand(material, fold, label):
    """Evidence of a fold from scipy's densities and scikit-learn's covariance."""
    vectors = material.views.embeddings(fold, label).astype(np.float64)
    given = material.given[:, label]
    rows = [np.flatnonzero((material.fold != fold) & (given == sign)) for sign in (1, -1)]
    means = [vectors[mine].mean(axis=0) for mine in rows]
    spread = np.concatenate([vectors[mine] - mean for mine, mean in zip(rows, means, strict=True)])
    covariance = ledoit_wolf(spread, assume_centered=True)[0]
    have, lack = (multivariate_normal(mean, covariance).logpdf(vectors) for mean in means)
    odds = have - lack + np.log(len(rows[0]) / len(rows[1]))
    both = np.concatenate(rows)
    calibration = fit_calibration(odds[None, both], given[both, None], ("label",))
    return expit(calibration.logits(odds[None], [0])[0])[material.inside(fold)]


@pytest.mark.parametrize("by_fold", [False, True])
def test_the_evidence_is_that_of_densities_written_out(by_fold):
    material, _ = make(by_fold=by_fold)
    before = material.given.copy()
    found = Likelihood().evidence(material, track=silent)
    assert found.shape == (3, 500)
    assert found.dtype == np.float32
    for fold in range(5):
        for label in range(3):
            expected = by_hand(material, fold, label)
            np.testing.assert_allclose(found[label, material.inside(fold)], expected, rtol=1e-4, atol=1e-6)
    assert (material.given == before).all()
    np.testing.assert_array_equal(Likelihood().evidence(material, track=silent), found)


def test_it_finds_flipped_labels():
    material, flipped = make(1500, unknown=0)
    found = Likelihood().evidence(material, track=silent)
    given = np.where(material.given.T > 0, found, 1 - found)
    assert given[flipped.T].mean() < 0.4
    assert given[~flipped.T].mean() > 0.75


def test_an_entry_has_no_say_in_its_own_evidence_nor_in_its_folds():
    material, _ = make()
    found = Likelihood().evidence(material, track=silent)
    for fold in (0, 3):
        given = material.given.copy()
        inside = material.inside(fold)
        given[inside] = np.random.default_rng(1).choice([-1, 0, 1], given[inside].shape)
        again = Likelihood().evidence(changed(material, given), track=silent)
        np.testing.assert_array_equal(again[:, inside], found[:, inside])
        assert (again[:, material.outside(fold)] != found[:, material.outside(fold)]).any()


def test_unknown_labels_count_nowhere_but_are_judged():
    material, _ = make(unknown=0)
    given = material.given.copy()
    given[::2, 1] = 0
    found = Likelihood().evidence(changed(material, given), track=silent)
    assert np.isfinite(found).all()
    kept = np.flatnonzero(given[:, 1])
    views = Shown(material.views.embeddings(0, 1)[None, None, kept])
    alone = Material(NAMES[1:2], given[kept, 1:2], material.fold[kept], material.identity[kept], views)
    np.testing.assert_allclose(Likelihood().evidence(alone, track=silent)[0], found[1, kept], atol=1e-6)


def test_fewer_than_two_of_a_kind_are_no_evidence():
    material, _ = make(200)
    given = material.given.copy()
    given[:, 0], given[:, 1], given[:, 2] = 1, 0, -1
    given[[material.inside(0)[0], material.inside(0)[1], material.inside(1)[0]], 2] = 1
    fresh = changed(material, given)
    found = Likelihood().evidence(fresh, track=silent)
    assert np.isnan(found[:2]).all()
    # Fold 0 knows of one, fold 1 of two, the others of all three.
    assert (np.isnan(found[2]) == (material.fold == 0)).all()
    said = Likelihood().explain(fresh, 0, 0, None)
    assert said.rows == ()
    assert "Smiling" in said.text


def test_five_examples_are_enough_to_know_the_sixth():
    material, _ = make(600, unknown=0, wrong=0, size=8)
    vectors = np.array(material.views.embeddings(0, 0))
    given = np.full((600, 1), -1, np.int8)
    few = np.array([material.inside(fold)[0] for fold in range(5)])
    given[few] = 1
    hidden = int(material.inside(2)[1])
    vectors[[*few, hidden]] += 12
    material = Material(NAMES[:1], given, material.fold, material.identity, Shown(vectors[None, None]))
    found = Likelihood().evidence(material, track=silent)[0]
    others = np.setdiff1d(np.arange(600), [*few, hidden])
    assert min(found[few].min(), found[hidden]) > 100 * np.median(found[others])
    assert found[hidden] > 0.4
    assert found[others].max() < 0.05


@pytest.mark.parametrize("count", [4000, 60_000])
def test_probabilities_are_right_though_embeddings_are_no_gaussians(count):
    """Also where slope and offset are fitted on some of the rows."""
    rng = np.random.default_rng(0)
    vectors = rng.uniform(-3, 3, size=(count, 3)).astype(np.float32)
    chance = expit(2.5 * vectors[:, 0] - 6.0)
    truth = rng.random(count) < chance
    odds = fit_odds(vectors, np.flatnonzero(truth), np.flatnonzero(~truth))
    assert np.abs(expit(odds.of(vectors)) - chance).mean() < 0.02


def test_a_rare_label_is_not_called_frequent_for_being_fitted_on():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60_000, 2)).astype(np.float32)
    present = np.arange(9)  # three of them by their share, but `MIN_EXAMPLES` are fitted on
    odds = fit_odds(vectors, present, np.arange(9, 60_000))
    assert expit(odds.of(vectors)).mean() == pytest.approx(9 / 60_000, rel=0.5)


def test_embeddings_that_do_not_vary_or_repeat_themselves_are_no_error():
    material, _ = make(300)
    still = np.ones((1, 3, 300, 4), np.float32)
    found = Likelihood().evidence(
        Material(NAMES, material.given, material.fold, material.identity, Shown(still)), track=silent
    )
    assert np.isnan(found).all()
    dead = np.array(material.views.embeddings(0, 0))
    dead = np.concatenate([dead, dead, np.zeros_like(dead)], axis=1)
    views = Shown(np.stack([dead] * 3)[None])
    found = Likelihood().evidence(
        Material(NAMES, material.given, material.fold, material.identity, views), track=silent
    )
    assert np.isfinite(found).all()


def test_an_explanation_gives_the_probability_and_the_counts():
    material, _ = make(unknown=0)
    found = Likelihood().evidence(material, track=silent)
    row = int(material.inside(1)[0])
    said = Likelihood().explain(material, row, 1, float(found[1, row]))
    outside = material.given[material.outside(1), 1]
    assert f"{(outside > 0).sum()} with it" in said.text
    assert f"{(outside < 0).sum()} without" in said.text
    assert f"{found[1, row]:.1%}" in said.text
    assert said.rows == ()


def test_embeddings_that_are_none_are_refused():
    material, _ = make(60)
    holed = np.zeros((1, 3, 60, 5), np.float32)
    holed[0, 1, 7, 2] = np.inf
    spoilt = Material(NAMES, material.given, material.fold, material.identity, Shown(holed))
    with pytest.raises(AuditError, match="1 of 60 embeddings of Eyeglasses hold NaN"):
        Likelihood().evidence(spoilt, track=silent)
