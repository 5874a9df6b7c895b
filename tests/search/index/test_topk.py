import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.core.errors import VectorError
from olrsearch.search.index.topk import top_k


@given(
    st.lists(st.integers(-3, 3), max_size=40),
    st.integers(0, 50),
    st.integers(0, 20),
    st.one_of(st.none(), st.integers(-4, 4)),
    st.integers(0, 2**32 - 1),
)
def test_equals_a_full_sort_with_ties_by_id(values, count, offset, cut, seed):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(1000)[: len(values)]
    allowed = rng.random(len(values)) < 0.7
    distances = np.array(values, np.float64)
    found = top_k(distances, ids, count, offset=offset, max_distance=cut, allowed=allowed)
    ranked = sorted((v, i, row) for row, (v, i) in enumerate(zip(values, ids, strict=True)) if allowed[row])
    within = [row for v, _, row in ranked if cut is None or v <= cut]
    assert found.rows.tolist() == within[offset : offset + count]
    assert (found.candidates, found.total) == (len(ranked), len(within))


def test_infinite_distances_are_ranked_and_nan_is_refused():
    ids = np.arange(3)
    assert top_k(np.array([np.inf, 1.0, np.inf]), ids, 2).rows.tolist() == [1, 0]
    with pytest.raises(VectorError, match="1 distances are NaN"):
        top_k(np.array([0.0, np.nan, 1.0]), ids, 2)
    with pytest.raises(VectorError, match="negative"):
        top_k(np.zeros(3), ids, -1)
