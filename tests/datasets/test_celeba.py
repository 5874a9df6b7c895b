from __future__ import annotations

import io
import os
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from olrsearch.core.errors import DatasetNotFoundError, DuplicateKeyError, LabelFileError
from olrsearch.datasets import open_celeba
from olrsearch.datasets.celeba_files import format_attributes, format_numbers, parse_attributes, parse_pairs
from olrsearch.datasets.images import load_image

CELEBA = Path(os.environ.get("OLRSEARCH_CELEBA", Path(__file__).parents[2] / ".." / "shared" / "celeba"))

ATTRIBUTES = b"3\r\nBald Smiling \r\n1.jpg -1  1\r\n2.jpg  1 -1\r\n3.jpg  0  1\r\n"
PARTITION = b"1.jpg 0\r\n2.jpg 1\r\n3.jpg 2\r\n"
IDENTITY = b"1.jpg 10\r\n2.jpg 10\r\n3.jpg 11\r\n"
TEXTS = {
    "list_attr_celeba.txt": ATTRIBUTES,
    "list_eval_partition.txt": PARTITION,
    "identity_CelebA.txt": IDENTITY,
}


def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(buffer, "JPEG")
    return buffer.getvalue()


def write_images(folder, names=("1.jpg", "2.jpg", "3.jpg")):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(jpeg())


