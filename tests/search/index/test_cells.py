import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olrsearch.core.errors import VectorError
from olrsearch.search.index import cells as cells_module
from olrsearch.search.index.cells import Cells, all_blocks


def clouds(count=3000, size=6, seed=0):
    """Vectors about a few centres, far from the origin, as embeddings lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(7, size)) * 2 + 5
    return (centres[rng.integers(7, size=count)] + rng.normal(size=(count, size))).astype(np.float32)


def numbers(rows):
    """What candidates carry here: which they are."""
    return rows[:, None].astype(np.float32)


def blocks(vectors, queries, references, least):
    return Cells(vectors).blocks(queries, references, numbers(references), least)


def squared(vectors, queries, candidates):
    gap = vectors[queries][:, None].astype(np.float64) - vectors[candidates][None].astype(np.float64)
    return np.square(gap).sum(axis=2)


def lengths(vectors, queries):
    """What blocks leave out: the query's squared length, less the mean of all vectors."""
    return np.square(vectors[queries].astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)).sum(axis=1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 100))
def test_a_scan_over_all_gives_every_distance_once(count, size, seed):
    vectors = clouds(count, size, seed)
    rng = np.random.default_rng(seed)
    queries, references = (np.flatnonzero(rng.random(count) < share) for share in (0.5, 0.8))
    seen = []
    for rows, candidates, distances in all_blocks(vectors, queries, references, numbers(references)):
        assert candidates[:, 0].tolist() == references.tolist()
        expected = squared(vectors, rows, references) - lengths(vectors, rows)[:, None]
        np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-3)
        seen += rows.tolist()
    assert seen == queries.tolist()


def test_a_large_scan_comes_in_blocks():
    vectors = clouds(9000)
    every = np.arange(9000)
    blocks = list(all_blocks(vectors, every, every[:8000], numbers(every[:8000])))
    assert len(blocks) > 100
    assert np.concatenate([rows for rows, _, _ in blocks]).tolist() == every.tolist()


def test_cells_are_those_of_the_nearest_centre_and_hold_all():
    vectors = clouds()
    cells = Cells(vectors, size=100)
    assert cells.count == 30
    counts = np.bincount(cells.cell, minlength=30)
    assert counts.sum() == len(vectors)
    assert counts.min() >= 1  # every centre is one of the vectors
    # Vectors of one cell lie together: nearer to its mean than to those of nearly all others.
    means = np.stack([vectors[cells.cell == cell].mean(axis=0) for cell in range(30)])
    order = squared(np.concatenate([vectors, means]), np.arange(3000), np.arange(3000, 3030)).argsort(axis=1)
    places = (order == cells.cell[:, None]).argmax(axis=1)
    assert places.mean() < 1


def test_candidates_of_cells_hold_most_of_the_nearest():
    vectors = clouds()
    queries, references = np.arange(0, 3000, 5), np.setdiff1d(np.arange(3000), np.arange(0, 3000, 5))
    found, seen = 0.0, []
    for rows, carried, distances in Cells(vectors, size=60).blocks(
        queries, references, numbers(references), 400
    ):
        candidates = carried[:, 0].astype(np.int64)
        assert np.isin(candidates, references).all()
        assert len(np.unique(candidates)) == len(candidates)
        assert 400 <= len(candidates) <= 800
        np.testing.assert_allclose(
            distances,
            squared(vectors, rows, candidates) - lengths(vectors, rows)[:, None],
            rtol=1e-4,
            atol=1e-3,
        )
        truth = references[np.argsort(squared(vectors, rows, references), axis=1)[:, :20]]
        found += np.isin(truth, candidates).mean(axis=1).sum()
        seen += rows.tolist()
    assert sorted(seen) == queries.tolist()
    assert found / len(queries) > 0.85  # a random choice of as many holds a fifth


def test_cells_far_from_all_references_find_them_too(monkeypatch):
    vectors = clouds(3000)
    queries, references = np.arange(100), np.arange(2500, 3000)
    expected = [(rows, np.sort(found[:, 0])) for rows, found, _ in blocks(vectors, queries, references, 60)]
    monkeypatch.setattr(cells_module, "_AROUND", 2)
    again = [(rows, np.sort(found[:, 0])) for rows, found, _ in blocks(vectors, queries, references, 60)]
    for (rows, found), (same_rows, same) in zip(expected, again, strict=True):
        assert rows.tolist() == same_rows.tolist()
        assert found.tolist() == same.tolist()


def test_few_references_are_all_candidates():
    vectors = clouds(500)
    cells = Cells(vectors, size=50)
    references = np.array([3, 50, 499])
    for _, candidates, _ in cells.blocks(np.arange(100), references, numbers(references), 10):
        assert sorted(candidates[:, 0].tolist()) == [3, 50, 499]
    for _, candidates, distances in cells.blocks(np.arange(100), references[:0], numbers(references[:0]), 10):
        assert len(candidates) == 0
        assert distances.shape[1] == 0


def test_equal_vectors_do_not_make_everything_a_candidate():
    vectors = clouds(4000)
    vectors[:3000] = 0
    cells = Cells(vectors, size=100)
    most = max(
        len(candidates)
        for _, candidates, _ in cells.blocks(np.arange(4000), np.arange(4000), numbers(np.arange(4000)), 300)
    )
    assert most == 600


def test_the_draw_follows_the_seed():
    vectors = clouds()
    assert (Cells(vectors, seed=1).cell == Cells(vectors, seed=1).cell).all()
    assert (Cells(vectors, seed=1).cell != Cells(vectors, seed=2).cell).any()
    before = vectors.copy()
    list(blocks(vectors, np.arange(10), np.arange(10, 3000), 50))
    assert (vectors == before).all()


def test_what_is_no_set_of_vectors_is_refused():
    for bad in (np.zeros((3, 2)), np.zeros((0, 2), np.float32), np.zeros(3, np.float32)):
        with pytest.raises(VectorError, match="need float32 vectors"):
            Cells(bad)
    holed = clouds(20)
    holed[[4, 7], 2] = np.nan
    with pytest.raises(VectorError, match="2 of 20 vectors hold NaN"):
        next(all_blocks(holed, np.arange(3), np.arange(20), numbers(np.arange(20))))
