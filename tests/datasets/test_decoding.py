"""Image bytes of every format to pixels, within a bound of memory."""

import base64
import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import ExifTags, Image

from olrsearch.core.errors import ImageDecodeError
from olrsearch.datasets import decoding, jpeg
from olrsearch.datasets.decoding import decode, decode_with_size
from olrsearch.datasets.memory import MemoryBudget

# 24 × 16 pixels, the upper half orange and the lower red: Pillow writes no HEIC.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAADsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNs"
    "eAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4"
    "aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAQ21kYXQAAAA3KAGvCchdGNAjmJZev//w28gB3dSD/Wk50ejefroM"
    "EwXZDvr2C3vXlcw56mEsGVK6QMNemw8giA=="
)


def photo(width=400, height=300, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# --- formats


def test_heic_and_avif_are_read():
    pytest.importorskip("pi_heif")
    for data in (HEIC, encoded(Image.open(io.BytesIO(encoded(decode(HEIC, where="x"), "PNG"))), "AVIF")):
        decoded = decode_with_size(data, where="x")
        assert (decoded.image.mode, decoded.width, decoded.height) == ("RGB", 24, 16)
        assert np.abs(np.subtract(decoded.image.getpixel((5, 2)), (200, 150, 0))).max() < 12
        assert np.abs(np.subtract(decoded.image.getpixel((5, 14)), (200, 0, 0))).max() < 12


def test_heic_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setattr(decoding, "heic_is_read", lambda: False)
    with pytest.raises(ImageDecodeError, match=r"photo\.jpg is HEIC, .*: pip install 'olrsearch\[heic\]'"):
        decode(HEIC, where="photo.jpg")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (bytes(5000), "it holds nothing but zeros"),
        (b"hi\n", "it begins with the text 'hi'"),
        (b"\x01\x02\x03", "it begins with the bytes 01 02 03"),
        (b"<!DOCTYPE html><html>", r"it is a web page \(HTML\)"),
        (b"\xef\xbb\xbf  <svg xmlns='x'>", r"it is XML, perhaps a drawing \(SVG\)"),
        (b"%PDF-1.7", "it is a PDF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS; .*: git lfs pull"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "it is a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", r"it is a RAW photograph \(CR3\)"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(data, what):
    with pytest.raises(ImageDecodeError, match=f"x is no image that can be read: {what}"):
        decode(data, where="x")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_size_is_that_of_the_whole_image_the_right_way_up(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode_with_size(encoded(photo(1600, 800), kind, exif=exif), where="x", at_least=(100, 100))
    assert (decoded.width, decoded.height, decoded.orientation) == (800, 1600, 6)
    assert decoded.image.height == 2 * decoded.image.width


# --- JPEGs that were cut


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}, {"restart_marker_rows": 1}],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_lacks_only_its_end_is_whole_and_others_are_not(options, mode):
    data = encoded(photo().convert(mode), **options)
    whole = decode(data, where="x").tobytes()
    assert data.endswith(jpeg.END)
    for missing in (data[:-2], data[:-1]):
        assert decode(missing, where="x").tobytes() == whole
    for cut in (3, 4, 10, 40, 200, len(data) // 2, len(data) - 700):
        with pytest.raises(ImageDecodeError, match="cannot be decoded: image file is truncated"):
            decode(data[: -2 - cut], where="x")


def test_a_progressive_jpeg_without_its_last_scan_is_not_whole():
    data = encoded(photo(), progressive=True)
    last = data.rfind(b"\xff\xda")
    assert jpeg.without_end(data[:-2]) is not None
    assert jpeg.without_end(data[:last]) is None
    with pytest.raises(ImageDecodeError):
        decode(data[:last], where="x")


def test_what_a_jpeg_needs_beside_its_pixels():
    assert jpeg.read_frame(encoded(photo())).coefficient_bytes() == 0
    frame = jpeg.read_frame(encoded(photo(), progressive=True, subsampling=2))
    assert (frame.width, frame.height, frame.progressive) == (400, 300, True)
    assert frame.coefficient_bytes() == 25 * 19 * 6 * 64 * 2
    assert jpeg.read_frame(b"\xff\xd8 no jpeg") is None


# --- large pictures


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "RGBA", "P", "LA", "1", "CMYK", "RGB"])
def test_tiles_are_converted_as_the_whole_picture_is(mode, monkeypatch):
    ramp = np.arange(70 * 50, dtype=np.float32).reshape(50, 70)
    picture = {
        "I;16": lambda: Image.fromarray((ramp * 18).astype(np.uint16)),
        "I": lambda: Image.fromarray((ramp * 1000).astype(np.int32) - 5),
        "F": lambda: Image.fromarray(ramp / 7 - 3),
    }.get(mode, lambda: photo(72, 48).convert(mode))()
    if mode in {"RGBA", "LA"}:
        picture.putalpha(photo(72, 48).convert("L"))
    data = encoded(picture, "PNG" if mode in {"I;16", "RGBA", "P", "LA", "1", "RGB"} else "TIFF")
    whole = decode(data, where="x").tobytes()
    monkeypatch.setattr(decoding, "_TILE", 100)
    assert decode(data, where="x").tobytes() == whole
    for tile in (100, 1_000_000):
        monkeypatch.setattr(decoding, "_TILE", tile)
        monkeypatch.setattr(decoding, "LARGE", 1000)
        small = decode_with_size(data, where="x", at_least=(15, 15))
        assert (small.width, small.height) == picture.size
        expected = decode(data, where="x").reduce(3)
        assert small.image.size == expected.size
        assert np.abs(np.asarray(small.image).astype(int) - np.asarray(expected)).max() <= 1


