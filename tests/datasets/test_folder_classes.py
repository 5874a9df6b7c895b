"""One folder a class."""

import io

import pytest
from PIL import Image

from olrsearch.core.errors import DatasetError, LabelFileError
from olrsearch.datasets import open_folder
from olrsearch.datasets.folder_classes import labels_from_folders


def said(*keys):
    table = labels_from_folders(keys)
    present = {
        key: [name for name, value in zip(table.names, row, strict=True) if value > 0]
        for key, row in zip(table.keys, table.labels.tolist(), strict=True)
    }
    assert set(table.labels.ravel().tolist()) <= {1, -1}
    return present, table.partitions


def test_the_first_folder_names_the_class():
    found, partitions = said("cats/1.jpg", "cats/siam/2.jpg", "dogs/1.jpg", "3.jpg")
    assert found == {"cats/1.jpg": ["cats"], "cats/siam/2.jpg": ["cats"], "dogs/1.jpg": ["dogs"]}
    assert partitions == {}


def test_partitions_stand_above_classes():
    found, partitions = said("train/cats/1.jpg", "valid/dogs/1.jpg", "test/cats/2.jpg")
    assert found == {"train/cats/1.jpg": ["cats"], "valid/dogs/1.jpg": ["dogs"], "test/cats/2.jpg": ["cats"]}
    assert partitions == {"train/cats/1.jpg": "train", "valid/dogs/1.jpg": "val", "test/cats/2.jpg": "test"}
    found, partitions = said("train/1.jpg", "plane/1.jpg")  # trains and planes
    assert found == {"train/1.jpg": ["train"], "plane/1.jpg": ["plane"]}
    assert partitions == {}


def test_folders_around_all_of_it_tell_nothing():
    assert said("pets/cats/1.jpg", "pets/dogs/1.jpg")[0] == {
        "pets/cats/1.jpg": ["cats"],
        "pets/dogs/1.jpg": ["dogs"],
    }
    assert said("data/train/cats/1.jpg", "data/test/dogs/1.jpg")[1] == {
        "data/train/cats/1.jpg": "train",
        "data/test/dogs/1.jpg": "test",
    }
    assert said("cats/1.jpg", "cats/2.jpg")[0] == {"cats/1.jpg": ["cats"], "cats/2.jpg": ["cats"]}


def test_numbers_are_called_after_what_they_are():
    assert said("0/1.jpg", "10/1.jpg", "2/1.jpg")[0]["2/1.jpg"] == ["Folder_2"]
    assert labels_from_folders(["0/1.jpg", "10/1.jpg", "2/1.jpg"]).names == (
        "Folder_0",
        "Folder_2",
        "Folder_10",
    )
    assert said("None/1.jpg", "na/1.jpg")[0]["na/1.jpg"] == ["na"]


def test_a_data_set(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), "teal").save(buffer, "PNG")
    for key in ("cats/1.png", "dogs/1.png", "2.png"):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_bytes(buffer.getvalue())
    dataset = open_folder(tmp_path, labels_from="folders")
    assert [(record.key, record.labels) for record in dataset] == [
        ("2.png", None),
        ("cats/1.png", (1, -1)),
        ("dogs/1.png", (-1, 1)),
    ]
    with pytest.raises(DatasetError, match="give one of the two"):
        open_folder(tmp_path, labels="x.csv", labels_from="folders")
    with pytest.raises(DatasetError, match="columns says how to read a table of labels: name the table"):
        open_folder(tmp_path, columns=["cats"])
    with pytest.raises(LabelFileError, match=r"no image lies in a folder .* the first is '1.png'"):
        open_folder(tmp_path / "cats", labels_from="folders")
