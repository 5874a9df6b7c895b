from __future__ import annotations

import numpy as np

from olrsearch.core.arrays import blocks_of


def test_blocks_hold_all_rows_in_order_and_the_last_what_is_left():
    array = np.arange(14).reshape(7, 2)
    blocks = list(blocks_of(array, 3))
    assert [len(block) for block in blocks] == [3, 3, 1]
    assert np.array_equal(np.concatenate(blocks), array)
    assert blocks[0].base is not None, "nothing is copied"
    assert list(blocks_of(array[:0], 3)) == []
