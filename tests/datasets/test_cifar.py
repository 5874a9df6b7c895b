from __future__ import annotations

import shutil
import tarfile

import numpy as np
import pytest
from command import good, refused

from olrsearch.core.errors import (
    DatasetError,
    DatasetNotFoundError,
    ImageDecodeError,
    ImageMissingError,
    LabelFileError,
)
from olrsearch.datasets import containers, open_cifar100
from olrsearch.datasets import images as files
from olrsearch.datasets.cifar_format import RECORD

FINE = tuple(f"fine_{number}" for number in range(100))
COARSE = tuple(f"coarse_{number}" for number in range(20))


def images(count, seed):
    """Pixels as they are meant: uint8 [count, 32, 32, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def records(pixels, coarse, fine):
    """The format, spelt out: class bytes, then all red, all green, all blue, row by row."""
    parts = []
    for image, upper, lower in zip(pixels, coarse, fine, strict=True):
        planes = [image[:, :, colour].tobytes() for colour in range(3)]
        parts.append(bytes((upper, lower)) + b"".join(planes))
    return b"".join(parts)


def write(folder):
    """Twelve training and five test images; the item decides the classes."""
    folder.mkdir(parents=True)
    for part, count, seed in (("train", 12, 1), ("test", 5, 2)):
        fine = [(9 * item + seed) % 100 for item in range(count)]
        coarse = [(item + 3) % 20 for item in range(count)]
        (folder / f"{part}.bin").write_bytes(records(images(count, seed), coarse, fine))
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n\n", "utf-8")
    (folder / "coarse_label_names.txt").write_text("\r\n".join(COARSE), "utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "cifar-100-binary")


@pytest.fixture
def archive(folder, tmp_path):
    path = tmp_path / "elsewhere" / "cifar-100-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, folder.name)
    shutil.rmtree(folder)
    return path


def check(dataset):
    found = list(dataset)
    assert (dataset.kind, len(found)) == ("cifar100", 17)
    assert [record.key for record in found] == [
        *(f"train-{item:05d}" for item in range(12)),
        *(f"test-{item:05d}" for item in range(5)),
    ]
    assert [record.partition for record in found] == ["train"] * 12 + ["test"] * 5
    for part, seed, start in (("train", 1, 0), ("test", 2, 12)):
        shown = images(12 if part == "train" else 5, seed)
        for item in (0, 4):
            pixels = np.asarray(files.load_image(dataset.root, found[start + item].uri))
            assert np.array_equal(pixels, shown[item])
    return found


def test_the_folder_itself(folder):
    dataset = open_cifar100(folder)
    found = check(dataset)
    assert dataset.label_names == FINE
    assert (dataset.root, found[11].uri, found[12].uri) == (folder, "train.bin#11", "test.bin#0")
    assert [record.labels.index(1) for record in found[:3]] == [1, 10, 19]
    assert {sum(record.labels) for record in found} == {1 - 99}
    assert [(issue.code, issue.message) for issue in dataset.issues] == [
        ("image-count", "train.bin holds 12 images, CIFAR-100's has 50,000"),
        ("image-count", "test.bin holds 5 images, CIFAR-100's has 10,000"),
    ]


def test_the_folder_above(folder):
    dataset = open_cifar100(folder.parent)
    assert check(dataset)[3].uri == "cifar-100-binary/train.bin#3"
    assert dataset.root == folder.parent


def test_the_tar_is_read_in_place(archive):
    before = sorted(archive.parent.iterdir())
    for path in (archive, archive.parent):
        dataset = open_cifar100(path)
        assert check(dataset)[3].uri == "cifar-100-binary.tar.gz!cifar-100-binary/train.bin#3"
        assert dataset.root == archive.parent
    assert sorted(archive.parent.iterdir()) == before


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".tar.xz", ".TAR.BZ2"])
def test_other_tars(folder, tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    with tarfile.open(path, {".tar": "w", ".tgz": "w:gz", ".tar.xz": "w:xz"}.get(suffix, "w:bz2")) as tar:
        for file in folder.iterdir():
            tar.add(file, file.name)  # no folder in it
    assert check(open_cifar100(path))[0].uri == f"mine{suffix}!train.bin#0"


def test_coarse_classes(folder):
    (folder / "fine_label_names.txt").unlink()  # not needed for these
    dataset = open_cifar100(folder, coarse=True)
    assert dataset.label_names == COARSE
    assert [record.labels.index(1) for record in check(dataset)[:3]] == [3, 4, 5]
    assert {sum(record.labels) for record in dataset} == {1 - 19}


def test_one_part_is_enough(folder):
    (folder / "train.bin").unlink()
    dataset = open_cifar100(folder)
    assert {record.partition for record in dataset} == {"test"}
    assert [issue.code for issue in dataset.issues] == ["missing-file", "image-count"]


def test_faults_of_the_images_are_named(folder):
    good_bytes = (folder / "train.bin").read_bytes()
    wrong_fine, wrong_coarse = bytearray(good_bytes), bytearray(good_bytes)
    wrong_fine[2 * RECORD + 1] = 100
    wrong_coarse[5 * RECORD] = 20
    for data, error, words in (
        (b"", ImageDecodeError, "holds 0 bytes, expected a multiple of 3074"),
        (good_bytes[:-1], ImageDecodeError, "holds 36887 bytes, expected a multiple of 3074"),
        (good_bytes + b"x", ImageDecodeError, "holds 36889 bytes"),
        (bytes(wrong_fine), LabelFileError, "train.bin, record 2: found fine class 100, expected 0 to 99"),
        (bytes(wrong_coarse), LabelFileError, "train.bin, record 5: found coarse class 20, expected 0 to 19"),
    ):
        (folder / "train.bin").write_bytes(data)
        with pytest.raises(error, match=words):
            open_cifar100(folder)


def test_faults_of_the_names_are_named(folder):
    names = folder / "fine_label_names.txt"
    for data, words in (
        ("\n".join(FINE[:99]), "holds 99 class names, expected 100"),
        ("\n".join([*FINE, "more"]), "holds 101 class names, expected 100"),
        ("\n".join([*FINE[:99], "fine_3"]), "'fine_3' twice"),
        ("", "holds 0 class names"),
    ):
        names.write_text(data, "utf-8")
        with pytest.raises(LabelFileError, match=words):
            open_cifar100(folder)
    names.write_bytes(b"\xff\xfe")
    with pytest.raises(LabelFileError, match="not UTF-8"):
        open_cifar100(folder)
    names.unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"no fine_label_names\.txt in .*; it names the 100 classes"
    ):
        open_cifar100(folder)
    assert open_cifar100(folder, coarse=True).label_names == COARSE


def test_what_is_not_there_is_named(folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "x.zip").write_bytes(b"x")
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    with tarfile.open(tmp_path / "names.tar", "w") as tar:
        tar.add(folder / "fine_label_names.txt", "fine_label_names.txt")
    for path, error, words in (
        (tmp_path / "nothing", DatasetNotFoundError, "no folder or tar of CIFAR-100 at"),
        (empty, DatasetNotFoundError, r"no train\.bin or test\.bin, no cifar-100-binary and no"),
        (tmp_path / "x.zip", DatasetError, r"does not end in \.tar\.gz"),
        (tmp_path / "x.tar.gz", ImageDecodeError, "cannot be read as a tar"),
        (tmp_path / "names.tar", DatasetNotFoundError, r"neither train\.bin nor test\.bin in"),
    ):
        with pytest.raises(error, match=words):
            open_cifar100(path)


def test_a_cut_off_tar_is_a_decode_error(archive):
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(ImageDecodeError, match=r"cannot be read as a tar .*; fetch it again"):
        open_cifar100(archive)


def test_items_that_are_missing_are_named(archive):
    root, name = archive.parent, archive.name
    for uri, words in (
        (f"{name}!cifar-100-binary/train.bin#12", "names item 12 of 12"),
        (f"{name}!cifar-100-binary/val.bin#0", "no member 'cifar-100-binary/val.bin'"),
        ("no.tar.gz!train.bin#0", "No such file"),
        ("no.bin#0", "No such file"),
        (f"../elsewhere/{name}!cifar-100-binary/train.bin#0", "no path below"),
    ):
        with pytest.raises(ImageMissingError, match=words):
            files.read_bytes(root, uri)
    (root / "odd.bin").write_bytes(b"12345")
    with pytest.raises(ImageDecodeError, match="holds 5 bytes, expected a multiple of 3074"):
        files.read_bytes(root, "odd.bin#0")


def test_a_tar_is_unpacked_once(archive, monkeypatch):
    containers._items.forget()
    opened = []
    whole = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda path: opened.append(path) or whole(path))
    for item in range(12):
        files.read_bytes(archive.parent, f"{archive.name}!cifar-100-binary/train.bin#{item}")
    assert len(opened) == 1


def test_idx_files_may_be_called_bin(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    header = bytes((0, 0, 8, 3)) + np.array(pixels.shape, ">u4").tobytes()
    (tmp_path / "train.bin").write_bytes(header + pixels.tobytes())
    assert np.array_equal(np.asarray(files.load_image(tmp_path, "train.bin#0"))[..., 0], pixels[0])


def test_the_command(folder, tmp_path):
    store = tmp_path / "store"
    row = good(store, "import", "cifar100", folder, "--json").row
    assert (row["dataset"], row["added"], row["failed"]) == ("cifar100", 17, [])
    assert good(store, "import", "cifar100", folder, "--json").row["unchanged"] == 17
    assert [item["label"] for item in good(store, "label", "list", "--json").rows] == list(FINE)
    assert good(store, "store", "verify", "--sources", "--json").row["sources_missing"] == 0
    # The coarse classes of the same images come beside the fine ones.
    again = good(store, "import", "cifar100", folder, "--coarse", "--json").row
    assert (again["added"], again["relabelled"], again["replaced"]) == (0, 17, 0)
    present = {item["label"]: item["present"] for item in good(store, "label", "list", "--json").rows}
    assert (len(present), sum(present.values())) == (120, 34)
    assert "no folder or tar" in refused(store, "import", "cifar100", tmp_path / "nothing")


def test_the_facade_reads_the_tar(archive, tmp_path):
    from olrsearch import Store

    with Store.create(tmp_path / "store") as store:
        report = store.import_cifar100(archive, coarse=True, limit=3)
        assert (report.dataset, report.added, report.failed) == ("cifar100", 3, [])
        assert [row["label"] for row in store.labels.counts()] == list(COARSE)
