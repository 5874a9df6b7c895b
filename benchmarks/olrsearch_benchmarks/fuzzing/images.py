"""Image bytes and zips of images: real ones with a few bytes changed, cut, or put together wrongly."""

from __future__ import annotations

import base64
import io
import struct
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from PIL import Image

from olrsearch.core.errors import DatasetError
from olrsearch.datasets.folder import open_folder
from olrsearch.datasets.images import decode_with_size, enough_for, image_bytes, thumbnail_jpeg
from olrsearch.datasets.kinds import heic_is_read
from olrsearch_benchmarks.fuzzing.harness import Parser

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
_MODES: Final = ("RGB", "L", "P", "RGBA", "1", "CMYK", "LA", "I;16", "I", "F")
_EDGE: Final = 24

_HEIC: Final = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAADsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNs"
    "eAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAAAAGAAAAAEAAAAQAAAAAf///9gAAAAC////0AAAAAIAAAAQcGl4"
    "aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAQ21kYXQAAAA3KAGvCchdGNAjmJZev//w28gB3dSD/Wk50ejefroM"
    "EwXZDvr2C3vXlcw56mEsGVK6QMNemw8giA=="
)
"""24 × 16 pixels, drawn for this: Pillow writes no HEIC."""

_NUMBERS: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_NAMES: Final = (
    "a.jpg",
    "b/c.png",
    "\\d\\e.png",
    "../f.png",
    "/g.png",
    "ä.png",
    "a\nb.png",
    "x" * 300 + ".gif",
)


@cache
def _pictures() -> tuple[bytes, ...]:
    """One of every format, mode and way of packing that Pillow writes."""
    ramp = np.linspace(0, 255, _EDGE * _EDGE * 3).reshape(_EDGE, _EDGE, 3).astype(np.uint8)
    options: tuple[dict[str, object], ...] = (
        {},
        {"progressive": True},
        {"compression": "tiff_lzw"},
        {"compression": "jpeg"},
        {"compression": "tiff_deflate"},
        {"lossless": True},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
        {"save_all": True, "append_images": [Image.fromarray(ramp[::-1].copy())]},
    )
    found = {base64.b64decode(_HEIC)} if heic_is_read() else set()
    for mode in _MODES:
        picture = Image.fromarray(ramp[..., 0].astype(np.uint16) * 257) if mode == "I;16" else None
        for format_ in _FORMATS:
            for more in options:
                buffer = io.BytesIO()
                try:
                    shown = Image.fromarray(ramp).convert(mode) if picture is None else picture
                    shown.save(buffer, format_, **more)
                except (
                    OSError,
                    ValueError,
                    KeyError,
                    TypeError,
                    RuntimeError,
                ):  # a format that lacks this mode
                    continue
                found.add(buffer.getvalue())
    return tuple(sorted(found))


def _changed(rng: Random, data: bytes) -> bytes:
    """Bytes with a few things changed: most of them near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        near = rng.random() < 0.6
        at = rng.randrange(min(len(changed), 96) if near else len(changed))
        way = rng.randrange(6)
        if way == 0:
            changed[at] = rng.randrange(256)
        elif way == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif way == 2:
            width = rng.choice(("<I", ">I", "<H", ">H"))
            number = rng.choice(_NUMBERS) & (0xFFFFFFFF if width[1] == "I" else 0xFFFF)
            changed[at : at + struct.calcsize(width)] = struct.pack(width, number)
        elif way == 3:
            del changed[at : at + rng.randrange(1, 64)]
        elif way == 4:
            changed[at:at] = changed[at : at + rng.randrange(1, 64)] * rng.choice((1, 1, 2, 40))
        else:
            del changed[at:]
    return bytes(changed)


def _make_picture(rng: Random) -> bytes:
    data = _changed(rng, rng.choice(_pictures()))
    return data if rng.random() < 0.95 else rng.randbytes(rng.randrange(64)) + data


def _read_picture(data: bytes) -> None:
    decoded = decode_with_size(data, where="x.jpg", at_least=enough_for(96))
    thumbnail_jpeg(decoded.image)


@cache
def _zips() -> tuple[bytes, ...]:
    """Some of every way of packing."""
    rng = Random(0)
    found = []
    for number in range(200):
        buffer = io.BytesIO()
        ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        with zipfile.ZipFile(buffer, "w", ways[number % 4]) as archive:
            for name in rng.sample(_NAMES, rng.randrange(1, 4)):
                archive.writestr(name, rng.choice(_pictures()))
        found.append(buffer.getvalue())
    return tuple(found)


def _make_zip(rng: Random) -> bytes:
    data = rng.choice(_zips())
    if rng.random() < 0.5:
        return _changed(rng, data)
    cut = data.rfind(b"PK\x01\x02") if rng.random() < 0.5 else data.find(b"PK\x01\x02")
    return data[:cut] + _changed(rng, data[cut:])  # the list of members, and what says where it is


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _read_zip(data: bytes) -> None:
    """Reads all members; one that cannot be read must not keep the others from being read."""
    path = _folder() / "a.zip"
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    dataset = open_folder(path)
    refused: list[DatasetError] = []
    for record in dataset:
        try:
            with image_bytes(dataset.root, record.uri):
                pass
        except DatasetError as error:
            refused.append(error)
    if len(refused) == len(dataset):
        raise refused[0]


PARSERS: Final = (
    Parser("images", _make_picture, _read_picture),
    Parser("zips", _make_zip, _read_zip),
)
