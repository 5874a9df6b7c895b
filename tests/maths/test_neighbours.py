"""Nearest points and their votes, against a sort of all distances."""

import numpy as np

from olrsearch.maths import neighbours
from olrsearch.maths.neighbours import nearest_rows, vote

RNG = np.random.default_rng(0)


def test_nearest_are_those_of_a_sort(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", 7)
    points = RNG.normal(size=(40, 3)).astype(np.float32)
    queries = RNG.normal(size=(20, 3)).astype(np.float32)
    distances = np.linalg.norm(queries[:, None] - points[None], axis=2)
    np.testing.assert_array_equal(
        nearest_rows(queries, points, 5), np.argsort(distances, axis=1, kind="stable")[:, :5]
    )
    own = nearest_rows(points, points, 4, same=True)
    assert not (own == np.arange(40)[:, None]).any()
    assert nearest_rows(queries, points[:3], 5).shape == (20, 3)


def test_the_most_frequent_class_wins_and_then_the_nearer():
    classes = np.array([0, 1, 2])
    rows = np.array([[0, 1, 1, 2], [2, 0, 2, 0], [1, 0, 2, 2]])
    assert vote(classes, rows).tolist() == [1, 2, 2]
