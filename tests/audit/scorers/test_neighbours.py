import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.decomposition import PCA

from olrsearch.audit.scorers import neighbours
from olrsearch.audit.scorers.material import Material, identity_folds
from olrsearch.audit.scorers.neighbours import LEAST, MOST, PRIOR, SHARE, SHOWN, NeighbourVote, exact_votes
from olrsearch.audit.scorers.vectors import COORDINATES, VARIANCE
from olrsearch.core.errors import AuditError
from olrsearch.core.progress import silent

NAMES = ("Smiling", "Eyeglasses", "Bald")
RATES = (0.45, 0.2, 0.03)


class Shown:
    """Vectors that say, less or more, whether the label is there; others for every fold if asked for."""

    def __init__(self, vectors, *, by_fold=False):
        self._vectors = vectors  # float32 [F, L, N, k], or [1, L, N, k]
        self._by_fold = by_fold

    def embeddings(self, fold, label):
        return self._vectors[fold if self._by_fold else 0, label]


def make(images=500, *, size=5, seed=0, unknown=0.1, wrong=0.05, by_fold=False, rates=RATES, decay=1.0):
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random((images, len(rates))) < rates, 1, -1).astype(np.int8)
    shift = truth.T[None, :, :, None] * np.linspace(0.2, 1, size)
    vectors = shift + rng.normal(
        size=(5 if by_fold else 1, len(rates), images, size)
    ) * 0.8 * decay ** np.arange(size)
    flipped = rng.random(truth.shape) < wrong
    given = np.where(flipped, -truth, truth)
    given[rng.random(truth.shape) < unknown] = 0
    identity = rng.integers(images // 3, size=images)
    names = NAMES[: len(rates)]
    views = Shown(vectors.astype(np.float32), by_fold=by_fold)
    return Material(names, given, identity_folds(identity), identity, views, seed=seed), flipped


def changed(material, given):
    return Material(
        material.names, given, material.fold, material.identity, material.views, seed=material.seed
    )


def principal(vectors):
    found = PCA(svd_solver="full").fit(vectors.astype(np.float64))
    enough = int(np.searchsorted(found.explained_variance_ratio_.cumsum(), VARIANCE)) + 1
    return found.transform(vectors.astype(np.float64))[:, : max(COORDINATES, enough)]


def looped(material, row, label):
    """The vote of one image, image by image."""
    fold = material.fold[row]
    vectors = principal(material.views.embeddings(int(fold), label))
    voters = [
        (float(np.square(vectors[other] - vectors[row]).sum()), int(material.given[other, label] > 0), other)
        for other in range(material.images)
        if material.fold[other] != fold and material.given[other, label] != 0
    ]
    present = sum(vote for _, vote, _ in voters)
    rarer = min(present, len(voters) - present)
    if not rarer:
        return float("nan"), []
    count = min(len(voters), MOST, max(LEAST, min(rarer, len(voters) // SHARE)))
    near = sorted(voters)[:count]
    share = (sum(vote for _, vote, _ in near) + PRIOR * present / len(voters)) / (count + PRIOR)
    return share, near


@pytest.mark.parametrize("by_fold", [False, True])
def test_votes_are_those_of_a_loop_over_images(by_fold):
    material, _ = make(by_fold=by_fold)
    before = material.given.copy()
    found = NeighbourVote().evidence(material, track=silent)
    assert found.shape == (3, 500)
    assert found.dtype == np.float32
    for row in range(0, 500, 41):
        for label in range(3):
            assert found[label, row] == pytest.approx(looped(material, row, label)[0], abs=1e-6)
    assert (material.given == before).all()


def test_votes_find_flipped_labels():
    material, flipped = make(1500, unknown=0)
    found = NeighbourVote().evidence(material, track=silent)
    given = np.where(material.given.T > 0, found, 1 - found)
    assert given[flipped.T].mean() < 0.35
    assert given[~flipped.T].mean() > 0.75
    assert found.min() > 0
    assert found.max() < 1


@pytest.mark.parametrize("exact", [0, 30_000])
def test_an_entry_has_no_say_in_its_own_evidence_nor_in_its_folds(exact, monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT", exact)
    material, _ = make(700)
    found = NeighbourVote().evidence(material, track=silent)
    for fold in (0, 3):
        given = material.given.copy()
        inside = material.inside(fold)
        given[inside] = np.random.default_rng(1).choice([-1, 0, 1], given[inside].shape)
        again = NeighbourVote().evidence(changed(material, given), track=silent)
        np.testing.assert_array_equal(again[:, inside], found[:, inside])
        assert (again[:, material.outside(fold)] != found[:, material.outside(fold)]).any()


def test_unknown_labels_do_not_vote_but_are_judged():
    material, _ = make(unknown=0, size=3)  # in all three coordinates, whoever is there
    given = material.given.copy()
    given[::2, 1] = 0
    halved = NeighbourVote().evidence(changed(material, given), track=silent)
    assert np.isfinite(halved).all()
    # Who does not vote may as well not be there.
    kept = np.flatnonzero(given[:, 1])
    views = Shown(material.views.embeddings(0, 1)[None, None, kept])
    alone = Material(NAMES[1:2], given[kept, 1:2], material.fold[kept], material.identity[kept], views)
    np.testing.assert_allclose(
        NeighbourVote().evidence(alone, track=silent)[0], halved[1, kept], rtol=0, atol=1e-6
    )


def test_labels_of_one_kind_or_none_have_no_evidence():
    material, _ = make(200)
    given = material.given.copy()
    given[:, 0], given[:, 1] = 1, 0
    given[:, 2] = -1
    given[material.inside(2)[0], 2] = 1  # the only one, so fold 2 knows of none
    fresh = changed(material, given)
    found = NeighbourVote().evidence(fresh, track=silent)
    assert np.isnan(found[:2]).all()
    assert (np.isnan(found[2]) == (material.fold == 2)).all()
    silent_row = int(material.inside(2)[0])
    said = NeighbourVote().explain(fresh, silent_row, 2, None)
    assert said.rows == ()
    assert "no vote" in said.text


def test_five_examples_are_enough_for_a_majority():
    material, _ = make(400, unknown=0, wrong=0, rates=(0.5,), size=4)
    vectors = np.array(material.views.embeddings(0, 0))
    given = np.full((400, 1), -1, np.int8)
    few = np.array([material.inside(fold)[0] for fold in range(5)])
    given[few] = 1
    vectors[few] += 20
    material = Material(NAMES[:1], given, material.fold, material.identity, Shown(vectors[None, None]))
    found = NeighbourVote().evidence(material, track=silent)[0]
    # Four of the ten votes of each are those of the others.
    np.testing.assert_allclose(found[few], (4 + PRIOR * 0.0125) / (LEAST + PRIOR), atol=1e-3)
    assert found[given[:, 0] < 0].max() < 0.05


def test_images_equally_near_all_vote_whatever_their_order():
    material, _ = make(300, unknown=0)
    vectors = np.zeros((1, 3, 300, 5), np.float32)
    views = Shown(vectors)
    found = NeighbourVote().evidence(
        Material(NAMES, material.given, material.fold, material.identity, views), track=silent
    )
    for fold in range(5):
        share = (material.given[material.outside(fold)] > 0).mean(axis=0)
        np.testing.assert_allclose(
            found[:, material.inside(fold)],
            np.tile(share[:, None], material.inside(fold).shape[0]),
            atol=1e-6,
        )


@pytest.mark.slow
def test_cells_vote_as_all_images_do(monkeypatch):
    material, _ = make(6000, size=8, unknown=0.02, decay=0.6)
    monkeypatch.setattr(neighbours, "EXACT", 6000)
    exact = NeighbourVote().evidence(material, track=silent)
    monkeypatch.setattr(neighbours, "EXACT", 5999)
    monkeypatch.setattr(neighbours, "CANDIDATES", 2000)
    near = NeighbourVote().evidence(material, track=silent)
    assert (near != exact).any()
    for label in range(3):
        assert spearmanr(near[label], exact[label])[0] > 0.95
    np.testing.assert_array_equal(NeighbourVote().evidence(material, track=silent), near)
    some = np.array([3, 70, 71, 5999])
    np.testing.assert_allclose(exact_votes(material, some, track=silent), exact[:, some], atol=1e-6)


def test_cells_follow_the_vectors_of_each_fold(monkeypatch):
    material, _ = make(1200, by_fold=True)
    monkeypatch.setattr(neighbours, "EXACT", 0)
    monkeypatch.setattr(neighbours, "CANDIDATES", 2000)  # more than there are: as good as exact
    near = NeighbourVote().evidence(material, track=silent)
    monkeypatch.setattr(neighbours, "EXACT", 30_000)
    np.testing.assert_allclose(NeighbourVote().evidence(material, track=silent), near, atol=1e-6)


def test_an_explanation_names_the_nearest_that_contradict():
    material, flipped = make(800, unknown=0.05)
    scorer = NeighbourVote()
    found = scorer.evidence(material, track=silent)
    row = int(np.flatnonzero(flipped[:, 0] & (material.given[:, 0] > 0))[0])
    share, near = looped(material, row, 0)
    against = [other for _, vote, other in near if not vote]
    said = scorer.explain(material, row, 0, float(found[0, row]))
    assert found[0, row] == pytest.approx(share, abs=1e-6)
    assert said.text == f"{len(against)} of the {len(near)} nearest in Smiling lack it"
    assert said.rows == tuple(against[:SHOWN])
    turned = material.given.copy()
    turned[row, 0] = -1
    said = scorer.explain(changed(material, turned), row, 0, float(found[0, row]))
    having = [other for _, vote, other in near if vote]
    assert said.text == f"{len(having)} of the {len(near)} nearest in Smiling have it"
    assert said.rows == tuple(having[:SHOWN])
    turned[row, 0] = 0  # nothing to contradict: the majority speaks
    said = scorer.explain(changed(material, turned), row, 0, float(found[0, row]))
    most = max(against, having, key=len)
    assert said.rows == tuple(most[:SHOWN])


def test_embeddings_that_are_none_are_refused():
    material, _ = make(60)
    for vectors, message in (
        (np.zeros((1, 3, 59, 5), np.float32), "one row for each of 60 images"),
        (np.zeros((1, 3, 60, 5)), "float64"),
        (np.full((1, 3, 60, 5), np.nan, np.float32), "60 of 60 embeddings of Smiling hold NaN"),
    ):
        spoilt = Material(NAMES, material.given, material.fold, material.identity, Shown(vectors))
        with pytest.raises(AuditError, match=message):
            NeighbourVote().evidence(spoilt, track=silent)
