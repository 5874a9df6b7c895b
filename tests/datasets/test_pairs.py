from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from command import call, good

from olrsearch.core.errors import DatasetError, DatasetNotFoundError, ImageDecodeError, LabelFileError
from olrsearch.datasets import open_idx
from olrsearch.datasets.generated import pairs
from olrsearch.datasets.generated.pairs import generate_pairs
from olrsearch.datasets.idx_format import format_idx, read_idx
from olrsearch.datasets.images import load_image

MNIST = Path(__file__).parents[2] / ".." / "shared" / "mnist"
WRITTEN = {f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx2")}


@pytest.fixture
def digits(tmp_path):
    """MNIST's four files with pictures that tell their item: 30 of train, 20 of t10k, classes item mod 10."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for part, first, count in (("train", 0, 30), ("t10k", 100, 20)):
        numbers = np.arange(first, first + count, dtype=np.uint8)
        images = np.broadcast_to(numbers[:, None, None], (count, 4, 3))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(gzip.decompress(format_idx(images)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(format_idx(numbers % 10))
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pairs_show_what_their_labels_say(digits, tmp_path):
    made = generate_pairs(digits, tmp_path / "deep" / "out", train=400, test=50, seed=1)
    assert (made.train, made.test, made.size) == (400, 50, (4, 6))
    assert set(content(made.path)) == WRITTEN
    for part, count, items in (("train", 400, set(range(30))), ("t10k", 50, set(range(100, 120)))):
        images = read_idx(made.path / f"{part}-images-idx3-ubyte.gz", dimensions=(3,))
        labels = read_idx(made.path / f"{part}-labels-idx2-ubyte.gz", dimensions=(2,))
        assert (images.shape, labels.shape) == ((count, 4, 6), (count, 2))
        left, right = images[:, :, :3], images[:, :, 3:]
        assert set(np.unique(images)) <= items  # no digit on both sides of the split
        assert np.array_equal(left.min(axis=(1, 2)), left.max(axis=(1, 2)))  # each half is one item
        assert np.array_equal(labels, np.stack([left[:, 0, 0], right[:, 0, 0]], axis=1) % 10)
        assert not np.array_equal(left, right)
    assert [path.name for path in made.path.parent.iterdir()] == ["out"]  # nothing left over


def test_open_idx_reads_them(digits, tmp_path):
    made = generate_pairs(digits, tmp_path / "out", train=200, test=20)
    dataset = open_idx(made.path)
    records = list(dataset)
    assert dataset.label_names == tuple(f"Digit_{number}" for number in range(10))
    assert [record.partition for record in records] == ["test"] * 20 + ["train"] * 200
    assert {record.labels.count(1) for record in records} == {1, 2}
    for record in records[::37]:
        pixels = np.asarray(load_image(dataset.root, record.uri))
        assert pixels.shape == (4, 6, 3)
        shown = {int(pixels[0, 0, 0]) % 10, int(pixels[0, -1, 0]) % 10}
        assert {number for number, value in enumerate(record.labels) if value == 1} == shown


def test_the_seed_alone_decides(digits, tmp_path):
    first = generate_pairs(digits, tmp_path / "a", train=50, test=30, seed=7).path
    again = generate_pairs(digits, tmp_path / "b", train=50, test=30, seed=7).path
    other = generate_pairs(digits, tmp_path / "c", train=50, test=30, seed=8).path
    more = generate_pairs(digits, tmp_path / "d", train=80, test=30, seed=7).path
    assert content(first) == content(again)
    assert all(content(first)[name] != content(other)[name] for name in WRITTEN)
    for part in ("train", "t10k"):
        few, many = (
            read_idx(place / f"{part}-images-idx3-ubyte.gz", dimensions=(3,)) for place in (first, more)
        )
        assert np.array_equal(few, many[: len(few)])


def test_both_images_are_drawn_alike(digits, tmp_path):
    made = generate_pairs(digits, tmp_path / "out", train=30_000, test=1, seed=3)
    labels = read_idx(made.path / "train-labels-idx2-ubyte.gz", dimensions=(2,)).astype(np.int64)
    counts = np.bincount(labels[:, 0] * 10 + labels[:, 1], minlength=100)
    # 300 are expected of each of the 100 ordered pairs; five standard deviations are 87.
    assert abs(counts - 300).max() < 87


def test_an_interruption_leaves_nothing(digits, tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs, "format_idx", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_pairs(digits, tmp_path / "out", train=5, test=5)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_faults_are_named(digits, tmp_path):
    out = tmp_path / "out"
    for numbers in ({"train": 0}, {"test": 0}, {"seed": -1}):
        with pytest.raises(DatasetError, match="expected 1 or more, seed ≥ 0"):
            generate_pairs(digits, out, **numbers)
    with pytest.raises(DatasetError, match="is not empty"):
        generate_pairs(digits, digits)
    labels = digits / "t10k-labels-idx1-ubyte.gz"
    for data, error, words in (
        (format_idx(np.zeros(3, np.uint8)), LabelFileError, "holds 3 labels, expected 20"),
        (format_idx(np.zeros((20, 2), np.uint8)), LabelFileError, "expected 0x00000801"),
    ):
        labels.write_bytes(data)
        with pytest.raises(error, match=words):
            generate_pairs(digits, out)
    labels.unlink()
    with pytest.raises(DatasetNotFoundError, match="no t10k-labels-idx1-ubyte"):
        generate_pairs(digits, out)
    images = digits / "train-images-idx3-ubyte"
    images.write_bytes(format_idx(np.zeros((0, 28, 28), np.uint8)))
    with pytest.raises(DatasetError, match="holds no images"):
        generate_pairs(digits, out)
    images.write_bytes(b"no idx")
    with pytest.raises(ImageDecodeError, match="expected 0x00000803"):
        generate_pairs(digits, out)
    with pytest.raises(DatasetNotFoundError, match="no train-images-idx3-ubyte"):
        generate_pairs(tmp_path / "nowhere", out)
    assert not out.exists()


def test_the_command_and_what_it_says_comes_next(digits, tmp_path):
    store, out = tmp_path / "store", tmp_path / "out"
    said = good(store, "datasets", "pairs", digits, out, "--train", 40, "--test", 12, "--seed", 2).err
    assert "40 training and 12 test pairs of 6 × 4 pixels" in said
    assert f"next: olrsearch import idx {out}" in said
    assert good(store, "import", "idx", out, "--json").row["added"] == 52
    both = [row["present"] for row in good(store, "label", "list", "--json").rows]
    assert 52 < sum(both) < 104  # one label or two an image
    assert call(store, "datasets", "pairs", digits, out).code == 1


@pytest.mark.skipif(
    not (MNIST / "train-images-idx3-ubyte.gz").is_file(), reason="MNIST is not at ../shared/mnist"
)
def test_mnist_itself(tmp_path):
    made = generate_pairs(MNIST, tmp_path / "pairs", train=2000, test=500)
    assert made.size == (28, 56)
    dataset = open_idx(made.path)
    same = (dataset.labels == 1).sum(axis=1) == 1
    assert 0.07 < same.mean() < 0.13
    image = load_image(dataset.root, "t10k-images-idx3-ubyte.gz#499")
    assert image.size == (56, 28)
    # Both halves hold a digit.
    assert min(np.asarray(image)[:, :28].max(), np.asarray(image)[:, 28:].max()) > 200
