"""Images of data sets: read and decoded, as thumbnails, and as the pixels that encoders take.

`olrsearch.datasets.uris` says where their bytes are, `olrsearch.datasets.decoding` makes RGB of them.
All functions may be called from several threads at once.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from olrsearch.datasets.containers import zip_names
from olrsearch.datasets.decoding import DecodedImage, decode, decode_with_size
from olrsearch.datasets.kinds import is_image_name
from olrsearch.datasets.uris import image_bytes, read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import U8

__all__ = [
    "DecodedImage",
    "decode",
    "decode_with_size",
    "enough_for",
    "image_bytes",
    "is_image_name",
    "load_array",
    "load_image",
    "load_thumbnail",
    "read_bytes",
    "thumbnail_jpeg",
    "to_array",
    "zip_names",
]

THUMBNAIL_EDGE: Final = 96
"""Pixels of the longer side of the small copies that stores keep."""

_REDUCING_GAP = 2.0


def load_image(root: Path | str, uri: str, *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read and decode an image: `decode(read_bytes(root, uri))`.

    Args:
        root: The data set's root.
        uri: Relative to it.
        at_least: As in `decode`.

    Raises:
        ImageMissingError: As in `read_bytes`.
        ImageDecodeError: As in `decode`.
    """
    with image_bytes(root, uri) as data:
        return decode(data, where=uri, at_least=at_least)


def enough_for(edge: int) -> tuple[int, int]:
    """The size at which to decode an image for a thumbnail: four times the thumbnail's."""
    return 4 * edge, 4 * edge


def thumbnail_jpeg(image: Image.Image, edge: int = THUMBNAIL_EDGE) -> bytes:
    """A JPEG of the image whose longer side is `edge` pixels, or less where the image is smaller."""
    scale = min(1.0, edge / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = _rgb(image).resize(size, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()


def load_thumbnail(root: Path | str, uri: str, edge: int = THUMBNAIL_EDGE) -> bytes:
    """A JPEG of an image, its longer side at most `edge` pixels; errors as of `load_image`."""
    return thumbnail_jpeg(load_image(root, uri, at_least=enough_for(edge)), edge)


def to_array(image: Image.Image, size: tuple[int, int], crop: str = "none") -> U8:
    """Resize an RGB image to the pixels an encoder takes.

    Args:
        image: RGB; not changed.
        size: Height and width in pixels.
        crop: `none` stretches the whole image to `size`; `center` takes the largest
            central part of the shape of `size` (a square for a square), and stretches nothing.

    Returns:
        uint8 [H, W, 3], bilinear.

    Raises:
        ValueError: `crop` is neither.
    """
    height, width = size
    box: tuple[float, float, float, float] | None = None
    if crop == "center":
        scale = min(image.width / width, image.height / height)
        left = (image.width - width * scale) / 2
        top = (image.height - height * scale) / 2
        box = (max(0.0, left), max(0.0, top), image.width - max(0.0, left), image.height - max(0.0, top))
    elif crop != "none":
        raise ValueError(f"crop is {crop!r}, expected 'none' or 'center'")
    resized = _rgb(image).resize(
        (width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP
    )
    return np.array(resized, dtype=np.uint8)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def load_array(root: Path | str, uri: str, size: tuple[int, int], crop: str = "none") -> U8:
    """Read an image straight to the pixels an encoder takes: uint8 [H, W, 3].

    As `to_array(load_image(root, uri), size, crop)`, but faster on large JPEGs, which
    are decoded at a fraction of their size (never below twice `size`).

    Raises:
        ImageMissingError: As in `read_bytes`.
        ImageDecodeError: As in `decode`.
    """
    enough = (round(size[0] * _REDUCING_GAP), round(size[1] * _REDUCING_GAP))
    return to_array(load_image(root, uri, at_least=enough), size, crop)
