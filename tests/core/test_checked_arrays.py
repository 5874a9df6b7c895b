"""Arrays that are compared with checksums as they are read."""

from __future__ import annotations

import numpy as np
import pytest

from olrsearch.core.checked_arrays import CheckedArray
from olrsearch.core.checksums import BLOCK, FileBlocks, block_sums, block_sums_of, checking
from olrsearch.core.errors import StoreCorruptError
from olrsearch.core.files import sha256_hex


def error(path, fault):
    return StoreCorruptError(f"{path}: {fault}")


@pytest.fixture
def kept(tmp_path):
    """A file of four blocks: float32 [4, 1000, 256], a label about a block."""
    array = np.random.default_rng(0).normal(size=(4, 1000, 256)).astype(np.float32)
    path = tmp_path / "array.npy"
    np.save(path, array)
    return array, path, block_sums(path)


def opened(path, sums) -> CheckedArray:
    return CheckedArray(np.load(path, mmap_mode="r"), FileBlocks(path, sums, error))


def flip(path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 4]))


INDEXES = (
    2,
    np.int64(3),
    slice(1, 3),
    slice(None),
    slice(3, 0, -1),
    slice(2, 2),
    [0, 2],
    np.array([3, 1]),
    np.array([True, False, True, False]),
    np.array([], np.int64),
    (slice(None), 17),
    (1, slice(5, 9)),
    (slice(None), np.array([3, 999])),
    (slice(None), slice(4), 2),
    ...,
)


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_indexing_gives_what_numpy_gives(kept, index):
    array, path, sums = kept
    found = opened(path, sums)
    assert np.array_equal(found[index], array[index])
    assert (found.shape, found.dtype, found.ndim, len(found)) == (array.shape, array.dtype, 3, 4)
    assert np.array_equal(np.asarray(found), array)


@pytest.mark.parametrize("index", INDEXES, ids=str)
def test_a_flip_anywhere_in_what_is_read_is_named(kept, index):
    array, path, sums = kept
    places = np.arange(array.size).reshape(array.shape)[index].ravel()
    start = path.stat().st_size - array.nbytes
    for place in places[[0, len(places) // 2, -1]] if places.size else ():
        flip(path, start + 4 * int(place))
        with pytest.raises(StoreCorruptError, match="does not match its checksum"):
            opened(path, sums)[index]
        with pytest.raises(StoreCorruptError):
            np.asarray(opened(path, sums))
        flip(path, start + 4 * int(place))
    assert np.array_equal(opened(path, sums)[index], array[index])


def test_blocks_that_are_not_read_are_not_compared(kept):
    array, path, sums = kept
    flip(path, 3 * BLOCK + 5)
    found = opened(path, sums)
    assert np.array_equal(found[0], array[0])
    assert np.array_equal(found[1, :10], array[1, :10])
    with pytest.raises(StoreCorruptError, match=r"block 3 \(bytes from 3145728\)"):
        found[3]


def test_a_block_is_compared_once(kept):
    array, path, sums = kept
    found = opened(path, sums)
    assert np.array_equal(found[0], array[0])
    flip(path, 500)
    assert found[0].shape == (1000, 256)


def test_sha256_of_older_programs(kept):
    array, path, _ = kept
    data = path.read_bytes()
    sums = [sha256_hex(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
    assert np.array_equal(opened(path, sums)[2], array[2])
    flip(path, 2 * BLOCK + 1)
    with pytest.raises(StoreCorruptError):
        opened(path, sums)[2]


def test_other_faults(kept, tmp_path):
    _, path, sums = kept
    assert block_sums_of(path.read_bytes()) == sums
    with pytest.raises(StoreCorruptError, match="more than the 2 blocks"):
        opened(path, sums[:2])[3]
    blocks = FileBlocks(tmp_path / "gone.npy", sums, error)
    with pytest.raises(StoreCorruptError, match="cannot be read"):
        blocks.check_all()


def test_checks_are_switched_off_by_the_environment(monkeypatch):
    assert checking()
    monkeypatch.setenv("OLRSEARCH_CHECKS", "off")
    assert not checking()


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_compared_is_handed_out_without_asking_again(kept, monkeypatch, whole):
    array, path, sums = kept
    blocks = FileBlocks(path, sums, error)
    found = CheckedArray(np.load(path, mmap_mode="r"), blocks)
    if whole:
        np.asarray(found)
        assert blocks.whole
    else:
        found[1:3]
        assert not blocks.whole
    monkeypatch.setattr(blocks, "check_blocks", lambda _: pytest.fail("compared again"))
    for index in (1, np.int64(2), slice(1, 3), (1, slice(5, 9)), (2, np.array([3, 999])), (1, 3, 7)):
        assert np.array_equal(found[index], array[index])
