from __future__ import annotations

import io
import os
import sys
import zipfile

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.datasets import open_folder
from olrsearch.datasets.images import load_image
from olrsearch.datasets.label_table import read_label_table


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), "teal").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for name in ("b.PNG", "a.png", "deep/er/c.webp", ".hidden/d.png", ".e.png", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png())
    return root


def labels_of(dataset):
    return {record.key: record.labels for record in dataset}


def table(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_images_are_found_recursively_and_hidden_ones_are_not(folder):
    dataset = open_folder(folder)
    assert [record.key for record in dataset] == ["a.png", "b.PNG", "deep/er/c.webp"]
    assert all(record.uri == record.key and record.labels is None for record in dataset)
    assert (dataset.kind, dataset.label_names, dataset.issues) == ("folder", (), [])
    assert load_image(dataset.root, "deep/er/c.webp").size == (5, 4)


def test_a_zip_of_images_is_a_folder_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("x/1.png", png())
        archive.writestr("__MACOSX/x/._1.png", b"")
        archive.writestr("readme.txt", b"")
        archive.writestr(".hidden/2.png", png())
    dataset = open_folder(tmp_path / "p.zip", labels=table(tmp_path, "key,A\nx/1.png,yes\n"))
    (record,) = dataset
    assert (record.key, record.uri, record.labels) == ("x/1.png", "p.zip!x/1.png", (1,))
    assert load_image(dataset.root, record.uri).size == (5, 4)


def test_labels_partition_and_identity_come_from_the_table(folder, tmp_path):
    path = table(
        tmp_path,
        "Smiling,filename,partition,Old,identity\n"
        "present,./a.png,train,unknown,3\n"
        "absent,deep\\er\\c.webp,Validation,,\n",
    )
    dataset = open_folder(folder, labels=path)
    assert dataset.label_names == ("Smiling", "Old")
    assert [(r.key, r.labels, r.partition, r.identity) for r in dataset] == [
        ("a.png", (1, 0), "train", 3),
        ("b.PNG", None, None, None),
        ("deep/er/c.webp", (-1, 0), "val", None),
    ]
    assert [(issue.code, issue.examples) for issue in dataset.issues] == [
        ("images-without-row", ("b.PNG",)),
    ]


def test_zero_is_absent_unless_the_file_says_minus_one(folder, tmp_path):
    first = open_folder(folder, labels=table(tmp_path, "key,A,B\na.png,0,1\nb.PNG,1,0\n"))
    assert labels_of(first)["a.png"] == (-1, 1)
    second = open_folder(folder, labels=table(tmp_path, "key,A,B\na.png,0,1\nb.PNG,-1,0\n"))
    assert labels_of(second)["a.png"] == (0, 1)
    assert labels_of(second)["b.PNG"] == (-1, 0)


def test_all_ways_to_write_a_label(folder, tmp_path):
    words = {
        1: ["1", "1.0", "+1", " Present", "TRUE", "yes"],
        -1: ["-1", "-1.0", "absent", "False", "no "],
        0: ["", "unknown", "NA", "n/a", "NaN", "null", "None", "?", "0", "0.0"],
    }
    for value, cells in words.items():
        for cell in cells:
            path = table(tmp_path, f"key,A,B\na.png,{cell},-1\n")
            assert labels_of(open_folder(folder, labels=path))["a.png"] == (value, -1), cell


def test_tabs_semicolons_and_byte_order_marks(folder, tmp_path):
    for text, name in (
        ("key\tA\na.png\t1\n", "l.tsv"),
        ("key;A\na.png;1\n", "l.csv"),
        ("\ufeffkey,A\r\na.png,1\r\n\r\n", "l.csv"),
        ('key,A\n"a.png","1"\n', "l.txt"),
    ):
        dataset = open_folder(folder, labels=table(tmp_path, text, name))
        assert dataset.label_names == ("A",)
        assert labels_of(dataset)["a.png"] == (1,)


def test_the_key_column_may_be_named_or_stand_first(folder, tmp_path):
    path = table(tmp_path, "A,who\n1,a.png\n")
    assert labels_of(open_folder(folder, labels=path, key_column="who"))["a.png"] == (1,)
    path = table(tmp_path, "who,A\na.png,1\n")
    assert labels_of(open_folder(folder, labels=path))["a.png"] == (1,)
    with pytest.raises(LabelFileError, match="no column 'x'; it has who, A"):
        open_folder(folder, labels=path, key_column="x")


def test_parquet_of_booleans_numbers_and_text(folder, tmp_path):
    path = tmp_path / "labels.parquet"
    columns = {
        "image": ["a.png", "b.PNG"],
        "A": [True, None],
        "B": pa.array([0.0, 1.0]),
        "C": pa.array([1, 0], pa.int8()),
        "D": pa.array(["yes", "no"]).dictionary_encode(),
        "partition": ["test", None],
        "identity": pa.array([4, None]),
    }
    parquet.write_table(pa.table(columns), path)
    dataset = open_folder(folder, labels=path)
    assert dataset.label_names == ("A", "B", "C", "D")
    assert [(r.labels, r.partition, r.identity) for r in dataset][:2] == [
        ((1, -1, 1, 1), "test", 4),
        ((0, 1, -1, -1), None, None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("key,A\na.png,2\n", "line 2, column 'A': found '2', expected"),
        ("key,A\n\na.png,maybe\n", "line 3, column 'A': found 'maybe'"),
        ("key,A\na.png,1,1\n", "line 2: found 3 columns, expected 2"),
        ("key,A\na.png\n", "line 2: found 1 columns, expected 2"),
        ("key,A,A\na.png,1,1\n", "found the column 'A' twice"),
        ("key,,A\na.png,1,1\n", "found a column without a name"),
        ("key,A\n,1\n", "line 2: found no image name"),
        ("key,partition\na.png,dev\n", "line 2, column 'partition': found 'dev'"),
        ("key,identity\na.png,-7\n", "line 2, column 'identity': found '-7', expected a whole number, a"),
        ("key,A\na.png,1\nb.PNG,1\na.png,-1\n", "line 4: found a.png with other values than on line 2"),
        ("key,A\n", "holds no rows"),
        ("", "holds no rows"),
        ('key,A\n"a.png,1\n', "line 2: unexpected end of data"),
        ("key,A\nz.png,1\n", "none of the 1 rows of labels.csv names an image: the first row names 'z.png'"),
    ],
)
def test_faults_name_line_and_column(folder, tmp_path, text, words):
    with pytest.raises(LabelFileError) as caught:
        open_folder(folder, labels=table(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_repeated_rows_and_rows_without_images_are_issues(folder, tmp_path):
    path = table(tmp_path, "key,A\na.png,1\na.png,yes\nz.png,1\n")
    dataset = open_folder(folder, labels=path)
    assert [(issue.code, issue.count) for issue in dataset.issues] == [
        ("repeated-rows", 1),
        ("rows-without-image", 1),
        ("images-without-row", 2),
    ]


def test_what_is_missing_or_unreadable_is_named(folder, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no folder at"):
        open_folder(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetNotFoundError, match="no images in"):
        open_folder(tmp_path / "empty")
    with pytest.raises(DatasetNotFoundError, match="no label file"):
        open_folder(folder, labels=tmp_path / "no.csv")
    with pytest.raises(DatasetNotFoundError, match="no label file"):
        open_folder(folder, labels=tmp_path / "no.parquet")
    with pytest.raises(DatasetNotFoundError, match="Is a directory"):
        open_folder(folder, labels=tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(LabelFileError, match="no Parquet file"):
        open_folder(folder, labels=tmp_path / "bad.parquet")
    (tmp_path / "latin.csv").write_bytes("key,A\nü.png,1\n".encode("latin-1"))
    with pytest.raises(LabelFileError, match="not UTF-8"):
        read_label_table(tmp_path / "latin.csv")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes for a file name")
def test_names_that_no_uri_can_hold_are_an_issue(folder):
    (folder / "x.zip!y").mkdir()
    (folder / "x.zip!y/a.png").write_bytes(png())
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(png())
    dataset = open_folder(folder)
    assert len(dataset) == 3
    (issue,) = dataset.issues
    assert (issue.code, issue.count) == ("unusable-names", 2)
    assert all(example.isprintable() for example in issue.examples)


def test_rows_name_images_in_other_spellings_of_the_path(tmp_path):
    """macOS takes names apart into letters and accents, and Windows writes `\\` between folders."""
    root = tmp_path / "photos"
    (root / "su\u0308d").mkdir(parents=True)
    for key in ("su\u0308d/e\u0301.png", "\u00e4.png", "a\\b.png", "o\u0308.png", "\u00f6.png"):
        (root / key).write_bytes(png())
    path = table(
        tmp_path,
        "key,partition,A\ns\u00fcd\\\u00e9.png,test,1\na\u0308.png,,1\na\\b.png,,1\n\u00f6.png,,-1\nö.png,,-1\n",
    )
    dataset = open_folder(root, labels=path)
    assert labels_of(dataset) == {
        "a\\b.png": (1,),
        "o\u0308.png": None,  # the row names the other one exactly
        "su\u0308d/e\u0301.png": (1,),
        "\u00e4.png": (1,),
        "\u00f6.png": (-1,),
    }
    (record,) = [record for record in dataset if record.partition == "test"]
    assert load_image(dataset.root, record.uri).size == (5, 4)
    assert {issue.code for issue in dataset.issues} == {"repeated-rows", "images-without-row"}


def test_a_row_that_may_mean_two_images_means_none(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for key in ("e\u0323\u0307.png", "e\u0307\u0323.png", "x.png"):  # the same two accents, in either order
        (root / key).write_bytes(png())
    dataset = open_folder(root, labels=table(tmp_path, "key,A\n\u1eb9\u0307.png,1\nx.png,1\n"))
    assert labels_of(dataset) == {"e\u0323\u0307.png": None, "e\u0307\u0323.png": None, "x.png": (1,)}
