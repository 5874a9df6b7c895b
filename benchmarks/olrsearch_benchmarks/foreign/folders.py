"""Images of a folder and those below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import DatasetError
from olrsearch.datasets.images import load_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL import Image

_MOST: Final = (1200, 1200)
"""Pixels: larger photographs are made smaller, for many are held at once."""


def images(folder: Path) -> Iterator[Image.Image]:
    """Every image that can be read, in the order of their names, RGB."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            image = load_image(path.parent, path.name)
        except DatasetError:
            continue
        image.thumbnail(_MOST)
        yield image