def write_zip(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def write_texts(folder, texts=TEXTS):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in texts.items():
        (folder / name).write_bytes(data)


def image_members(names=("1.jpg", "2.jpg", "3.jpg")):
    return {f"img_align_celeba/{name}": jpeg() for name in names}


def layout(kind, root):
    """The same data set in one of the layouts; the path to open."""
    if kind == "extracted":
        write_images(root / "img_align_celeba")
        write_texts(root)
    elif kind == "official":
        write_zip(root / "Img/img_align_celeba.zip", image_members())
        write_texts(root / "Anno", {n: d for n, d in TEXTS.items() if n != "list_eval_partition.txt"})
        write_texts(root / "Eval", {"list_eval_partition.txt": PARTITION})
    elif kind == "nested":
        write_images(root / "img_align_celeba/img_align_celeba")
        write_texts(root)
    elif kind == "two zips":
        write_zip(root / "img_align_celeba.zip", {"__MACOSX/._1.jpg": b"", **image_members()})
        write_zip(root / "anno.zip", {f"Anno/{name}": data for name, data in TEXTS.items()})
    elif kind == "the zip itself":
        write_zip(root / "faces.zip", image_members())
        write_texts(root)
        return root / "faces.zip"
    elif kind == "the folder itself":
        write_images(root / "img_align_celeba")
        write_texts(root)
        return root / "img_align_celeba"
    return root


LAYOUTS = ["extracted", "official", "nested", "two zips", "the zip itself", "the folder itself"]


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_layout_reads_the_same(tmp_path, kind):
    dataset = open_celeba(layout(kind, tmp_path))
    assert dataset.kind == "celeba"
    assert dataset.label_names == ("Bald", "Smiling")
    assert [(r.key, r.labels, r.partition, r.identity) for r in dataset] == [
        ("1.jpg", (-1, 1), "train", 10),
        ("2.jpg", (1, -1), "val", 10),
        ("3.jpg", (0, 1), "test", 11),
    ]
    assert dataset.issues == []
    for record in dataset:
        assert load_image(dataset.root, record.uri).size == (8, 8)


def test_uris_are_as_documented(tmp_path):
    zipped = open_celeba(layout("two zips", tmp_path / "a"))
    assert next(iter(zipped)).uri == "img_align_celeba.zip!img_align_celeba/1.jpg"
    extracted = open_celeba(layout("extracted", tmp_path / "b"))
    assert next(iter(extracted)).uri == "img_align_celeba/1.jpg"


def test_images_and_annotations_may_be_elsewhere(tmp_path):
    write_images(tmp_path / "somewhere/pictures")
    write_zip(tmp_path / "else/texts.zip", TEXTS)
    dataset = open_celeba(
        tmp_path, images=tmp_path / "somewhere/pictures", annotations=tmp_path / "else/texts.zip"
    )
    assert len(dataset) == 3
    assert next(iter(dataset)).uri == "pictures/1.jpg"


def test_partition_and_identity_are_optional(tmp_path):
    write_images(tmp_path / "img_align_celeba")
    write_texts(tmp_path, {"list_attr_celeba.txt": ATTRIBUTES})
    records = list(open_celeba(tmp_path))
    assert {(record.partition, record.identity) for record in records} == {(None, None)}


def test_rows_without_images_are_one_issue_and_images_without_rows_another(tmp_path):
    write_images(tmp_path / "img_align_celeba", ("2.jpg", "9.jpg", ".hidden.jpg"))
    (tmp_path / "img_align_celeba" / "notes.txt").write_text("no image")
    write_texts(tmp_path)
    dataset = open_celeba(tmp_path)
    assert [(record.key, record.labels) for record in dataset] == [("2.jpg", (1, -1)), ("9.jpg", None)]
    assert [(issue.code, issue.count, issue.examples) for issue in dataset.issues] == [
        ("rows-without-image", 2, ("1.jpg", "3.jpg")),
        ("images-without-row", 1, ("9.jpg",)),
        ("images-without-partition", 1, ("9.jpg",)),
        ("images-without-identity", 1, ("9.jpg",)),
    ]


KAGGLE = {
    "list_attr_celeba.csv": b"image_id,Bald,Smiling\n1.jpg,-1,1\n2.jpg,1,-1\n3.jpg,0,1\n",
    "list_eval_partition.csv": b"image_id,partition\n1.jpg,0\n2.jpg,1\n3.jpg,2\n",
    "list_bbox_celeba.csv": b"image_id,x_1\n1.jpg,95\n",
}


@pytest.mark.parametrize("kind", ["folder", "a zip of all", "the zip beside others"])
def test_kaggles_edition(tmp_path, kind):
    nested = {f"img_align_celeba/img_align_celeba/{name}": jpeg() for name in ("1.jpg", "2.jpg", "3.jpg")}
    if kind == "folder":
        path = tmp_path / "archive"
        write_images(path / "img_align_celeba/img_align_celeba")
        write_texts(path, KAGGLE)
    else:
        path = tmp_path / ("archive.zip" if kind == "a zip of all" else "img_align_celeba.zip")
        write_zip(path, nested | KAGGLE)
        path = path if kind == "a zip of all" else tmp_path
    dataset = open_celeba(path)
    assert [(r.key, r.labels, r.partition, r.identity) for r in dataset] == [
        ("1.jpg", (-1, 1), "train", None),
        ("2.jpg", (1, -1), "val", None),
        ("3.jpg", (0, 1), "test", None),
    ]
    assert [issue.code for issue in dataset.issues] == ["zeros-unknown"]
    assert load_image(dataset.root, next(iter(dataset)).uri).size == (8, 8)


def test_images_at_the_root_of_a_zip_are_called_by_their_names(tmp_path):
    write_zip(tmp_path / "faces.zip", {name: jpeg() for name in ("1.jpg", "2.jpg")})
    write_texts(tmp_path)
    dataset = open_celeba(tmp_path / "faces.zip")
    assert [(record.key, record.uri) for record in dataset] == [
        ("1.jpg", "faces.zip!1.jpg"),
        ("2.jpg", "faces.zip!2.jpg"),
    ]
    assert all(record.labels is not None for record in dataset)


@pytest.mark.parametrize("folder", ["img_align_celeba_png", "Img/img_align_celeba_png", "img_align_celeba"])
def test_the_edition_in_png_is_found_by_the_rows_of_jpg(tmp_path, folder):
    write_images(tmp_path / folder, ("1.png", "2.png"))
    write_texts(tmp_path)
    dataset = open_celeba(tmp_path)
    assert [(r.key, r.labels, r.partition, r.identity) for r in dataset] == [
        ("1.png", (-1, 1), "train", 10),
        ("2.png", (1, -1), "val", 10),
    ]
    assert [(issue.code, issue.count) for issue in dataset.issues] == [
        ("named-otherwise", 2),
        ("rows-without-image", 1),
    ]
    assert dataset.issues[0].message == (
        "2 images have other names in list_attr_celeba.txt, such as '1.jpg' for '1.png'"
    )


def test_a_table_that_names_no_image_is_refused_and_plain_photos_are_told_where_to_go(tmp_path):
    write_images(tmp_path / "img_align_celeba", ("x.jpg", "y.jpg"))
    with pytest.raises(DatasetNotFoundError, match=r"or run `olrsearch import folder .*` for plain photos"):
        open_celeba(tmp_path)
    write_texts(tmp_path)
    with pytest.raises(LabelFileError) as caught:
        open_celeba(tmp_path)
    assert "the first row names '1.jpg', the first image is 'x.jpg'" in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetNotFoundError, match="olrsearch import folder"):
        open_celeba(tmp_path / "empty")


