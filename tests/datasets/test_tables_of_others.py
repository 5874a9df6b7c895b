"""Label tables as other programs and people make them."""

import datetime as dt
import decimal
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from olrsearch.core.errors import LabelFileError
from olrsearch.datasets.label_table import read_label_table


@pytest.fixture
def written(tmp_path):
    def write(text, name="labels.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def refusal(path, **options):
    with pytest.raises(LabelFileError) as caught:
        read_label_table(path, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 600
    return said


# ---- without a header


@pytest.mark.parametrize(
    "text",
    [
        "000001.jpg,1,0\n000002.jpg,0,1\n",
        "a/000001.png;1;0\n2.png;1;1\n",
        "000001,1,-1\n2,1,1\n",
        "a.jpg,1,1\nb.jpg,0,0\n",
    ],
)
def test_a_row_in_the_place_of_the_header_is_noticed(written, text):
    path = written(text)
    said = refusal(path)
    assert "labels.csv, line 1: found '" in said
    assert "where the names of columns should be" in said
    assert "--no-header" in said
    table = read_label_table(path, header=False)
    assert table.names == ("Column_2", "Column_3")
    assert len(table.keys) == 2
    assert table.labels[0].tolist()[0] == 1
    assert "found '000001' where" in refusal(written("000001,1,1\n2,1,1\n"))


def test_headers_of_digits_are_headers(written):
    assert read_label_table(written("image,0,1\na.jpg,0,1\n")).names == ("0", "1")


def test_a_file_with_names_of_its_own_has_a_header(written):
    path = written('{"image": "a", "labels": {"A": 1}}', "labels.jsonl")
    assert "names its columns itself: leave out --no-header" in refusal(path, header=False)


# ---- what columns mean


def test_an_index_of_pandas_is_left_out_and_said(written, tmp_path):
    columns = {"image": ["a.jpg", "b.jpg"], "Hat": [1, 0], "__index_level_0__": [7, 2]}
    parquet.write_table(pa.table(columns), tmp_path / "labels.parquet")
    written(",image,Hat\n0,a.jpg,1\n1,b.jpg,0\n")
    written("Unnamed: 0,image,Hat\n0,a.jpg,1\n1,b.jpg,0\n", "again.csv")
    for name, called in (
        ("labels.parquet", "column '__index_level_0__'"),
        ("labels.csv", "first column, without a name,"),
        ("again.csv", "column 'Unnamed: 0'"),
    ):
        table = read_label_table(tmp_path / name)
        assert (table.names, table.keys) == (("Hat",), ["a.jpg", "b.jpg"])
        (issue,) = table.issues
        assert issue.message == f"the {called} of {name} is an index of pandas, and was left out"


def test_an_index_may_name_the_images(written, tmp_path):
    columns = {"Hat": [1, 0], "__index_level_0__": ["a.jpg", "b.jpg"]}
    parquet.write_table(pa.table(columns), tmp_path / "labels.parquet")
    written(",Hat\na.jpg,1\nb.jpg,0\n")
    for name in ("labels.parquet", "labels.csv"):
        table = read_label_table(tmp_path / name)
        assert (table.names, table.keys, table.issues) == (("Hat",), ["a.jpg", "b.jpg"], [])


def test_columns_are_chosen_and_left_out(written):
    path = written("image,Hat,Age,Smiling,note\na.jpg,1,47,0,hello\nb.jpg,0,12,1,\n")
    assert "column 'Age': found '47', expected present/absent" in refusal(path)
    assert "--exclude-columns, or make labels of its words with --class-columns" in refusal(path)
    assert read_label_table(path, columns=["smiling", "Hat"]).names == ("Smiling", "Hat")
    table = read_label_table(path, exclude_columns=["age", "note"])
    assert (table.names, table.labels.tolist()) == (("Hat", "Smiling"), [[1, -1], [-1, 1]])
    assert (
        "labels.csv has no column 'Hatt'; it has image, Hat, Age, Smiling, note; did you mean Hat?"
        in refusal(path, columns=["Hatt"])
    )
    assert "no column is left to read" in refusal(path, columns=[])


def test_partition_and_identity_may_be_called_otherwise(written):
    path = written("image,split,who,Hat\na.jpg,training,ann,1\nb.jpg,Test,,0\nc.jpg,valid,bob,1\n")
    table = read_label_table(path, partition_column="split", identity_column="who")
    assert table.names == ("Hat",)
    assert table.partitions == {"a.jpg": "train", "b.jpg": "test", "c.jpg": "val"}
    assert table.identities == {"a.jpg": "ann", "c.jpg": "bob"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["train", "VALIDATION", "testing"], ["train", "val", "test"]),
        (["Training", "val", ""], ["train", "val", None]),
        (["0", "1", "2"], ["train", "val", "test"]),
        (["0.0", "2.0", "nan"], ["train", "test", None]),
    ],
)
def test_partitions_in_words_and_numbers(written, cells, expected):
    rows = "".join(f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells))
    table = read_label_table(written(f"image,partition\n{rows}"))
    assert [table.partitions.get(key) for key in table.keys] == expected
    numbers = [issue.message for issue in table.issues]
    if cells[0] == "0":
        assert numbers == ["partitions of labels.csv are numbers, read as 0 train (1), 1 val (1), 2 test (1)"]
    else:
        assert len(numbers) == (cells[0] == "0.0")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["7", "7.0", "-1"], [7, 7, None]),
        (["ann", "Bob", "NaN"], ["ann", "Bob", None]),
        (["007", "8", ""], ["007", "8", None]),  # a number would lose its zeros
        (["9" * 18, "0", ""], [int("9" * 18), 0, None]),
        (["9" * 19, "0", ""], ["9" * 19, "0", None]),
    ],
)
def test_identities_are_numbers_or_names(written, cells, expected):
    rows = "".join(f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells))
    table = read_label_table(written(f"image,identity\n{rows}"))
    assert [table.identities.get(key) for key in table.keys] == expected


