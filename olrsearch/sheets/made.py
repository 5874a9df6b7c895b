"""PNGs of made pictures, marked in their metadata."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from olrsearch.core.made import KEYWORD, MADE

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8


def made_info() -> PngInfo:
    """What to save a PNG with made pictures with: `image.save(path, "PNG", pnginfo=made_info())`."""
    info = PngInfo()
    info.add_text(KEYWORD, MADE)
    return info


def made_png(pixels: U8) -> bytes:
    """A made picture uint8 [H, W, 3] as a PNG that says so."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=made_info())
    return buffer.getvalue()
