"""How made pictures are shown: contact sheets beside the real images they start from, and files."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from olrsearch.core.errors import OlrsearchError
from olrsearch.core.files import write_whole
from olrsearch.core.made import MADE, SHORT
from olrsearch.sheets.contents import Bar, Card, Companion, Sheet
from olrsearch.sheets.made import made_info, made_png

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8
    from olrsearch.evaluation.looks.imagined import Imagined, ImaginedPicture
    from olrsearch.sheets.contents import Picture

_ENLARGED = 160
"""Pixels that a small picture is enlarged to, in whole steps: pages would blur it."""


def imagined_sheet(found: Imagined, picture: Picture) -> Sheet:
    """The sheet of made pictures.

    Args:
        found: What to show.
        picture: From the id of a stored image near a point to its JPEG.
    """
    said = [f"by {found.space}"]
    if found.seed is not None:
        said.append(f"seed {found.seed}, temperature {found.temperature:g}")
    if found.path is not None:
        said.append("along the great circle" if found.path == "sphere" else "along a straight line")
    notes = [MADE]
    if any(made.reads for made in found.pictures):
        notes.append("bars: what the encoder reads in the made picture")
    if any(made.near for made in found.pictures):
        notes.append("small pictures: real images, the nearest of the store to that point")
    return Sheet(
        heading=f"{found.question} · {SHORT}",
        summary=" · ".join(said),
        cards=tuple(_card(number, made, picture) for number, made in enumerate(found.pictures, 1)),
        notes=(*notes, *found.notes),
        asked=tuple(Card(image.name, "the image itself", image.picture) for image in found.asked),
        made=True,
    )


def _card(number: int, made: ImaginedPicture, picture: Picture) -> Card:
    return Card(
        title=f"{number}. {made.caption}",
        score=SHORT,
        picture=made_png(_enlarged(made)),
        bars=tuple(
            Bar(read.word, f"{read.ratio:+.1f}", 0.0)
            if read.probability is None
            else Bar(read.word, f"{read.probability:.2f}", read.probability)
            for read in made.reads
        ),
        companions=tuple(
            Companion(f"{image.key}, {image.distance:.2f} nats", picture(image.image_id))
            for image in made.near
        ),
    )


def write_pictures(found: Imagined, folder: Path | str) -> list[Path]:
    """Write each picture as a PNG of its own whose metadata say that it is made, and of what.

    Args:
        found: What to write.
        folder: Where to; made when it is not there. Files of the same names are replaced.

    Returns:
        The paths written.

    Raises:
        OlrsearchError: the folder's path is that of a file.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise OlrsearchError(f"{target} is a file, expected a folder for the pictures: name another")
    written = []
    for made in found.pictures:
        info = made_info()
        info.add_text("Title", f"{found.question}: {made.caption}"[:200])
        about = {"made": True, "space": found.space, "encoder": found.encoder, "seed": found.seed}
        info.add_text("olrsearch", json.dumps({**about, "temperature": found.temperature}))
        buffer = io.BytesIO()
        Image.fromarray(made.pixels).save(buffer, "PNG", pnginfo=info)
        path = target / f"{made.name}.png"
        write_whole(path, buffer.getvalue())
        written.append(path)
    return written


def file_name(text: str) -> str:
    """A text as part of a file's name: letters, digits, dots and hyphens."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:60] or "picture"


def _enlarged(made: ImaginedPicture) -> U8:
    """Small pictures in whole steps larger, so that a page shows their pixels and does not blur them."""
    times = max(1, _ENLARGED // max(made.pixels.shape[:2]))
    return made.pixels.repeat(times, axis=0).repeat(times, axis=1)
