"""Everything that touches image bytes: uris, reading, decoding, thumbnails, pixel arrays.

A uri is relative to a data set's root, with `/` between folders on every system:

```
img_align_celeba/000001.jpg                             a file
img_align_celeba.zip!img_align_celeba/000001.jpg        a member of a zip, read in place
train-images-idx3-ubyte.gz#17                           an item of an idx file, as PNG bytes
cifar-100-binary/train.bin#17                           a record of CIFAR-100, as PNG bytes
cifar-100-binary.tar.gz!cifar-100-binary/train.bin#17   the same in a tar, read in place
```

All functions may be called from several threads at once; `olrsearch.datasets.containers`
keeps open what holds many images.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from olrsearch.core.errors import DatasetNotFoundError, ImageDecodeError, ImageMissingError
from olrsearch.datasets import containers

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8

log = logging.getLogger(__name__)

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
"""File name endings (lower case) that are taken for images."""

# Pillow knows formats whose decoders run other programs (EPS); images of strangers get these only.
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")

_ZIP_MARK = re.compile(r"\.zip!", re.IGNORECASE)
_TAR_NAME = re.compile(r"\.(?:tar(?:\.(?:gz|bz2|xz))?|tgz)\Z", re.IGNORECASE)
_TAR_MARK = re.compile(_TAR_NAME.pattern.replace(r"\Z", "!"), re.IGNORECASE)
_ITEM_MARK = re.compile(r"#([0-9]{1,10})\Z")
_REDUCING_GAP = 2.0


def read_bytes(root: Path | str, uri: str) -> bytes:
    """The bytes of an image file, a zip member, or an item of an idx or record file (as PNG).

    Args:
        root: The data set's root.
        uri: Relative to it. Symbolic links below the root are followed.

    Raises:
        ImageMissingError: The uri names nothing, cannot be read, or leads out of the root.
        ImageDecodeError: The zip member, or the file of items, is damaged.
    """
    item = _ITEM_MARK.search(uri)
    if item is not None:
        return _item(root, uri[: item.start()], int(item.group(1)), uri)
    mark = _ZIP_MARK.search(uri)
    if mark is not None:
        return containers.zip_member(_below(root, uri[: mark.end() - 1]), uri[mark.end() :])
    path = _below(root, uri)
    try:
        return path.read_bytes()
    except OSError as cause:
        raise ImageMissingError(
            f"cannot read image {path} ({cause.strerror}); restore it, or relocate the data set"
        ) from cause


def decode(data: bytes, *, where: str, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Decode image bytes to RGB, the right way up.

    The EXIF orientation is applied; transparency is laid over white; greyscale,
    palette, CMYK and 16-bit images are converted, the last by their upper 8 bits. Of
    an animation the first frame is taken.

    Args:
        data: JPEG, PNG, WebP, BMP, GIF, TIFF or PNM bytes.
        where: What to call the image in an error message.
        at_least: Height and width in pixels that suffice: a larger JPEG may then come back
            reduced by 2, 4 or 8 (never below this), which is many times faster.

    Raises:
        ImageDecodeError: Truncated, damaged, no image at all, or of more pixels
            than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, where)
            if at_least is not None:
                edge = max(at_least)  # EXIF may swap the sides
                image.draft("RGB", (edge, edge))
            image.load()
            return _upright(_to_rgb(image), _orientation(image, where))
    except (ImageDecodeError, MemoryError):
        raise
    except UnidentifiedImageError as cause:
        found = "is empty" if not data else f"begins with 0x{data[:8].hex()}"
        raise ImageDecodeError(f"{where} is no image that can be read: it {found}") from cause
    except Exception as cause:
        # Pillow's format plugins raise nearly anything on damaged bytes.
        raise ImageDecodeError(f"{where} cannot be decoded: {cause}") from cause


def exif_orientation(data: bytes, *, where: str) -> int:
    """The EXIF orientation of image bytes, 1 to 8; 1 where there is none. Reads the header only.

    Raises:
        ImageDecodeError: No image at all.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            found = _orientation(image, where)
    except UnidentifiedImageError as cause:
        raise ImageDecodeError(f"{where} is no image that can be read") from cause
    return found if found in range(1, 9) else 1


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
    return decode(read_bytes(root, uri), where=uri, at_least=at_least)


def thumbnail_jpeg(image: Image.Image, edge: int = 96) -> bytes:
    """A JPEG of the image whose longer side is `edge` pixels, or less where the image is smaller."""
    scale = min(1.0, edge / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=_REDUCING_GAP)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85, optimize=True)
    return buffer.getvalue()


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
    resized = image.convert("RGB").resize(
        (width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=_REDUCING_GAP
    )
    return np.array(resized, dtype=np.uint8)


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


def is_image_name(name: str) -> bool:
    """Whether a file name looks like an image's: a known suffix, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def zip_names(path: Path) -> list[str]:
    """Names of all files in a zip, in its order, but for those that macOS adds.

    Raises:
        DatasetNotFoundError: The file is not there, or is no zip.
    """
    try:
        with containers.open_zip(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except FileNotFoundError as cause:
        raise DatasetNotFoundError(f"no zip file at {path}") from cause
    except (OSError, zipfile.BadZipFile) as cause:
        raise DatasetNotFoundError(f"{path} cannot be read as a zip ({cause}); fetch it again") from cause
    return [name for name in names if not name.startswith("__MACOSX/")]


def is_tar_name(name: str) -> bool:
    """Whether a file name is a tar's whose members uris can name."""
    return _TAR_NAME.search(name) is not None


def _item(root: Path | str, file: str, number: int, uri: str) -> bytes:
    """One image of a file of items, or of such a file in a tar, as PNG."""
    mark = _TAR_MARK.search(file)
    path, member = (file, None) if mark is None else (file[: mark.end() - 1], file[mark.end() :])
    pixels = containers.item(_below(root, path), member, number, uri=uri)
    if pixels.ndim == 3:  # Pillow wants the three colours of a pixel side by side
        pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _below(root: Path | str, relative: str) -> Path:
    """`root/relative`, refused where the relative part leads out of the root by its name."""
    path = PurePosixPath(relative)
    if (
        not relative
        or "\0" in relative
        or path.is_absolute()
        or ".." in path.parts
        or Path(relative).is_absolute()
    ):
        raise ImageMissingError(f"{relative!r} is no path below the data set's root {root}")
    return Path(root, relative)


# --- decoding -----------------------------------------------------------------------


def _check_size(image: ImageFile.ImageFile, where: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise ImageDecodeError(
            f"{where} has {image.width} × {image.height} pixels, expected at most {limit}; shrink it first"
        )


def _orientation(image: ImageFile.ImageFile, where: str) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as cause:  # noqa: BLE001 - damaged EXIF raises anything, and no picture is lost with it
        log.debug("unreadable EXIF in %s: %s", where, cause)
        return 1


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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image.copy()
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """More than 8 bits a pixel to 8: 16-bit by their upper byte, others by their own range."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    elif low >= 0 and high <= 0xFFFF:
        low, high = 0.0, float(0xFFFF)
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)).convert("RGB")
