"""The images that a verb is asked about: named in the store or as files, or given as pixels."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown

if TYPE_CHECKING:
    from PIL import Image

    from olrsearch.core.arrays import U8
    from olrsearch.store.values import ImageRef

    Asked: TypeAlias = ImageRef | Image.Image | U8
    """An id, a key or a path; or an image of Pillow's, or its pixels, uint8 [height, width, 3]."""


_IN_PNG: Final = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
_WRITTEN_AS: Final = {
    **{mode: mode for mode in (*_IN_PNG, "I", "I;16B", "I;16L", "F")},
    "I;16N": "I",
    "La": "LA",
    "PA": "RGBA",
    "RGBa": "RGBA",
}
"""The mode in which a file keeps an image of Pillow's; others become RGB. What no PNG keeps, a TIFF does."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image that is in no store and no file.

    Attributes:
        image: RGB, the right way up.
    """

    image: Image.Image

    def __str__(self) -> str:
        return f"an image of {self.image.width} × {self.image.height} pixels"


def one_image(value: object) -> ImageRef | Pixels:
    """An image as the session looks for it.

    Raises:
        QueryError: what was given names no image and is none.
        ImageDecodeError: it has too many pixels.
    """
    if isinstance(value, Pixels):
        return value
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return Path(value)
    if _is_pillow(value):
        return _of_pillow(value)
    raise QueryError(
        "an image is given by its id, its key or a file, as an image of Pillow's, or as an array uint8 "
        f"[height, width, 3]; found {shown(value)}"
    )


def several_images(images: object) -> list[ImageRef | Pixels]:
    """One image, or many, as a list; an array of whole numbers holds ids.

    Raises:
        QueryError, ImageDecodeError: as `one_image`.
    """
    if isinstance(images, np.ndarray):
        ids = images.ndim == 1 and images.dtype.kind in "iu"
        many = ids or (images.ndim == 4 and images.dtype == np.uint8)
        return [one_image(item) for item in images] if many else [_of_array(images)]
    alone = isinstance(images, str | bytes | os.PathLike | Mapping) or _is_pillow(images)
    if alone or not isinstance(images, Iterable):
        return [one_image(images)]
    return [one_image(item) for item in images]


def _of_array(array: np.ndarray[Any, Any]) -> int | Pixels:
    from PIL import Image

    if array.ndim == 0 and array.dtype.kind in "iu":
        return int(array)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise QueryError(
            "an image as an array is uint8 [height, width, 3], red, green and blue from 0 to 255; found "
            f"{array.dtype} {list(array.shape)}"
        )
    return Pixels(Image.fromarray(np.ascontiguousarray(array)))


def _is_pillow(value: object) -> bool:
    """Whether it is an image of Pillow's, which is not imported to find out."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def _of_pillow(value: Any) -> Pixels:  # noqa: ANN401 - an image of Pillow's
    """As a file of the same image would be read: turned as its EXIF says, transparency laid over white."""
    from PIL import ImageOps

    from olrsearch.datasets.images import decode

    try:
        upright = ImageOps.exif_transpose(value)
        ready = upright.convert(_WRITTEN_AS.get(upright.mode, "RGB"))
        buffer = io.BytesIO()
        ready.save(buffer, "PNG" if ready.mode in _IN_PNG else "TIFF", compress_level=1)
    except (OSError, ValueError, SyntaxError) as error:  # a file that is closed or cut off
        raise QueryError(f"the image given cannot be read: {error}") from error
    return Pixels(decode(buffer.getvalue(), where="the image given"))
