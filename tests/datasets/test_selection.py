from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olrsearch.core.errors import DatasetError
from olrsearch.datasets import selection_split


@settings(deadline=None)
@given(
    st.lists(st.none() | st.integers(0, 12), max_size=60),
    st.integers(0, 40),
    st.integers(0, 5),
)
def test_whole_identities_until_the_size_is_reached(identities, size, seed):
    keys = [f"{i}.jpg" for i in range(len(identities))]
    chosen = selection_split(identities, keys, size=size, seed=seed)
    assert chosen.dtype == np.bool_
    assert chosen.sum() >= min(size, len(keys))
    groups = [key if identity is None else identity for identity, key in zip(identities, keys, strict=True)]
    inside = {group for group, taken in zip(groups, chosen, strict=True) if taken}
    outside = {group for group, taken in zip(groups, chosen, strict=True) if not taken}
    assert not inside & outside
    if inside:
        largest = max(groups.count(group) for group in inside)
        assert chosen.sum() < size + largest


def test_the_order_of_images_does_not_matter_and_the_seed_does():
    identities = [i // 2 for i in range(200)]
    keys = [f"{i}.jpg" for i in range(200)]
    chosen = selection_split(identities, keys, size=50)
    backwards = selection_split(identities[::-1], keys[::-1], size=50)
    assert np.array_equal(chosen, backwards[::-1])
    assert not np.array_equal(chosen, selection_split(identities, keys, size=50, seed=1))


def test_most_of_the_choice_stays_when_images_are_added():
    keys = [f"{i}.jpg" for i in range(400)]
    before = selection_split([None] * 380, keys[:380], size=100)
    after = selection_split([None] * 400, keys, size=100)
    assert (before & after[:380]).sum() >= 90


def test_wrong_arguments_are_named():
    with pytest.raises(DatasetError, match="1 identities for 2 keys"):
        selection_split([1], ["a", "b"])
    with pytest.raises(DatasetError, match="selection of -1"):
        selection_split([1], ["a"], size=-1)
