"""Image bytes to RGB pixels, the right way up and within a bound of memory.

Pictures of more than `LARGE` pixels may come back smaller where a caller says which size suffices; JPEGs of
any size may, for they can be decoded at a half, a quarter or an eighth at a fraction of the cost.

Notation: w × h pixels; f, by how much a picture is reduced.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from olrsearch.core.errors import ImageDecodeError
from olrsearch.datasets import jpeg
from olrsearch.datasets.kinds import HEIC_EXTRA, heic_is_read, what_it_is
from olrsearch.datasets.memory import BUDGET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import ImageFile

    from olrsearch.core.arrays import F64

# Pillow takes memory in blocks. Large ones go back to the system at once, but glibc keeps those of the usual
# 16 MB for a thread that may never ask again: four threads came to twice what they used.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined]

log = logging.getLogger(__name__)

# Pillow knows formats whose decoders run other programs (EPS); images of strangers get these only.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")

_JPEGS: Final = frozenset({"JPEG", "MPO"})

LARGE: Final = 32_000_000
"""Pixels above which a picture of any format is reduced where a smaller one suffices."""

_SMALL: Final = 100_000
"""Pixels of which no decoder makes as much as would have to be asked for."""

_EDGE: Final = 2048
"""Pixels of the shorter side at which larger pictures are compared."""

_TILE: Final = 1_000_000
"""Pixels that are converted at once."""

_BESIDE: Final = {"WEBP": 14, "AVIF": 18, "HEIF": 12, "GIF": 2, "BMP": 4, "PPM": 8}
"""Bytes a pixel that decoders need beside the picture they fill, as measured and rounded up."""

_MOST: Final = float(np.finfo(np.float32).max)

_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_EITHER_BRAND: Final = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image as it was decoded, and what the file says of it.

    Attributes:
        image: RGB, the right way up; smaller than the file's where a smaller one suffices.
        width: Pixels of the whole image, the right way up.
        height: Likewise.
        orientation: EXIF's, 1 to 8; 1 where the file says nothing.
    """

    image: Image.Image
    width: int
    height: int
    orientation: int


