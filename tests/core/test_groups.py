from __future__ import annotations

import numpy as np

from olrsearch.core.groups import cluster_of, told_apart


def test_an_unknown_identity_is_one_of_its_own():
    identity = np.array([4, -1, 4, 0, -1, -7])
    found = told_apart(identity)
    assert found[[0, 2, 3]].tolist() == [4, 4, 0]
    assert len(np.unique(found)) == 5
    assert identity.tolist() == [4, -1, 4, 0, -1, -7]
    assert len(np.unique(told_apart(np.full(3, -1)))) == 3
    assert told_apart(np.empty(0, np.int64)).shape == (0,)


def test_clusters_are_numbered_from_0_without_gaps():
    found = cluster_of(np.array([7, 7, -1, 3, -1, 3]))
    assert found.dtype == np.int64
    assert found[0] == found[1]
    assert found[3] == found[5]
    assert sorted(set(found.tolist())) == [0, 1, 2, 3]
    assert cluster_of(np.empty(0, np.int64)).shape == (0,)
