from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from olrsearch.core.errors import DatasetNotFoundError, ImageDecodeError, ImageMissingError
from olrsearch.datasets import containers, decoding
from olrsearch.datasets import images as files
from olrsearch.datasets.memory import MemoryBudget


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width=40, height=30):
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, width)
    ramp[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(ramp)


def idx3(array):
    return struct.pack(">4B3I", 0, 0, 8, 3, *array.shape) + array.tobytes()


# --- reading


def test_files_zip_members_and_idx_items_are_read(tmp_path):
    data = encoded(photo())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/it!.png").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "All.ZIP", "w") as archive:
        archive.writestr("in side/a.png", data)
    items = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "images-idx3-ubyte").write_bytes(idx3(items))
    assert files.read_bytes(tmp_path, "deep/it!.png") == data
    assert files.read_bytes(tmp_path, "All.ZIP!in side/a.png") == data
    item = Image.open(io.BytesIO(files.read_bytes(tmp_path, "images-idx3-ubyte#1")))
    assert item.format == "PNG"
    assert np.array_equal(np.asarray(item), items[1])
    assert files.load_image(tmp_path, "images-idx3-ubyte#0").mode == "RGB"


@pytest.mark.parametrize(
    "uri",
    ["../x.png", "a/../../x.png", "/etc/hostname", "", "..", "../a.zip!x.png", "a\0.png", "../idx#1"],
)
def test_uris_that_leave_the_root_are_refused(tmp_path, uri):
    with pytest.raises(ImageMissingError, match="no path below"):
        files.read_bytes(tmp_path, uri)


def test_what_is_missing_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.png", b"x")
    (tmp_path / "i-idx3-ubyte").write_bytes(idx3(np.zeros((2, 1, 1), np.uint8)))
    for uri, words in {
        "no.png": "No such file",
        "no.zip!x.png": "No such file",
        "a.zip!no.png": "no member 'no.png'",
        "i-idx3-ubyte#2": "item 2 of 2",
        "no-idx3-ubyte#2": "No such file",
    }.items():
        with pytest.raises(ImageMissingError, match=words):
            files.read_bytes(tmp_path, uri)
    with pytest.raises(DatasetNotFoundError, match="no zip file"):
        files.zip_names(tmp_path / "no.zip")
    with pytest.raises(DatasetNotFoundError, match="cannot be read as a zip"):
        files.zip_names(tmp_path / "i-idx3-ubyte")


def test_damaged_members_are_decode_errors(tmp_path):
    data = encoded(photo())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.png", data)
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    raw[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(ImageDecodeError, match="cannot be unpacked"):
        files.read_bytes(tmp_path, "a.zip!x.png")
    (tmp_path / "b.zip").write_bytes(b"no zip")
    with pytest.raises(ImageDecodeError, match="cannot be unpacked"):
        files.read_bytes(tmp_path, "b.zip!x.png")


def test_a_replaced_zip_is_read_anew(tmp_path):
    for content in (b"first", b"the second"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("x.png", content)
        assert files.read_bytes(tmp_path, "a.zip!x.png") == content


def test_many_threads_read_more_zips_than_stay_open(tmp_path):
    rng = np.random.default_rng(0)
    expected = {}
    for number in range(12):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            for member in range(5):
                expected[f"{number}.zip!{member}.png"] = rng.bytes(3000)
                archive.writestr(f"{member}.png", expected[f"{number}.zip!{member}.png"])
    uris = rng.choice(sorted(expected), size=600).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda uri: files.read_bytes(tmp_path, uri), uris))
    assert found == [expected[uri] for uri in uris]
    assert len(containers._zips._kept) <= 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
# A worker of pytest-xdist has a thread of its own, which Python 3.12 warns of.
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_opens_files_of_its_own(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.png", b"content")
    with containers.open_zip(tmp_path / "a.zip"):  # the lock is held while the child is made
        child = multiprocessing.get_context("fork").Process(
            target=files.read_bytes, args=(tmp_path, "a.zip!x.png")
        )
        child.start()
        child.join(20)
    assert child.exitcode == 0


# --- decoding


def test_exif_orientation_is_applied():
    image = photo(40, 20)
    for orientation, (size, corner) in {
        1: ((40, 20), (0, 0)),
        2: ((40, 20), (39, 0)),
        3: ((40, 20), (39, 19)),
        4: ((40, 20), (0, 19)),
        5: ((20, 40), (0, 0)),
        6: ((20, 40), (19, 0)),
        7: ((20, 40), (19, 39)),
        8: ((20, 40), (0, 39)),
    }.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("PNG", "JPEG"):
            data = encoded(image, kind, exif=exif.tobytes())
            decoded = files.decode(data, where="x")
            assert files.decode_with_size(data, where="x").orientation == orientation
            assert decoded.size == size
            assert max(decoded.getpixel(corner)) < 20  # where the black corner went


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_loses_no_picture():
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff garbage")
    assert files.decode(data, where="x").size == (40, 30)


def test_every_mode_becomes_sane_rgb():
    grey = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (4, 1))
    eight = Image.fromarray(grey)
    pictures = {
        "L": encoded(eight),
        "1": encoded(eight.convert("1", dither=Image.Dither.NONE)),
        "P": encoded(eight.convert("P")),
        "LA": encoded(eight.convert("LA")),
        "RGBA": encoded(eight.convert("RGBA")),
        "16 bits": encoded(Image.fromarray(grey.astype(np.uint16) * 257)),
        "CMYK": encoded(eight.convert("RGB").convert("CMYK"), "JPEG", quality=100),
        "GIF": encoded(eight, "GIF"),
        "WEBP": encoded(eight.convert("RGB"), "WEBP", lossless=True),
        "32 bits": encoded(Image.fromarray(grey.astype(np.int32) * 257), "TIFF"),
        "float": encoded(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"),
    }
    for name, data in pictures.items():
        decoded = files.decode(data, where=name)
        assert decoded.mode == "RGB", name
        tolerance = 128 if name == "1" else 2
        assert np.abs(np.asarray(decoded)[..., 1].astype(int) - grey).max() <= tolerance, name


def test_transparency_is_laid_over_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0])
    for data in (encoded(clear), encoded(palette, transparency=0)):
        assert files.decode(data, where="x").getpixel((1, 1)) == (255, 255, 255)


