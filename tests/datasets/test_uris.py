"""What is read of a folder: regular files, and no more than they may have."""

import os
import socket
from pathlib import Path

import pytest

from olrsearch.core.errors import ImageDecodeError, ImageMissingError
from olrsearch.datasets.images import image_bytes, read_bytes
from olrsearch.datasets.memory import SMALL_FILE


def test_only_regular_files_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)  # the names of sockets are short
        listening.bind("socket.jpg")
        for name, found in {
            "pipe.jpg": "is a pipe, expected a file",
            "folder.jpg": "is a folder, expected a file",
            "endless.jpg": "is a device, expected a file",
            "socket.jpg": "cannot read image .*No such device",
            "gone.jpg": "cannot read image .*No such file",
        }.items():
            with pytest.raises(ImageMissingError, match=found):
                read_bytes(tmp_path, name)


def test_files_of_any_size_are_whole(tmp_path):
    for size in (0, 1, SMALL_FILE, SMALL_FILE + 1):
        (tmp_path / "a.jpg").write_bytes(b"x" * size)
        assert len(read_bytes(tmp_path, "a.jpg")) == size


def test_a_file_above_the_limit_is_not_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x" * 1001)
    too_large = pytest.raises(
        ImageDecodeError, match=r"a\.jpg has 1,001 bytes, expected an image of at most 1,000"
    )
    with too_large, image_bytes(tmp_path, "a.jpg", largest=1000):
        pass
    with (tmp_path / "b.jpg").open("wb") as file:
        file.truncate(10**12)  # takes no room on the disk
    with pytest.raises(ImageDecodeError, match=r"b\.jpg has 1,000,000,000,000 bytes"):
        read_bytes(tmp_path, "b.jpg")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="files that tell no size are Linux's")
def test_files_that_tell_no_size_are_read(tmp_path):
    (tmp_path / "a.jpg").symlink_to("/proc/self/stat")
    assert read_bytes(tmp_path, "a.jpg").startswith(str(os.getpid()).encode())


def test_what_goes_wrong_in_the_block_is_not_taken_for_an_unreadable_image(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(OSError, match="of the caller"), image_bytes(tmp_path, "a.jpg"):
        raise OSError("of the caller")