def test_labels_are_chosen(tmp_path):
    path = layout("extracted", tmp_path)
    assert open_celeba(path, columns=["smiling"]).label_names == ("Smiling",)
    assert open_celeba(path, exclude_columns=["Smiling"]).label_names == ("Bald",)
    with pytest.raises(LabelFileError, match="no column 'Smlng'; it has Bald, Smiling; did you mean Smiling"):
        open_celeba(path, columns=["Smlng"])
    with pytest.raises(LabelFileError, match="in CelebA's format, whose columns are known: leave --zero out"):
        open_celeba(path, zero="absent")


def test_two_images_of_one_name_are_refused(tmp_path):
    write_zip(tmp_path / "img_align_celeba.zip", {"a/1.jpg": jpeg(), "b/1.jpg": jpeg()})
    write_texts(tmp_path)
    with pytest.raises(DuplicateKeyError, match=r"two images named 1\.jpg"):
        open_celeba(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="nothing at"):
        open_celeba(tmp_path / "no")
    with pytest.raises(DatasetNotFoundError, match=r"no img_align_celeba/ and no img_align_celeba\.zip"):
        open_celeba(tmp_path)
    (tmp_path / "img_align_celeba").mkdir()
    with pytest.raises(DatasetNotFoundError, match="no images in"):
        open_celeba(tmp_path)
    (tmp_path / "img_align_celeba/1.jpg").write_bytes(jpeg())
    with pytest.raises(DatasetNotFoundError, match=r"no list_attr_celeba\.txt"):
        open_celeba(tmp_path)
    with pytest.raises(DatasetNotFoundError, match="no images at"):
        open_celeba(tmp_path, images=tmp_path / "no")
    with pytest.raises(DatasetNotFoundError, match="no annotations at"):
        open_celeba(tmp_path, annotations=tmp_path / "no")
    (tmp_path / "anno.zip").write_bytes(b"no zip")
    with pytest.raises(DatasetNotFoundError, match="cannot be read as a zip"):
        open_celeba(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "line 1: found '', expected the number of rows"),
        (b"image_id,Bald\n1.jpg,1\n", "line 1: found 'image_id,Bald'"),
        (b"1\n\n1.jpg 1\n", "line 2: found no names"),
        (b"1\nBald Bald\n1.jpg 1 1\n", "line 2: found 'Bald' twice"),
        (b"1\nB\xff\n1.jpg 1\n", "list.txt is not UTF-8"),
        (b"1\nB\x7f\n1.jpg 1\n", "line 2: found the label 'B\\x7f' with the control character U+007F"),
        (b"1\nBald\n1\xc2\x85.jpg 1\n", "line 3: found the image name '1\\x85.jpg' with the line break"),
        (b"9" * 5000 + b"\nBald\n1.jpg 1\n", "line 1: found '999999"),
        (b"1\nBald Smiling\n1.jpg 1\n", "line 3: found 2 columns, expected 3"),
        (b"2\nBald\n\n1.jpg 1\n2.jpg 1 -1\n", "line 5: found 3 columns, expected 2"),
        (b"2\nBald Fat\n1.jpg 1 1\n\n2.jpg -1 2\n", "line 5: found '2' for Fat, expected -1, 0 or 1"),
        (b"1\nBald\n1.jpg -0\n", "line 3: found '-0' for Bald"),
        (b"1\nBald\n1.jpg 11\n", "line 3: found '11' for Bald"),
        (b"1\nBald\n1.jpg --1\n", "line 3: found '--1'"),
        (b"1\nBald\n\xff.jpg 1\n", "list.txt is not UTF-8 (invalid start byte at byte 7)"),
        (b"1\nBald\n", "found no rows"),
        (b"2\nBald\n1.jpg 1\n1.jpg -1\n", "line 4: found other labels for 1.jpg than on line 3"),
    ],
)
def test_faults_of_an_attribute_file_name_the_line(text, words):
    with pytest.raises(LabelFileError) as caught:
        parse_attributes(text, where="list.txt")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_number_of_rows_and_repeated_rows_are_issues():
    table = parse_attributes(b"5\nBald\n1.jpg 1\n1.jpg 1\n2.jpg -1\n", where="list.txt")
    assert table.keys == ["1.jpg", "2.jpg"]
    assert table.labels.tolist() == [[1], [-1]]
    assert [(issue.code, issue.count) for issue in table.issues] == [("row-count", 2), ("repeated-rows", 1)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"1.jpg 3\n", "list_eval_partition.txt, line 1, column 'partition': found '3', expected train, val"),
        (b"1.jpg 0\n2.jpg x\n", "line 2, column 'partition': found 'x'"),
        (b"1.jpg 0\n\n1.jpg 1\n", "line 3: found val for 1.jpg, which had train"),
        (b"1.jpg\n", "line 1: found 1 columns, expected 2"),
        (b"1.jpg 0\n2.jpg " + b"1" * 5000 + b"\n", "(5,000 characters), expected train, val"),
    ],
)
def test_faults_of_a_partition_file_name_the_line(tmp_path, text, words):
    path = layout("extracted", tmp_path)
    (path / "list_eval_partition.txt").write_bytes(text)
    with pytest.raises(LabelFileError) as caught:
        open_celeba(path)
    assert words in str(caught.value)