def png_header(width, height):
    """The beginning of a greyscale PNG, without any pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    found = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return found + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def test_pictures_that_would_take_more_than_all_images_may_are_refused_unseen():
    for width, height in ((1, 89_000_000), (40_000, 40_000)):
        with pytest.raises(ImageDecodeError, match=r"pixels: as PNG they take [\d,]+ MB of memory, expected"):
            decode(png_header(width, height), where="x", at_least=(384, 384))


def test_infinite_and_missing_numbers_are_pixels_too():
    values = np.array([[0.0, 1.0], [np.nan, np.inf], [-np.inf, 2.0]], np.float32)
    assert decode(encoded(Image.fromarray(values), "TIFF"), where="x").size == (2, 3)


# --- memory


def test_threads_share_the_budget():
    budget = MemoryBudget(100_000_000)
    held, most, lock = [0], [0], threading.Lock()

    def use(count):
        with budget.all_of_it() if count == budget.total else budget.take(count):
            with lock:
                held[0] += count
                most[0] = max(most[0], held[0])
            if count == budget.total:
                with budget.take(count):  # who has all of it may go on
                    pass
            with lock:
                held[0] -= count

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, [40_000_000, 70_000_000, budget.total, 30_000_000] * 50))
    assert 40_000_000 <= most[0] <= budget.total


def rewritten(tiff, tag, value):
    """A little-endian TIFF with another value of one tag, of four bytes or of two."""
    start = struct.unpack_from("<I", tiff, 4)[0]
    found = bytearray(tiff)
    for place in range(struct.unpack_from("<H", tiff, start)[0]):
        at = start + 2 + 12 * place
        if struct.unpack_from("<H", tiff, at)[0] == tag:
            struct.pack_into("<HII", found, at + 2, 4, 1, value)
    return bytes(found)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_tiff_whose_strips_end_before_the_picture_is_damaged(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.new("L", (24, 30), 90).save(buffer, "TIFF", exif=exif)
    whole = rewritten(buffer.getvalue(), ExifTags.Base.RowsPerStrip, 30)
    assert decode(whole, where="x").size == ((24, 30) if orientation == 1 else (30, 24))
    broken = rewritten(whole, ExifTags.Base.ImageLength, 1_000_000)
    with pytest.raises(ImageDecodeError, match="it says 24 × 1000000 pixels and holds 24 × 30"):
        decode(broken, where="x")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits", "tiff_ccitt"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK", "I;16"])
def test_whole_tiffs_of_any_kind_are_read(mode, compression):
    if compression == "tiff_ccitt" and mode != "1":
        pytest.skip("only of two colours")
    buffer = io.BytesIO()
    Image.new(mode, (300, 700), 1).save(buffer, "TIFF", compression=compression)
    assert decode(buffer.getvalue(), where="x").size == (300, 700)