def test_one_minus_one_among_zeros_is_said(written):
    path = written("image,Hat,Old\na.jpg,1,0\nb.jpg,0,0\nc.jpg,-1,1\n")
    table = read_label_table(path)
    assert table.labels.tolist() == [[1, 0], [0, 0], [-1, 1]]
    (issue,) = table.issues
    assert (issue.code, issue.count, issue.examples) == ("zeros-unknown", 3, ("Hat",))
    assert issue.message == (
        "3 zeros of labels.csv were read as unknown, because −1 stands in 1 cells of Hat; --zero absent "
        "reads them as absent"
    )
    said = read_label_table(path, zero="absent")
    assert (said.labels.tolist(), said.issues) == ([[1, -1], [-1, -1], [-1, 1]], [])
    other = read_label_table(written("image,Hat\na.jpg,1\nb.jpg,0\n"), zero="unknown")
    assert (other.labels.tolist(), other.issues) == ([[1], [0]], [])


def test_classes_become_labels(written):
    path = written("image,breed,size,Hat\na.jpg,Siam,2,1\nb.jpg,Manx,10,0\nc.jpg,,10,1\nd.jpg,Siam,2,1\n")
    table = read_label_table(path, class_columns=["breed", "size"])
    assert table.names == ("Hat", "Manx", "Siam", "size_2", "size_10")
    assert table.labels.tolist() == [
        [1, -1, 1, 1, -1],
        [-1, 1, -1, -1, 1],
        [1, 0, 0, -1, 1],
        [1, -1, 1, 1, -1],
    ]
    assert "found the label 'Hat' twice" in refusal(
        written("image,kind,Hat\na.jpg,Hat,1\n"), class_columns=["kind"]
    )
    many = "".join(f"{number}.jpg,text {number}\n" for number in range(1001))
    assert "column 'note': found 1,001 classes, expected 1 to 1,000" in refusal(
        written(f"image,note\n{many}"), class_columns=["note"]
    )


# ---- text


def test_spreadsheets(written):
    text = "sep=;\r\nimage;Hat;Old\r\na.jpg;1;0\r\nb.jpg;0;1\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        table = read_label_table(written(text, encoding=encoding))
        assert (table.names, table.keys) == (("Hat", "Old"), ["a.jpg", "b.jpg"])
    assert "line 4, column 'Hat': found 'x'" in refusal(written(text.replace("b.jpg;0", "b.jpg;x")))
    for mark in ",;\t":
        table = read_label_table(written(f'image{mark}"Hat, old; grey"\na.jpg{mark}1\n'))
        assert table.names == ("Hat, old; grey",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("image,Hat\na.jpg,1\n".encode("utf-16-le"), "labels.csv, line 1: found a NUL, expected text"),
        (b"image,Hat\na\0.jpg,1\n", "labels.csv, line 2: found a NUL"),
        (
            b"image,H\xe4t\na.jpg,1\n",
            "labels.csv is not UTF-8 (invalid continuation byte at byte 7): ",
        ),
        (b"\xff\xfei", "labels.csv is not UTF-16"),
        (b"PK\x03\x04abc", "labels.csv is a zip or a workbook"),
        (b"\x1f\x8babc", "labels.csv is compressed with gzip"),
        (b"PAR1abc", "labels.csv is a Parquet file"),
        (
            b"image,Hat\na.jpg;1\n",
            "line 2: found 1 columns, expected 2 as in the header; this line is separated by ';'",
        ),
        (b"image|Hat\na.jpg|1\n", "has one column, 'image|Hat', and says nothing of images"),
        (b"image,Hat\n" + b"x" * 200_000 + b",1\n", "field larger than field limit"),
        (b'image,"H\nt"\na.jpg,1\n', "found the label 'H\\nt' with the line break U+000A"),
        (b"image,H\x1b[31m\na.jpg,1\n", "found the label 'H\\x1b[31m' with the control character U+001B"),
        (b'image,Hat\n"a\nb.jpg",1\n', "line 3: found the image name 'a\\nb.jpg' with the line break"),
        (b"image," + b"x" * 100_000 + b"\na.jpg,7\n", "found '7'"),
        (b"image,Hat\na.jpg," + b"7" * 100_000 + b"\n", "found '7777"),
    ],
)
def test_faults_of_csv_are_named_on_one_line(written, data, words):
    assert words in refusal(written(data))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[" * 100_000, "line 1: found no JSON (it is nested too deeply)"),
        ('{"image": "a", "labels": {"A": ' + "1" * 5000 + "}}", "found no JSON (a number of 5000 digits)"),
        ('{"image": "a", "image": "b", "labels": {}}', "found no JSON (the key 'image' twice)"),
        ('{"image": "a", "labels": {"A": Infinity}}', "column 'A': found 'inf'"),
        ('{"image": "a", "labels": {"\\ud800": 1}}', "found the label '\\ud800' with half a character"),
        ('{"image": "\\udce9", "labels": {"A": 1}}', "with a byte that is no UTF-8"),
        ('{"image": "a", "labels": {"A\\u0000": 1}}', "with the control character U+0000"),
        ('{"image": "a", "labels": {"A\\u001b[1m": 1}}', "with the control character U+001B"),
        ('{"image": "a", "labels": {"A": 1}, "identity": "a\\nb"}', "expected a name without the line break"),
        ('{"image": "a", "labels": {"A": 1}, "identity": "' + "x" * 300 + '"}', "a name of at most 200"),
    ],
)
def test_faults_of_json_are_named_on_one_line(written, line, words):
    assert words in refusal(written(line, "labels.jsonl"))


