"""Label files that are written are read back as they were; JSON lines; one table for CelebA."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import LABELS, name, picture, write_pictures

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.datasets import open_celeba, open_folder
from olrsearch.datasets.celeba_files import format_attributes, format_numbers
from olrsearch.datasets.label_table import read_label_table
from olrsearch.datasets.label_writing import format_labels
from olrsearch.datasets.table import LabelTable


def rows(labels=((1, 0), (-1, 1)), names=("Hat", "Wavy Hair"), keys=("a.jpg", "b/c.jpg"), **more):
    fields = {"partitions": {keys[0]: "train"}, "identities": {keys[-1]: 7}}
    return LabelTable(names=names, keys=list(keys), labels=np.array(labels, np.int8), **(fields | more))


def read_back(tmp_path, data, form):
    path = tmp_path / f"labels.{form}"
    path.write_bytes(data)
    return read_label_table(path)


def test_csv_says_it_in_words(tmp_path):
    data = format_labels(rows(), "csv")
    assert data.decode().splitlines() == [
        "image,partition,identity,Hat,Wavy Hair",
        "a.jpg,train,,present,unknown",
        "b/c.jpg,,7,absent,present",
    ]
    table = read_back(tmp_path, data, "csv")
    assert (table.partitions, table.identities) == ({"a.jpg": "train"}, {"b/c.jpg": 7})
    bare = format_labels(rows(partitions={}, identities={}), "csv")
    assert bare.startswith(b"image,Hat,")


def test_json_lines_keep_labels_apart(tmp_path):
    odd = rows(names=("image", "partition"), keys=(" a.jpg", "./b\\c.jpg"))
    data = format_labels(odd, "json")
    assert json.loads(data.decode().splitlines()[0]) == {
        "image": " a.jpg",
        "partition": "train",
        "identity": None,
        "labels": {"image": "present", "partition": "unknown"},
    }
    table = read_back(tmp_path, data, "jsonl")
    assert (table.names, table.keys) == (odd.names, odd.keys)
    assert (table.partitions, table.identities) == ({" a.jpg": "train"}, {"./b\\c.jpg": 7})
    assert table.labels.tolist() == odd.labels.tolist()


def test_txt_is_celebas_own_format(tmp_path):
    data = format_labels(rows(labels=((1, -1), (-1, 1)), names=("Hat", "Wavy_Hair")), "txt")
    assert data == b"2\nHat Wavy_Hair \na.jpg  1 -1\nb/c.jpg -1  1\n"
    table = read_back(tmp_path, data, "txt")
    assert (table.names, table.keys) == (("Hat", "Wavy_Hair"), ["a.jpg", "b/c.jpg"])
    assert (table.partitions, table.identities) == ({}, {})
    other = tmp_path / "mine.txt"
    other.write_text("image,Hat\na.jpg,1\n")
    assert read_label_table(other).keys == ["a.jpg"], "a CSV may be called .txt"


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text("aB_ ,;\"'é#1", min_size=1, max_size=6), min_size=1, max_size=4, unique=True),
    values=st.lists(st.lists(st.sampled_from((-1, 0, 1)), min_size=4, max_size=4), min_size=1, max_size=4),
    form=st.sampled_from(["csv", "json", "txt"]),
)
def test_whatever_is_written_is_read_back(tmp_path_factory, names, values, form):
    """Or refused: no form may change names or values in silence."""
    labels = np.array(values, np.int8)[:, : len(names)]
    keys = [f"{number} x,\"y;'.jpg" if form != "txt" else f"{number}.jpg" for number in range(len(labels))]
    table = rows(labels, tuple(names), keys, partitions={}, identities={})
    try:
        data = format_labels(table, form)
    except LabelFileError:
        blank = any(text.split() != [text] for text in names)
        assert form != "json"
        assert blank or (form == "txt" and not labels.all())
        return
    again = read_back(tmp_path_factory.mktemp("written"), data, form)
    assert again.names == tuple(names)
    assert again.keys == keys
    assert again.labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("change", "form", "match"),
    [
        ({}, "txt", "1 values of 1 images are unknown, .* knows only 1 and -1: write .csv or .json"),
        ({"labels": ((1, 1), (1, 1))}, "txt", "the label 'Wavy Hair' has a blank in its name"),
        ({"labels": ((1, 1), (1, 1)), "names": ("A", "B"), "keys": ("a b", "c")}, "txt", "the image 'a b'"),
        ({"names": ("A", "Partition")}, "csv", "'Partition' would be read back as another column"),
        ({"names": ("image", "B")}, "csv", "'image' would be read back as another column"),
        ({"names": (" A", "B")}, "csv", "' A' would be read back as another column"),
        ({"keys": ("./a", "c")}, "csv", r"the key './a' would be read back as 'a' .* write .json"),
    ],
)
def test_what_a_form_cannot_hold(change, form, match):
    with pytest.raises(LabelFileError, match=match):
        format_labels(rows(**change), form)


# ---- JSON lines


def lines(tmp_path, *objects, text=None):
    path = tmp_path / "labels.jsonl"
    path.write_text("\n\n".join(map(json.dumps, objects)) if text is None else text, encoding="utf-8")
    return path


def test_json_lines_of_other_hands(tmp_path):
    path = lines(
        tmp_path,
        {"image": "a", "labels": {"A": 1, "B": 0, "C": True}},
        {"image": "b", "labels": {"C": "no", "D": None}, "partition": "valid", "identity": 3},
        {"image": "a", "labels": {"A": 1, "B": 0, "C": True}},
    )
    table = read_label_table(path, key_column="image")
    assert table.names == ("A", "B", "C", "D")
    assert table.labels.tolist() == [[1, -1, 1, 0], [0, 0, -1, 0]]
    assert table.partitions == {"b": "val"}
    assert [found.code for found in table.issues] == ["repeated-rows"]
    signed = lines(tmp_path, {"image": "a", "labels": {"A": 0, "B": -1}})
    assert read_label_table(signed).labels.tolist() == [[0, -1]], "beside −1, 0 is unknown"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "holds no rows"),
        ("{", "labels.jsonl, line 1: found no JSON"),
        ('[{"image": "a", "labels": {}}]', "line 1: expected an object"),
        ('\n{"image": 3, "labels": {}}', "line 2: expected an object"),
        ('{"image": "a", "A": 1}', 'expected an object {"image": "…", "labels": {…}}'),
        ('{"image": "a", "labels": {}, "A": 1}', "found the key 'A', expected image, partition"),
        ('{"image": "a", "labels": {"A": [1]}}', "found a list or an object at 'A'"),
        ('{"image": "a", "labels": {"A": 1, "A": 0}}', "line 1: found no JSON (the key 'A' twice)"),
        ('{"image": "a", "labels": {"A": 2}}', "line 1, column 'A': found '2', expected present/absent"),
        ('{"image": "", "labels": {"A": 1}}', "line 1: found no image name"),
        ('{"image": "a", "labels": {"A": 1}, "partition": "x"}', "column 'partition': found 'x'"),
        (
            '{"image": "a", "labels": {"A": 1}}\n{"image": "a", "labels": {"A": 0}}',
            "with other values than on line 1",
        ),
    ],
)
def test_bad_json_lines(tmp_path, text, match):
    with pytest.raises(LabelFileError) as caught:
        read_label_table(lines(tmp_path, text=text))
    assert match in str(caught.value)


def test_json_lines_that_cannot_be_read(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no label file"):
        read_label_table(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff")
    with pytest.raises(LabelFileError, match="is not UTF-8"):
        read_label_table(tmp_path / "bytes.json")
    with pytest.raises(LabelFileError, match="no column 'file'; JSON lines name it 'image'"):
        read_label_table(lines(tmp_path, {"image": "a", "labels": {}}), key_column="file")


# ---- one table for CelebA's layout


@pytest.fixture
def layout(tmp_path):
    """Pictures in CelebA's layout."""
    root = tmp_path / "celeba"
    write_pictures(root / "img_align_celeba", 3).unlink()
    labels = np.array([picture(row)[1] for row in range(3)], np.int8)
    keys = [name(row) for row in range(3)]
    (root / "list_attr_celeba.txt").write_bytes(format_attributes(LABELS, keys, labels))
    (root / "list_eval_partition.txt").write_bytes(format_numbers(keys, [0, 1, 2]))
    (root / "identity_CelebA.txt").write_bytes(format_numbers(keys, [5, 6, 7]))
    return root


