"""Contact sheets of reconstructions: an image, what the decoder makes of it, the linear one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from olrsearch.core.made import SHORT
from olrsearch.sheets.contents import Card, Sheet
from olrsearch.sheets.made import made_png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.core.arrays import U8
    from olrsearch.evaluation.looks.reconstructions import Likeness, Reconstruction, Reconstructions


def reconstruction_sheet(found: Reconstructions) -> Sheet:
    """Three cards an image: the image, the decoder's picture and the linear one, both marked as made."""
    return Sheet(
        heading=f"Reconstructions from the embeddings of {found.space}",
        summary=f"the image, the decoder's picture, the linear reconstruction · the decoder learnt from "
        f"{found.trained_on:,} images",
        cards=tuple(card for image in found.images for card in _cards(image)),
        notes=found.notes,
        made=True,
    )


def _cards(image: Reconstruction) -> Iterator[Card]:
    original = None if image.original is None else _png(image.original)
    yield Card(image.name, "the image", original)
    yield Card(f"decoded{_alike(image.likeness)}", SHORT, made_png(image.picture))
    yield Card(f"linear{_alike(image.linear_likeness)}", SHORT, made_png(image.linear))


def _alike(likeness: Likeness | None) -> str:
    return "" if likeness is None else f" · SSIM {likeness.ssim:.2f}"


def _png(pixels: U8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