def test_truncated_images_are_errors():
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        data = encoded(photo(200, 150), kind)
        with pytest.raises(ImageDecodeError, match="part"):
            files.decode(data[: len(data) // 2], where="part")


def test_what_is_no_image_is_named():
    with pytest.raises(ImageDecodeError, match="it is empty"):
        files.decode(b"", where="x")
    with pytest.raises(ImageDecodeError, match="it begins with the text 'hello'"):
        files.decode(b"hello", where="x")
    with pytest.raises(ImageDecodeError, match="no image"):
        files.decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", where="an EPS file")


def test_what_needs_too_much_memory_is_refused_before_it_is_decoded(monkeypatch):
    data = encoded(photo(400, 300))
    monkeypatch.setattr(decoding, "BUDGET", MemoryBudget(1_000_000))
    with pytest.raises(ImageDecodeError, match=r"400 × 300 pixels: as PNG they take 1 MB of memory"):
        files.decode(data, where="x")
    monkeypatch.setattr(decoding, "BUDGET", MemoryBudget(1_500_000))
    assert files.decode(data, where="x").size == (400, 300)


def test_pillows_own_limit_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    assert files.decode(encoded(photo(40, 30)), where="x").size == (40, 30)
    with pytest.raises(ImageDecodeError):
        files.decode(b"no image", where="x")
    assert Image.MAX_IMAGE_PIXELS == 500


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_decode_or_raise_the_named_error(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]))
    raw = bytearray(encoded(photo(), kind))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=8)):
        raw[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageDecodeError):
        assert files.decode(bytes(raw), where="x").mode == "RGB"


def test_large_jpegs_are_decoded_small_but_not_too_small(tmp_path):
    data = encoded(photo(1600, 1200), "JPEG")
    (tmp_path / "x.jpg").write_bytes(data)
    small = files.decode(data, where="x", at_least=(100, 90))
    assert small.size == (200, 150)
    quick = files.load_array(tmp_path, "x.jpg", (32, 32), "center").astype(int)
    slow = files.to_array(files.load_image(tmp_path, "x.jpg"), (32, 32), "center").astype(int)
    assert np.abs(quick - slow).max() <= 4


# --- pixels


def test_arrays_have_the_size_that_was_asked_for():
    image = photo(40, 30)
    before = image.tobytes()
    assert files.to_array(image, (16, 24)).shape == (16, 24, 3)
    array = files.to_array(image, (10, 20), "center")
    assert (array.shape, array.dtype, array.flags.writeable) == ((10, 20, 3), np.uint8, True)
    assert image.tobytes() == before
    with pytest.raises(ValueError, match="crop is 'left'"):
        files.to_array(image, (8, 8), "left")


def test_a_central_crop_takes_the_middle_square():
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 200
    array = files.to_array(Image.fromarray(pixels), (20, 20), "center")
    assert (array == 200).all()
    assert files.to_array(Image.fromarray(pixels), (20, 20), "none").mean() < 100


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from(["none", "center"]))
def test_a_plain_colour_stays_what_it_is(width, height, crop):
    image = Image.new("RGB", (width, height), (9, 99, 199))
    array = files.to_array(image, (7, 11), crop)
    assert (array == (9, 99, 199)).all()


def test_thumbnails_fit_the_edge_and_never_grow():
    wide = Image.open(io.BytesIO(files.thumbnail_jpeg(photo(400, 100))))
    assert (wide.format, wide.size) == ("JPEG", (96, 24))
    assert Image.open(io.BytesIO(files.thumbnail_jpeg(photo(1000, 1)))).size == (96, 1)
    assert Image.open(io.BytesIO(files.thumbnail_jpeg(photo(20, 30)))).size == (20, 30)