def test_identities_are_numbers_or_names(tmp_path):
    path = layout("extracted", tmp_path)
    who = path / "identity_CelebA.txt"
    who.write_bytes(b"1.jpg ann\n2.jpg -1\n3.jpg 7\n")
    assert [record.identity for record in open_celeba(path)] == ["ann", None, "7"]
    who.write_bytes(b"1.jpg 5\n2.jpg -1\n3.jpg " + b"7" * 18)
    assert [record.identity for record in open_celeba(path)] == [5, None, int("7" * 18)]
    who.write_bytes(b"1.jpg -4\n")
    with pytest.raises(LabelFileError, match="expected a whole number, a name, or nothing"):
        open_celeba(path)
    who.write_bytes(b"1.jpg ann\n1.jpg bob\n")
    with pytest.raises(LabelFileError, match=r"line 2: found bob for 1\.jpg, which had ann"):
        open_celeba(path)


names = st.text(st.characters(min_codepoint=33, exclude_categories=["Z", "C"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(
    st.lists(names, min_size=1, max_size=4, unique=True),
    st.lists(names, min_size=1, max_size=6, unique=True),
    st.data(),
)
def test_what_is_written_is_read_again(labels, keys, data):
    values = data.draw(
        st.lists(
            st.lists(st.sampled_from([-1, 0, 1]), min_size=len(labels), max_size=len(labels)),
            min_size=len(keys),
            max_size=len(keys),
        )
    )
    matrix = np.array(values, dtype=np.int8)
    table = parse_attributes(format_attributes(labels, keys, matrix), where="x")
    assert (list(table.names), table.keys, table.issues) == (labels, keys, [])
    assert np.array_equal(table.labels, matrix)
    numbers = data.draw(st.lists(st.integers(0, 10**9), min_size=len(keys), max_size=len(keys)))
    _, named, said = parse_pairs(format_numbers(keys, numbers), where="x")
    assert (named, said) == (keys, list(map(str, numbers)))


@pytest.mark.slow
def test_a_quarter_of_celeba_parses_at_once():
    rng = np.random.default_rng(0)
    keys = [f"{number:06d}.jpg" for number in range(1, 50_001)]
    labels = rng.choice(np.array([-1, 1], np.int8), size=(len(keys), 40))
    data = format_attributes([f"L{i}" for i in range(40)], keys, labels)
    start = time.process_time()
    table = parse_attributes(data, where="x")
    assert time.process_time() - start < 3  # about 0.3 s; generous for a busy machine
    assert np.array_equal(table.labels, labels)


@pytest.mark.slow
@pytest.mark.skipif(
    not (CELEBA / "img_align_celeba.zip").is_file(), reason=f"CelebA is not at {CELEBA}; set OLRSEARCH_CELEBA"
)
def test_celeba_itself():
    dataset = open_celeba(CELEBA)
    assert len(dataset.label_names) == 40
    assert (dataset.label_names[20], dataset.label_names[31]) == ("Male", "Smiling")
    records = list(dataset)
    missing = sum(issue.count for issue in dataset.issues if issue.code == "rows-without-image")
    assert len(records) + missing == 202_599
    assert set(Counter(record.partition for record in records)) <= {"train", "val", "test"}
    assert all(record.identity is not None and record.labels is not None for record in records)
    assert load_image(dataset.root, records[-1].uri).size == (178, 218)
