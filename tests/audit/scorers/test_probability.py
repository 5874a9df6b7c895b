"""Probabilities of models that did not see the fold."""

import numpy as np
import pytest
from made_materials import COMMON, FLEETING, NEVER, PERSONAL, RARE, made_material
from sklearn.linear_model import LogisticRegression

from olrsearch.audit.scorers import probability
from olrsearch.audit.scorers.material import Material
from olrsearch.audit.scorers.probability import STRENGTHS, Probability
from olrsearch.core.progress import silent
from olrsearch.maths.calibration import MIN_EXAMPLES


class Looks:
    """Features alone."""

    def __init__(self, features):
        self.all = features
        self.asked = []

    def features(self, fold, rows):
        self.asked.append((fold, rows))
        return self.all[rows]

    def embeddings(self, fold, label):
        raise AssertionError(fold, label)


def material(given, features, folds=3, identity=None):
    rows = np.arange(len(given))
    names = tuple("ABCDEF"[: given.shape[1]])
    identity = rows if identity is None else identity
    return Material(names, given, identity % folds, identity, Looks(features.astype(np.float32)))


def drawn(count=240, labels=2, seed=0, strength=2.0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 5)) * [1, 3, 0.2, 1, 1]
    logits = features / [1, 3, 0.2, 1, 1] @ rng.normal(size=(5, labels)) * strength
    given = np.where(logits + rng.logistic(size=logits.shape) > 0, 1, -1).astype(np.int8)
    return given, features


def test_it_is_the_logistic_regression_of_the_other_folds(monkeypatch):
    monkeypatch.setattr(probability, "STRENGTHS", (0.05,))
    given, features = drawn()
    given[::9, 1] = 0
    found = material(given, features)
    evidence = Probability().evidence(found, track=silent)
    for fold in range(3):
        rows, inside = found.outside(fold), found.inside(fold)
        mean, scale = features[rows].mean(axis=0), features[rows].std(axis=0)
        standard = (features - mean) / scale
        for label in range(2):
            known = rows[given[rows, label] != 0]
            model = LogisticRegression(C=0.05, tol=1e-8, max_iter=1000)
            model.fit(standard[known], given[known, label])
            expected = model.predict_proba(standard[inside])[:, 1]
            assert evidence[label, inside] == pytest.approx(expected, abs=3e-3)


def test_no_fold_is_shown_to_its_own_model():
    given, features = drawn()
    found = material(given, features)
    Probability().evidence(found, track=silent)
    fitted, asked = found.views.asked[::2], found.views.asked[1::2]
    for fold in range(3):
        assert fitted[fold][0] == asked[fold][0] == fold
        assert fitted[fold][1].tolist() == found.outside(fold).tolist()
        assert asked[fold][1].tolist() == found.inside(fold).tolist()


def test_c_is_what_the_labels_allow():
    """Much noise asks for a small one, clear labels for a large one."""
    chosen = []
    for strength in (0.1, 30.0):
        given, features = drawn(600, strength=strength)
        chosen.append(probability._choose(features.astype(np.float32), given, np.arange(600)))
    assert chosen[0] <= 1e-3
    assert chosen[1] == STRENGTHS[-1]


def test_images_are_asked_for_in_blocks_and_fitted_on_in_a_choice(monkeypatch):
    given, features = drawn()
    found = material(given, features)
    whole = Probability().evidence(found, track=silent)
    monkeypatch.setattr(probability, "_BLOCK", 32)
    assert np.allclose(Probability().evidence(found, track=silent), whole, atol=1e-6)
    monkeypatch.setattr(probability, "MOST", 100)
    found.views.asked.clear()
    some = Probability().evidence(found, track=silent)
    assert max(len(rows) for _, rows in found.views.asked) == 100
    assert np.isfinite(some).all()
    assert not np.allclose(some, whole, atol=1e-3)


def test_labels_need_examples_of_both_classes_in_every_fit():
    material_, _ = made_material()
    evidence = Probability().evidence(material_, track=silent)
    assert np.isfinite(evidence[COMMON]).all()
    assert np.isnan(evidence[NEVER]).all()
    for fold in range(material_.folds):
        seen = (material_.given[material_.outside(fold), RARE] > 0).sum()
        inside = evidence[RARE, material_.inside(fold)]
        assert np.isfinite(inside).all() if seen >= MIN_EXAMPLES else np.isnan(inside).all()


def test_few_persons_and_few_labels_are_no_error():
    given, features = drawn()
    four = material(given, features, folds=2, identity=np.arange(240) % 4)
    assert np.isfinite(Probability().evidence(four, track=silent)).all()
    two = material(given, features, folds=2, identity=np.arange(240) % 2)
    assert np.isfinite(Probability().evidence(two, track=silent)).all()
    # Twelve known entries: the held-out fifth of all images would often hold none of them.
    for seed in range(8):
        known = np.random.default_rng(seed).permutation(240)[:12]
        sparse = np.zeros_like(given[:, :1])
        sparse[known, 0] = np.tile([-1, 1], 6)
        model = probability._choose(features.astype(np.float32), sparse, np.arange(240))
        assert model in STRENGTHS


def test_progress_is_by_folds():
    seen = []

    def track(items, *, total, what, unit="images"):
        seen.append((total, what, unit))
        yield from items

    Probability().evidence(made_material()[0], track=track)
    assert seen == [(4, "probability", "folds")]


def test_it_says_why():
    found, _ = made_material()
    scorer = Probability()
    assert (
        scorer.explain(found, 3, PERSONAL, 0.1234).text == "Personal is 12.3% likely by how the image looks"
    )
    assert scorer.explain(found, 3, FLEETING, None).text == "too few labelled examples of Fleeting"