def test_a_table_takes_the_place_of_the_attribute_file(layout, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(f"image,partition,Hat\n{name(0)},test,yes\n{name(2)},,no\n")
    dataset = open_celeba(layout, annotations=table)
    assert dataset.label_names == ("Hat",)
    assert [record.labels for record in dataset] == [(1,), None, (-1,)]
    assert [record.partition for record in dataset] == ["test", "val", "test"], "the table's, or those beside"
    assert [record.identity for record in dataset] == [5, 6, 7]
    assert [found.code for found in dataset.issues] == ["images-without-row"]
    (tmp_path / "other.txt").write_bytes((layout / "list_attr_celeba.txt").read_bytes())
    (layout / "list_attr_celeba.txt").unlink()
    again = open_celeba(layout, annotations=tmp_path / "other.txt")
    assert [record.labels for record in again] == [picture(row)[1] for row in range(3)]


def test_a_table_of_other_images_is_refused(layout, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("image,Hat\nx.jpg,yes\n")
    with pytest.raises(LabelFileError, match=r"none of the 1 rows of labels.csv names an image: .* 'x.jpg'"):
        open_celeba(layout, annotations=table)


def test_a_folder_takes_celebas_format(layout):
    dataset = open_folder(layout / "img_align_celeba", labels=layout / "list_attr_celeba.txt")
    assert dataset.label_names == LABELS
    assert [record.labels for record in dataset] == [picture(row)[1] for row in range(3)]