def test_nan_is_unknown_in_json_too(written):
    table = read_label_table(written('{"image": "a", "labels": {"A": NaN}, "identity": NaN}', "l.jsonl"))
    assert (table.labels.tolist(), table.identities) == ([[0]], {})


def test_a_key_in_json_keeps_its_letters(written):
    path = written(json.dumps({"image": " a\u202fb.jpg", "labels": {"A": 1}}), "l.jsonl")
    assert read_label_table(path).keys == [" a\u202fb.jpg"]


# ---- Parquet


def parquet_of(tmp_path, **columns):
    path = tmp_path / "labels.parquet"
    parquet.write_table(pa.table({"image": ["a.jpg", "b.jpg"], **columns}), path)
    return path


ODD = {
    "time": pa.array([dt.datetime(2024, 1, 1), None]),  # noqa: DTZ001
    "nanoseconds": pa.array([1, 2], pa.timestamp("ns")),
    "beyond": pa.array([2**62, 0], pa.timestamp("us")),
    "date": pa.array([2**31 - 1, 0], pa.date32()),
    "list": pa.array([[1], [2]]),
    "nested": pa.array([{"a": 1}, None]),
    "bytes": pa.array([b"1", b"0"]),
}


@pytest.mark.parametrize("kind", ODD)
def test_columns_of_no_use_are_named_and_may_be_left_out(tmp_path, kind):
    path = parquet_of(tmp_path, Hat=[1, 0], odd=ODD[kind])
    said = refusal(path)
    assert "labels.parquet, column 'odd': found values of the kind " in said
    assert "--exclude-columns" in said
    assert read_label_table(path, exclude_columns=["odd"]).names == ("Hat",)
    assert read_label_table(path, columns=["Hat"]).names == ("Hat",)


def test_invalid_text_is_named(tmp_path):
    odd = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xff1")]
    )
    assert "column 'odd': cannot be read: 'utf-8' codec" in refusal(parquet_of(tmp_path, odd=odd))


def test_two_columns_of_one_name_are_named(tmp_path):
    path = tmp_path / "labels.parquet"
    columns = [pa.array(["a.jpg"]), pa.array([1]), pa.array([0])]
    parquet.write_table(pa.Table.from_arrays(columns, names=["image", "Hat", "Hat"]), path)
    assert "found the column 'Hat' twice" in refusal(path)


def test_kinds_of_numbers(tmp_path):
    path = parquet_of(
        tmp_path,
        A=pa.array([decimal.Decimal("1.0"), decimal.Decimal("0.0")]),
        B=pa.array([1, None], pa.uint64()),
        C=pa.array([1.0, float("nan")], pa.float32()),
        D=pa.nulls(2),
        E=pa.array(["yes", "no"], pa.large_string()),
    )
    assert read_label_table(path).labels.tolist() == [[1, 1, 1, 0, 1], [-1, 0, 0, 0, -1]]


def test_more_labels_than_anybody_means(written):
    names = ",".join(f"L{number}" for number in range(10_001))
    assert "found 10,001 labels, expected at most 10,000: choose with --columns" in refusal(
        written(f"image,{names}\na.jpg{',1' * 10_001}\n")
    )
    many = "\n".join(json.dumps({"image": str(row), "labels": {f"L{row}": 1}}) for row in range(10_001))
    assert "found 10,001 labels" in refusal(written(many, "labels.jsonl"))
