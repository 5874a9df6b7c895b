from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olrsearch.core.errors import DatasetError, DatasetNotFoundError, ImageDecodeError, LabelFileError
from olrsearch.datasets import open_idx
from olrsearch.datasets.idx import FASHION_NAMES
from olrsearch.datasets.idx_format import format_idx, read_idx
from olrsearch.datasets.images import load_image

MNIST = Path(__file__).parents[2] / ".." / "shared" / "mnist"


def idx(array, kind=8):
    return struct.pack(f">4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def pictures(count):
    return np.random.default_rng(count).integers(0, 256, (count, 6, 5), dtype=np.uint8)


def write_standard(folder, *, compress=False, mark="-idx"):
    suffix = ".gz" if compress else ""
    pack = gzip.compress if compress else bytes
    for stem, count in (("train", 12), ("t10k", 3)):
        numbers = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{stem}-images{mark}3-ubyte{suffix}").write_bytes(pack(idx(pictures(count))))
        (folder / f"{stem}-labels{mark}1-ubyte{suffix}").write_bytes(pack(idx(numbers)))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("mark", ["-idx", ".idx"])
def test_a_folder_of_the_four_files(tmp_path, compress, mark):
    write_standard(tmp_path, compress=compress, mark=mark)
    dataset = open_idx(tmp_path)
    records = list(dataset)
    assert dataset.kind == "idx"
    assert dataset.label_names[:2] == ("Digit_0", "Digit_1")
    assert len(records) == len(dataset) == 15
    train = next(record for record in records if record.key == "train-00011")
    assert (train.partition, train.identity, train.labels.index(1)) == ("train", None, 1)
    assert sum(train.labels) == 1 - 9
    test = next(record for record in records if record.key == "t10k-00002")
    assert (test.partition, test.labels.index(1)) == ("test", 2)
    pixels = np.asarray(load_image(dataset.root, train.uri))
    assert np.array_equal(pixels, np.repeat(pictures(12)[11][..., None], 3, axis=2))


def test_one_file_with_and_without_labels(tmp_path):
    (tmp_path / "letters.idx").write_bytes(idx(pictures(2)))
    (tmp_path / "which").write_bytes(idx(np.array([25, 0], np.uint8)))
    alone = open_idx(tmp_path / "letters.idx")
    assert [(record.key, record.labels) for record in alone] == [
        ("letters-00000", None),
        ("letters-00001", None),
    ]
    labelled = open_idx(tmp_path / "letters.idx", tmp_path / "which")
    assert labelled.label_names[25] == "Class_25"
    assert next(iter(labelled)).labels.index(1) == 25
    names = [chr(ord("a") + number) for number in range(26)]
    assert open_idx(tmp_path / "letters.idx", tmp_path / "which", names=names).label_names == tuple(names)


def test_half_labelled_folders(tmp_path):
    write_standard(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    dataset = open_idx(tmp_path, names=FASHION_NAMES)
    assert dataset.label_names == FASHION_NAMES
    assert {record.labels is None for record in dataset if record.partition == "test"} == {True}


def test_label_files_of_two_dimensions_list_the_classes_of_an_image(tmp_path):
    images = tmp_path / "val-images-idx3-ubyte"
    images.write_bytes(idx(pictures(4)))
    rows = np.array([[3, 1, 255], [2, 2, 2], [255, 255, 255], [255, 0, 255]], np.uint8)
    labels = tmp_path / "val-labels-idx2-ubyte.gz"
    labels.write_bytes(format_idx(rows))
    dataset = open_idx(images, names=("a", "b", "c", "d"))
    present = [
        {name for name, value in zip(dataset.label_names, record.labels, strict=True) if value == 1}
        for record in dataset
    ]
    assert present == [{"b", "d"}, {"c"}, set(), {"a"}]
    assert set(np.asarray(dataset.labels).ravel()) == {
        -1,
        1,
    }  # nothing is unknown, nor of an image of no class
    assert dataset.labelled.all()
    assert open_idx(images, labels).label_names == tuple(f"Digit_{number}" for number in range(10))
    # One class an image goes before several, where both files are there.
    (tmp_path / "val-labels-idx1-ubyte").write_bytes(idx(np.arange(4, dtype=np.uint8)))
    assert [record.labels.index(1) for record in open_idx(images)] == [0, 1, 2, 3]


def test_files_with_other_numbers_of_classes_an_image(tmp_path):
    write_standard(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-labels-idx2-ubyte").write_bytes(idx(np.array([[0, 11], [4, 255], [5, 6]], np.uint8)))
    dataset = open_idx(tmp_path)
    assert dataset.label_names == tuple(f"Class_{number}" for number in range(12))
    assert [np.flatnonzero(row == 1).tolist() for row in dataset.labels[:4]] == [[0, 11], [4], [5, 6], [0]]


def test_255_is_a_class_in_label_files_of_one_dimension(tmp_path):
    (tmp_path / "x.idx").write_bytes(idx(pictures(1)))
    (tmp_path / "which").write_bytes(idx(np.array([255], np.uint8)))
    assert open_idx(tmp_path / "x.idx", tmp_path / "which").labels[0, 255] == 1


def test_faults_are_named(tmp_path):
    images = tmp_path / "x-images-idx3-ubyte"
    labels = tmp_path / "x-labels-idx1-ubyte"
    for data, error, words in (
        (idx(pictures(2), kind=9), ImageDecodeError, "begins with 0x00000903, expected 0x00000803"),
        (idx(np.zeros(3, np.uint8)), ImageDecodeError, "begins with 0x00000801"),
        (b"", ImageDecodeError, "begins with 0x, "),
        (idx(pictures(2))[:9], ImageDecodeError, "ends within its header: 9 bytes"),
        (idx(pictures(2))[:-1], ImageDecodeError, "holds 75 bytes, expected 76 for 2 × 6 × 5"),
        (idx(pictures(2)) + b"x", ImageDecodeError, "holds 77 bytes, expected 76"),
        (gzip.compress(idx(pictures(2)), mtime=0)[:-9], ImageDecodeError, "damaged gzip"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), ImageDecodeError, "holds 16"),
    ):
        images.write_bytes(data)
        with pytest.raises(error, match=words):
            open_idx(images)
    images.write_bytes(idx(pictures(2)))
    labels.write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(LabelFileError, match="holds 3 labels, expected 2"):
        open_idx(images)
    labels.write_bytes(idx(pictures(2)))
    with pytest.raises(LabelFileError, match=r"expected 0x00000801 or 0x00000802 .*1 or 2 dimensions"):
        open_idx(images)
    labels.write_bytes(idx(np.zeros((3, 2), np.uint8)))
    with pytest.raises(LabelFileError, match="holds 3 labels, expected 2"):
        open_idx(images)
    labels.write_bytes(idx(np.array([0, 4], np.uint8)))
    with pytest.raises(LabelFileError, match="classes 0 to 4, but names for 2"):
        open_idx(images, names=("no", "yes"))
    with pytest.raises(DatasetNotFoundError, match="no idx file"):
        open_idx(tmp_path / "no")
    with pytest.raises(DatasetNotFoundError, match="no train-images-idx3-ubyte"):
        open_idx(tmp_path)
    with pytest.raises(DatasetError, match="leave out labels"):
        open_idx(tmp_path, labels)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=3, max_size=3), st.booleans())
