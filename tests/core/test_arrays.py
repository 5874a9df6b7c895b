from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from olrsearch.core.arrays import blocks_of, read_npy


def test_blocks_hold_all_rows_in_order_and_the_last_what_is_left():
    array = np.arange(14).reshape(7, 2)
    blocks = list(blocks_of(array, 3))
    assert [len(block) for block in blocks] == [3, 3, 1]
    assert np.array_equal(np.concatenate(blocks), array)
    assert blocks[0].base is not None, "nothing is copied"
    assert list(blocks_of(array[:0], 3)) == []


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_is_an_array_or_a_named_error_whatever_its_header_holds(tmp_path, mapped):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6).reshape(2, 3))
    good = path.read_bytes()
    assert read_npy(path, mapped=mapped).tolist() == [[0, 1, 2], [3, 4, 5]]
    rng = np.random.default_rng(0)
    for at in range(128):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << int(rng.integers(8))]) + good[at + 1 :])
        with suppress(ValueError):
            read_npy(path, mapped=mapped)
    for bad in (b"", good[:100], good.replace(b"(2, 3)", b"(9**9,"), good.replace(b"(2, 3)", b"((2, 3")):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"."):
            read_npy(path, mapped=mapped)
    np.savez(tmp_path / "b", a=np.zeros(2))
    with pytest.raises(ValueError, match="no array"):
        read_npy(tmp_path / "b.npz", mapped=mapped)
