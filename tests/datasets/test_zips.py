"""Zips as people have them: one bad member, or one odd name, costs one member."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from olrsearch.core.errors import DatasetNotFoundError, ImageDecodeError
from olrsearch.datasets import open_folder
from olrsearch.datasets.images import load_image, read_bytes

PACKED = [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED]


def png(colour="teal"):
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, members, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def with_raw_name(path, placeholder, raw, *, marked):
    """Puts bytes of the same length in the place of a name, and says whether they are UTF-8."""
    data = bytearray(path.read_bytes())
    assert len(placeholder) == len(raw)
    at = -1
    while (at := data.find(placeholder, at + 1)) >= 0:
        data[at : at + len(raw)] = raw
        for signature, header, flags in ((b"PK\x03\x04", 30, 6), (b"PK\x01\x02", 46, 8)):
            if data[at - header : at - header + 4] == signature:
                struct.pack_into("<H", data, at - header + flags, 0x800 if marked else 0)
    path.write_bytes(data)


def keys_and_codes(path):
    dataset = open_folder(path)
    for record in dataset:
        assert load_image(dataset.root, record.uri).size == (5, 4)
    return [record.key for record in dataset], {issue.code: issue.examples for issue in dataset.issues}


@pytest.mark.parametrize(
    ("raw", "marked", "key", "codes"),
    [
        ("süd.png".encode(), True, "süd.png", {}),
        ("süd.png".encode(), False, "süd.png", {}),  # as macOS writes it
        ("süd.png".encode("cp437"), False, "süd.png", {"guessed-names": ("süd.png",)}),
        ("süd.png".encode("cp437"), True, "süd.png", {"guessed-names": ("süd.png",)}),
        ("写真.png".encode("cp932"), False, "Ä╩É^.png", {"guessed-names": ("Ä╩É^.png",)}),
        (b"a\x00b.png", False, "z.png", {"unusable-names": (r"a\x00b.png",)}),
        (b"a\nb.png", False, "z.png", {"unusable-names": (r"a\x0ab.png",)}),
        (b"a\x1bb.png", False, "z.png", {"unusable-names": (r"a\x1bb.png",)}),
        (b"a\\b.png", False, "a/b.png", {}),  # as some programs of Windows write it
    ],
)
def test_names_of_every_kind(tmp_path, raw, marked, key, codes):
    placeholder = b"#" * (len(raw) - 4) + b".png"
    path = zipped(tmp_path / "a.zip", {placeholder.decode(): png(), "z.png": png()})
    with_raw_name(path, placeholder, raw, marked=marked)
    keys, found = keys_and_codes(path)
    assert keys == sorted({key, "z.png"})
    assert found == codes


def test_names_that_lead_out_of_the_folder_are_counted_and_named(tmp_path):
    names = ("../up.png", "x/../r.png", "a\nb.png", "./s.png", "t.png ", "q.png")
    dataset = open_folder(zipped(tmp_path / "a.zip", dict.fromkeys(names, png())))
    assert [record.key for record in dataset] == ["q.png", "s.png"]
    assert all(load_image(dataset.root, record.uri).size == (5, 4) for record in dataset)
    said = {issue.code: (issue.count, issue.examples) for issue in dataset.issues}
    assert said == {
        "unusable-names": (3, ("../up.png", "x/../r.png", r"a\x0ab.png")),
        "blank-ended-not-read": (1, ("t.png ",)),
    }
    assert all(name in dataset.issues[0].message for name in dataset.issues[0].examples)


def test_a_name_in_utf8_beside_the_name_is_taken(tmp_path):
    raw = "süd.png".encode("cp850")
    extra = b"\x01" + struct.pack("<L", zlib.crc32(raw)) + "süd.png".encode()
    info = zipfile.ZipInfo("#######")
    info.extra = struct.pack("<2H", 0x7075, len(extra)) + extra
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, png())
    with_raw_name(tmp_path / "a.zip", b"#######", raw, marked=False)
    assert keys_and_codes(tmp_path / "a.zip") == (["süd.png"], {})


def test_a_name_that_stands_twice_is_said(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png("red"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", png("blue"))
    dataset = open_folder(tmp_path / "a.zip")
    assert [(issue.code, issue.count) for issue in dataset.issues] == [("repeated-members", 1)]
    assert load_image(dataset.root, "a.zip!a.png").getpixel((0, 0)) == (0, 0, 255)


def test_a_member_of_a_newer_version_is_read_or_is_the_only_one_that_is_not(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.png": png(), "b.png": png(), "c.png": png()})
    data = bytearray(path.read_bytes())
    first = data.find(b"PK\x01\x02")
    second = data.find(b"PK\x01\x02", first + 1)
    data[first + 6] = 99  # stored after all
    data[second + 6] = 99
    struct.pack_into("<H", data, second + 10, 77)  # packed in a way nobody knows
    path.write_bytes(data)
    dataset = open_folder(path)
    assert load_image(dataset.root, "a.zip!a.png").size == (5, 4)
    assert load_image(dataset.root, "a.zip!c.png").size == (5, 4)
    with pytest.raises(ImageDecodeError, match=r"'b\.png' in .* cannot be unpacked: .*compression"):
        read_bytes(dataset.root, "a.zip!b.png")


@pytest.mark.parametrize("how", PACKED)
def test_a_damaged_member_is_the_only_one_that_is_not_read(tmp_path, how):
    content = np.random.default_rng(0).bytes(5000)
    path = zipped(tmp_path / "a.zip", {"a.png": content, "b.png": png()}, how)
    raw = bytearray(path.read_bytes())
    for at in range(60, 400, 7):
        raw[at] ^= 0xFF
    path.write_bytes(raw)
    dataset = open_folder(path)
    with pytest.raises(ImageDecodeError, match=r"'a\.png' in .* cannot be unpacked: ."):
        read_bytes(dataset.root, "a.zip!a.png")
    assert read_bytes(dataset.root, "a.zip!b.png") == png()


@pytest.mark.parametrize(
    "how", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]
)
def test_members_come_back_as_they_were(tmp_path, how):
    rng = np.random.default_rng(1)
    members = {
        f"{size}.png": bytes(size // 2) + rng.bytes(size - size // 2) for size in (0, 1, 5000, 3_000_000)
    }
    path = zipped(tmp_path / "a.zip", members, how)
    assert {name: read_bytes(tmp_path, f"{path.name}!{name}") for name in members} == members


@pytest.mark.parametrize("how", PACKED)
def test_no_more_is_unpacked_than_a_member_declares(tmp_path, how):
    path = zipped(tmp_path / "a.zip", {"a.png": bytes(50_000_000)}, how)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 1000)
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ImageDecodeError, match="cannot be unpacked"):
            read_bytes(tmp_path, "a.zip!a.png")
        assert tracemalloc.get_traced_memory()[1] < 15_000_000
    finally:
        tracemalloc.stop()


def test_what_a_zip_declares_is_held_against_the_limit(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.png": png()})
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.find(b"PK\x01\x02") + 24, 0xFFFFFFF0)
    path.write_bytes(data)
    with pytest.raises(
        ImageDecodeError, match=r"a\.zip!a\.png has 4,294,967,280 bytes, expected an image of at"
    ):
        read_bytes(tmp_path, "a.zip!a.png")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip_of_images_is_named(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DatasetNotFoundError, match=r"cannot be read as a zip|no images in"):
        open_folder(tmp_path / "a.zip")