def test_arrays_survive(tmp_path_factory, shape, compress):
    path = tmp_path_factory.mktemp("idx") / "x"
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path.write_bytes(format_idx(array) if compress else idx(array))
    assert np.array_equal(read_idx(path, dimensions=(3,)), array)


@pytest.mark.skipif(
    not (MNIST / "train-images-idx3-ubyte.gz").is_file(), reason="MNIST is not at ../shared/mnist"
)
def test_mnist_itself():
    dataset = open_idx(MNIST)
    assert (len(dataset), len(dataset.label_names)) == (70_000, 10)
    first = next(record for record in dataset if record.key == "train-00000")
    assert first.labels.index(1) == 5  # the well-known first digit
    image = load_image(dataset.root, first.uri)
    assert (image.size, image.mode) == ((28, 28), "RGB")


@pytest.mark.parametrize("which", ["images", "labels"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, which):
    write_standard(tmp_path)
    files = {
        "images": tmp_path / "train-images-idx3-ubyte",
        "labels": tmp_path / "train-labels-idx1-ubyte",
    }
    files[which] = tmp_path / "pipe"
    os.mkfifo(files[which])
    with pytest.raises(DatasetNotFoundError, match=r"pipe \(it is a pipe, expected a file\)"):
        open_idx(files["images"], files["labels"])


def test_what_is_packed_is_unpacked_no_further_than_its_header_says(tmp_path):
    path = tmp_path / "bomb-images-idx3-ubyte.gz"
    whole = idx(pictures(2))
    path.write_bytes(gzip.compress(whole + bytes(200_000_000), compresslevel=1))
    tracemalloc.start()
    try:
        said = rf"holds at least {len(whole) + 1} bytes, expected {len(whole)} for 2 × 6 × 5 items"
        with pytest.raises(ImageDecodeError, match=said):
            open_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    claim = struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    path.write_bytes(gzip.compress(claim + bytes(100)))
    with pytest.raises(ImageDecodeError, match="holds 116 bytes, expected 7922816"):
        open_idx(path)