def decode(data: bytes, *, where: str, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Decode image bytes to RGB, the right way up: `decode_with_size(…).image`."""
    return decode_with_size(data, where=where, at_least=at_least).image


def decode_with_size(data: bytes, *, where: str, at_least: tuple[int, int] | None = None) -> DecodedImage:
    """Decode image bytes to RGB, the right way up.

    The EXIF orientation is applied; transparency is laid over white; greyscale,
    palette, CMYK and 16-bit images are converted, the last by their upper 8 bits. Of
    an animation the first frame is taken. A JPEG that lacks nothing but its end marker is whole.

    Args:
        data: JPEG, PNG, WebP, BMP, GIF, TIFF, PNM, AVIF or HEIC bytes.
        where: What to call the image in an error message.
        at_least: Height and width in pixels that suffice: a larger JPEG may then come back
            reduced by 2, 4 or 8 (never below this), which is many times faster, and any picture of more
            than `LARGE` pixels reduced by a whole number.

    Raises:
        ImageDecodeError: Truncated, damaged, no image at all, or not to be decoded within the memory that
            images may take (`olrsearch.datasets.memory`).
    """
    try:
        return _decoded(data, where, at_least)
    except ImageDecodeError:
        raise
    except UnidentifiedImageError as cause:
        raise ImageDecodeError(f"{where} is no image that can be read: {what_it_is(data)}") from cause
    except MemoryError as cause:
        raise ImageDecodeError(f"{where} cannot be decoded: it needs more memory than there is") from cause
    except Exception as cause:
        # Pillow's format plugins raise nearly anything on damaged bytes.
        body = jpeg.without_end(data) if data.startswith(b"\xff\xd8") else None
        whole = None if body is None else _ended(body, where)
        if whole is None:
            told = " ".join(str(cause).split()) or type(cause).__name__
            raise ImageDecodeError(f"{where} cannot be decoded: {told}") from cause
    return decode_with_size(whole, where=where, at_least=at_least)


def _ended(body: bytes, where: str) -> bytes | None:
    """A JPEG with the end marker it lacks; None where more is lacking."""
    endings = jpeg.endings(body)
    frame = jpeg.read_frame(body)
    is_small = frame is None or frame.width * frame.height <= LARGE
    pictures = set()
    for ending in endings:
        try:
            image = _decoded(ending, where, None if is_small else (_EDGE, _EDGE)).image
        except Exception as cause:  # noqa: BLE001 - as above
            log.debug("%s lacks more than its end: %s", where, cause)
            return None
        pictures.add(hashlib.sha256(image.tobytes()).digest())
    return endings[0] if len(pictures) == 1 else None


def _decoded(data: bytes, where: str, at_least: tuple[int, int] | None) -> DecodedImage:
    with _without_pillows_limit(), Image.open(io.BytesIO(data), formats=_formats(data, where)) as image:
        width, height = image.size
        _refuse_missing_strips(image, where)
        factor = 1
        if at_least is not None:
            edge = max(at_least)  # EXIF may swap the sides
            image.draft("RGB", (edge, edge))
            if image.width * image.height > LARGE:
                factor = max(1, min(image.width, image.height) // edge)
        need = _need(image, data, factor)
        if need + len(data) > BUDGET.total:
            found, most = _megabytes(need + len(data)), _megabytes(BUDGET.total)
            raise ImageDecodeError(
                f"{where} has {width} × {height} pixels: as {image.format} they take {found} of memory, "
                f"expected at most {most}; shrink it"
            )
        with BUDGET.take(need):
            image.load()
            orientation = _orientation(image, where)
            # A JPEG that is loaded is a picture as any other, and the largest of all: no copy is made of it.
            is_done = factor == 1 and image.mode == "RGB" and image.format in _JPEGS
            upright = _upright(image if is_done else _to_rgb(image, factor), orientation)
    if orientation >= 5:
        width, height = height, width
    return DecodedImage(upright, width, height, orientation)


def _refuse_missing_strips(image: ImageFile.ImageFile, where: str) -> None:
    """Pillow leaves black what no strip of a TIFF holds: millions of rows, where a header is damaged.

    Raises:
        ImageDecodeError: The strips, or tiles, do not reach the end of the picture.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.tile:
        return
    # As the picture lies in the file: `size` is turned as EXIF says.
    whole = tuple(int(image.tag_v2[tag]) for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
    held = tuple(max(part.extents[side] for part in image.tile if part.extents) for side in (2, 3))
    if held[0] < whole[0] or held[1] < whole[1]:
        raise ImageDecodeError(
            f"{where} is a damaged TIFF: it says {whole[0]} × {whole[1]} pixels and holds "
            f"{held[0]} × {held[1]}"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _formats(data: bytes, where: str) -> tuple[str, ...]:
    """The formats that bytes may be of, as Pillow calls them."""
    if data[4:8] != b"ftyp":
        return FORMATS
    brands = {data[at : at + 4] for at in (8, *range(16, min(int.from_bytes(data[:4], "big"), 256), 4))}
    if brands & {b"avif", b"avis"}:
        return ("AVIF",)
    if not brands & (_HEIF_BRANDS | _EITHER_BRAND):
        return FORMATS  # a video, which is none of them
    if not heic_is_read():
        raise ImageDecodeError(f"{where} is HEIC, which needs a library of its own: {HEIC_EXTRA}")
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return ("HEIF",)


# --- memory ---------------------------------------------------------------------------


def _need(image: ImageFile.ImageFile, data: bytes, factor: int) -> int:
    """Bytes that decoding takes at its height, beside the file's own."""
    size = image.width * image.height
    if size <= _SMALL:
        return 0
    known = str(image.format)
    decoder = size * _BESIDE.get(known, 0)
    if known == "TIFF" and image.info.get("compression") != "raw":
        decoder += size * _pixel_bytes(image.mode)  # of a strip, which may be all of it
    if known in _JPEGS:
        frame = jpeg.read_frame(data)
        decoder += 0 if frame is None else frame.coefficient_bytes()
    source = _picture_bytes(image.width, image.height, _pixel_bytes(image.mode))
    target = _picture_bytes(image.width // factor, image.height // factor, 4)
    # Where EXIF may come after the pixels it is not known yet whether they must be turned.
    copies = (known not in _JPEGS) + (known == "PNG" or _orientation(image, "") > 1)
    return source + max(decoder, target * copies)


def _picture_bytes(width: int, height: int, pixel: int) -> int:
    """What Pillow takes for a picture: its pixels, and a pointer a row."""
    return (width * pixel + 8) * height


def _pixel_bytes(mode: str) -> int:
    return 1 if mode in {"1", "L", "P"} else 2 if mode.startswith("I;16") else 4


_limit_lock = threading.Lock()
_limits: list[int | None] = []
"""Pillow's limit, once for each decoder at work."""


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Pillow counts pixels and knows one limit for all of a program; here it is memory that counts."""
    with _limit_lock:
        _limits.append(_limits[0] if _limits else Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _limit_lock:
            before = _limits.pop()
            if not _limits:
                Image.MAX_IMAGE_PIXELS = before


# --- pixels ---------------------------------------------------------------------------


def _orientation(image: ImageFile.ImageFile, where: str) -> int:
    try:
        found = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as cause:  # noqa: BLE001 - damaged EXIF raises anything, and no picture is lost with it
        log.debug("unreadable EXIF in %s: %s", where, cause)
        return 1
    return found if found in range(1, 9) else 1


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image, factor: int) -> Image.Image:
    """RGB, each side reduced by a whole number; what is large is converted tile by tile."""
    span = _range(image) if image.mode.startswith("I") or image.mode == "F" else None
    if factor == 1 and image.width * image.height <= _TILE:
        return _tile_to_rgb(image, span)
    if factor == 1 and image.mode == "RGB" and not image.has_transparency_data:
        return image.copy()
    target = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for box in _boxes(image, factor):
        tile = _tile_to_rgb(image.crop(box), span)
        small = tile.reduce(factor) if factor > 1 else tile
        target.paste(small, (box[0] // factor, box[1] // factor))
    return target


def _boxes(image: Image.Image, factor: int) -> Iterator[tuple[int, int, int, int]]:
    """Tiles of a picture, their corners at multiples of f."""
    wide = min(image.width, max(factor, _TILE // factor // factor * factor))
    high = max(factor, _TILE // wide // factor * factor)
    for top in range(0, image.height, high):
        for left in range(0, image.width, wide):
            yield left, top, min(left + wide, image.width), min(top + high, image.height)


def _tile_to_rgb(tile: Image.Image, span: tuple[float, float] | None) -> Image.Image:
    if span is not None:
        return _from_deep(tile, *span)
    if tile.mode == "RGB" and not tile.has_transparency_data:
        return tile.copy()
    if tile.has_transparency_data:
        layer = tile.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return tile.convert("RGB")


def _range(image: Image.Image) -> tuple[float, float]:
    """Which values become black and white: those of 16 bits if all are such, others by their own range."""
    if image.mode.startswith("I;16"):
        return 0.0, float(0xFFFF)
    ends = [
        (float(values.min()), float(values.max()))
        for values in (_numbers(image.crop(box)) for box in _boxes(image, 1))
    ]
    low, high = min(least for least, _ in ends), max(most for _, most in ends)
    if image.mode == "F":
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    return (0.0, float(0xFFFF)) if low >= 0 and high <= 0xFFFF else (low, high)


def _numbers(tile: Image.Image) -> F64:
    """float64 [h, w] without NaN and infinities."""
    return np.nan_to_num(np.asarray(tile, dtype=np.float64), posinf=_MOST, neginf=-_MOST)


def _from_deep(tile: Image.Image, low: float, high: float) -> Image.Image:
    """More than 8 bits a pixel to 8."""
    scaled = (_numbers(tile) - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)).convert("RGB")
