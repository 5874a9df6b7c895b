"""What evidence is worth, and what it comes to."""

import numpy as np
import pytest
from made_stores import LABELS, fill

from olrsearch.audit.runs import ranking
from olrsearch.audit.runs.ranking import combine, find_suspects, fit_weights, injected_rows
from olrsearch.audit.runs.reviewed import Reviewed
from olrsearch.store import Backend, DecisionRequest


def test_errors_are_injected_into_whole_identities():
    identity = np.repeat(np.arange(40), 5)
    seen = np.zeros(200, np.bool_)
    rows = injected_rows(identity, seen, seed=1, most=50)
    assert 45 < len(rows) <= 50
    assert (np.diff(rows) > 0).all()
    chosen = np.unique(identity[rows])
    assert len(rows) == np.isin(identity, chosen).sum()
    assert rows.tolist() != injected_rows(identity, seen, seed=2, most=50).tolist()
    assert injected_rows(identity, seen, seed=1).tolist() == list(range(200))
    assert injected_rows(np.full(60, 7), np.zeros(60, np.bool_), seed=0, most=10).tolist() == list(range(60))
    assert len(injected_rows(np.full(60, -1), np.zeros(60, np.bool_), seed=0, most=10)) == 10


def test_errors_are_injected_among_images_that_training_did_not_see(monkeypatch):
    seen = np.arange(30) < 18
    everybody = np.full(30, -1)
    assert injected_rows(everybody, seen, seed=0).tolist() == list(range(30))  # too few are unseen
    monkeypatch.setattr(ranking, "LEAST_UNSEEN", 12)
    assert injected_rows(everybody, seen, seed=0).tolist() == list(range(18, 30))


def test_suspects_by_score_and_id():
    given = np.array([[1, 1], [1, -1], [-1, 0], [0, 1], [1, 1]], np.int8)
    present = np.array([[0.9, 0.25, 0.75, 0.1, 0.25], [0.6, 0.3, 0.9, np.nan, 0.6]], np.float32)
    found, suspicious = find_suspects(present, given, np.array([2, 4, 6, 8, 10]), [7, 3])
    assert suspicious == 3
    assert found.image_id.tolist() == [4, 6, 10, 2, 10, 4, 2]
    assert found.position.tolist() == [7, 7, 7, 3, 3, 3, 7]
    assert found.given.tolist() == [1, -1, 1, 1, 1, -1, 1]
    np.testing.assert_allclose(found.score, [0.25, 0.25, 0.25, 0.6, 0.6, 0.7, 0.9], atol=1e-6)
    np.testing.assert_allclose(found.present, [0.25, 0.75, 0.25, 0.6, 0.6, 0.3, 0.9], atol=1e-6)


@pytest.mark.parametrize(
    ("least", "most", "kept"), [(3, 100, 40), (60, 100, 60), (3, 10, 10), (1000, 2000, 100)]
)
def test_how_many_suspects_are_kept(monkeypatch, least, most, kept):
    monkeypatch.setattr(ranking, "LEAST_KEPT", least)
    monkeypatch.setattr(ranking, "MOST_KEPT", most)
    present = np.linspace(0.1, 0.85, 100, dtype=np.float32)[None]
    present[0, 40:] = np.maximum(present[0, 40:], 0.5)
    present[0, :40] = np.minimum(present[0, :40], 0.49)
    found, suspicious = find_suspects(present, np.ones((100, 1), np.int8), np.arange(100), [0])
    assert suspicious == 40
    assert len(found.score) == kept


def made(count=400, seed=0):
    """One good scorer and one that guesses, on labels with a tenth of errors."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array([-1, 1], np.int8), (count, 2))
    given = np.where(rng.random((count, 2)) < 0.1, -truth, truth).astype(np.int8)
    good = np.where(truth.T > 0, 0.9, 0.1) + rng.normal(0, 0.03, (2, count))
    return {"good": good.astype(np.float32), "guess": rng.random((2, count)).astype(np.float32)}, given, truth


def test_reviewed_entries_count_beside_injected_ones():
    injected, given, truth = made()
    nobody = Reviewed(np.zeros((400, 2), np.int8), np.zeros((400, 2), np.int8))
    names = ("A", "B")
    plain = fit_weights(injected, given, truth, names, injected, nobody)
    assert len(nobody) == 0
    # People find, again and again, that what the good scorer says is wrong.
    evidence = {name: part.copy() for name, part in injected.items()}
    before, after = np.zeros((400, 2), np.int8), np.zeros((400, 2), np.int8)
    before[:80, 0] = np.where(evidence["good"][0, :80] > 0.5, -1, 1)
    after[:80, 0] = before[:80, 0]
    taught = fit_weights(injected, given, truth, names, evidence, Reviewed(before, after))
    assert taught.weight[0, 0] < 0.7 * plain.weight[0, 0]
    assert combine(taught, injected, given, names).shape == (2, 400)


def test_nothing_is_said_where_no_scorer_says_anything():
    injected, given, truth = made()
    nobody = Reviewed(np.zeros((400, 2), np.int8), np.zeros((400, 2), np.int8))
    weights = fit_weights(injected, given, truth, ("A", "B"), injected, nobody)
    for part in injected.values():
        part[1, :7] = np.nan
    injected["guess"][1, 7] = np.nan
    present = combine(weights, injected, given, ("A", "B"))
    assert np.isnan(present[1]).tolist() == [True] * 7 + [False] * 393
    assert np.isfinite(present[0]).all()


def test_what_people_decided(tmp_path):
    with Backend.create(tmp_path / "store") as store:
        ids = fill(store)
        given = store.snapshot().labels(ids, LABELS)  # 1, 0, −1 each
        assert given[0].tolist() == [1, 0, -1]

        def decide(*decisions):
            with store.writer() as writer:
                writer.decisions.decide(
                    [
                        DecisionRequest(ids[row], label, verdict, value, who="ann")
                        for row, label, verdict, value in decisions
                    ]
                )

        decide(
            (0, "Smiling", "accept", None),
            (1, "Smiling", "flip", None),
            (2, "Smiling", "unsure", None),
            (3, "Smiling", "flip", None),
            (4, "Male", "set", 1),
            (5, "Smiling", "set", 0),
            (6, "Smiling", "flip", None),
            (7, "Eyeglasses", "set", 1),
        )
        decide((3, "Smiling", "undo", None), (6, "Smiling", "accept", None))
        found = Reviewed.read(store.snapshot(), np.asarray(ids), LABELS)
    assert len(found) == 4
    expected = {(0, 0): (1, 1), (1, 0): (1, -1), (4, 2): (-1, 1), (6, 0): (1, -1)}
    for row, column in np.ndindex(found.truth.shape):
        pair = int(found.before[row, column]), int(found.truth[row, column])
        assert pair == expected.get((row, column), (0, 0)), (row, column)
    against = found.against(given)
    assert against[[0, 1, 4, 6], [0, 0, 2, 0]].tolist() == [-1, 1, 1, 1]
    assert np.count_nonzero(against) == 4
