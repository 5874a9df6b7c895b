"""What a folder holds that is no image of ours, and what is left out of it."""

import os
import tempfile
from pathlib import Path

import pytest

from olrsearch.core.errors import DatasetNotFoundError
from olrsearch.datasets import kinds, open_folder
from olrsearch.datasets.kinds import LeftOut, is_image_name, kind_passed_over


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for name in (
        "a.jpg",
        "b.JFIF",
        "2019/c.png",
        "2019/c_small.png",
        "2019/raw/d.NEF",
        "2019/raw/d.jpg",
        "e.cr2",
        "f.mov",
        "g.jxl",
        "notes.txt",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
        "#recycle/old.jpg",
        "__MACOSX/a.jpg",
        "__macosx/h.mp4",
        "._a.jpg",
        ".thumbnails/a.jpg",
        "Thumbs.db",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def keys(dataset):
    return [record.key for record in dataset]


def said(dataset):
    return {issue.code: (issue.count, issue.message) for issue in dataset.issues}


def test_what_is_passed_over_is_counted_by_kind(folder):
    dataset = open_folder(folder)
    assert keys(dataset) == ["2019/c.png", "2019/c_small.png", "2019/raw/d.jpg", "a.jpg", "b.JFIF"]
    assert said(dataset) == {
        "raw-not-read": (
            2,
            "2 RAW files are not read (1 .cr2, 1 .nef): save them as JPEG, PNG or TIFF to import them",
        ),
        "other-image-not-read": (
            1,
            "1 other image file is not read (1 .jxl): save them as JPEG, PNG or TIFF to import them",
        ),
        "video-not-read": (1, "1 video file is not read (1 .mov): save the frames that matter as images"),
    }


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["raw"], ["2019/c.png", "2019/c_small.png", "a.jpg", "b.JFIF"]),
        (["*_small.*", "2019/raw"], ["2019/c.png", "a.jpg", "b.JFIF"]),
        (["2019/"], ["a.jpg", "b.JFIF"]),
        (["2019/*.png"], ["2019/raw/d.jpg", "a.jpg", "b.JFIF"]),
        (["*/raw/*"], ["2019/c.png", "2019/c_small.png", "a.jpg", "b.JFIF"]),
        (["[ab].*"], ["2019/c.png", "2019/c_small.png", "2019/raw/d.jpg"]),
    ],
)
def test_patterns_leave_out_files_and_folders(folder, patterns, left):
    dataset = open_folder(folder, exclude=patterns)
    assert keys(dataset) == left
    assert "exclude-unused" not in said(dataset)


def test_a_pattern_that_leaves_out_nothing_is_said(folder):
    assert said(open_folder(folder, exclude=["raw", "smal"]))["exclude-unused"] == (
        1,
        "nothing is left out by smal",
    )


def test_what_systems_put_there_is_left_out_in_any_case():
    left_out = LeftOut()
    assert all(left_out.matches(path) for path in ("x/@EADIR/a.jpg", "$Recycle.Bin/a.jpg", "a/desktop.ini"))
    assert not left_out.matches("eaDir/recycle/a.jpg")


def test_a_folder_of_nothing_else_says_what_it_holds(tmp_path):
    (tmp_path / "a.nef").write_bytes(b"")
    with pytest.raises(DatasetNotFoundError, match=r"no images in .*; 1 RAW file is not read"):
        open_folder(tmp_path)


def test_heic_counts_where_its_library_is_missing(tmp_path, monkeypatch):
    (tmp_path / "a.HEIC").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"")
    monkeypatch.setattr(kinds, "heic_is_read", lambda: False)
    dataset = open_folder(tmp_path)
    assert keys(dataset) == ["b.jpg"]
    assert said(dataset) == {
        "heic-not-read": (
            1,
            "1 HEIC file is not read (1 .heic): pip install 'olrsearch[heic]', then import again",
        )
    }
    monkeypatch.setattr(kinds, "heic_is_read", lambda: True)
    assert keys(open_folder(tmp_path)) == ["a.HEIC", "b.jpg"]
    assert kind_passed_over("x/.a.heic") is None
    assert is_image_name("x/a.avif")


@pytest.fixture
def anybodys():
    """A folder that every user may look into: pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_folders_that_are_not_looked_into_are_said(anybodys):
    root = anybodys / "photos"
    (root / "inner").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"")
    (anybodys / "other").mkdir()
    (root / "linked").symlink_to(anybodys / "other")
    (root / "closed").mkdir(mode=0)
    is_root = os.geteuid() == 0
    if is_root:  # whom no folder is closed to
        os.seteuid(65534)
    try:
        dataset = open_folder(root)
    finally:
        if is_root:
            os.seteuid(0)
    assert keys(dataset) == ["a.jpg"]
    assert said(dataset) == {
        "unreadable-folders": (1, "1 folder cannot be read (Permission denied)"),
        "linked-folders": (1, "1 link to a folder is not followed; import those folders"),
    }
    assert [issue.examples for issue in dataset.issues] == [("closed",), ("linked",)]
