"""How well images fit the training of a space's encoder, as it was measured when they were encoded.

Notation: n images asked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.encoders.folder.shapes import expected_shapes
from olrsearch.maths.fit import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.core.arrays import F32, I64
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.values import Segment


def fits_in(segments: Iterable[Segment], ids: I64) -> F32:
    """Fits of images, float32 [n] in the order asked for; NaN where none was measured.

    Args:
        segments: Those of a space.
        ids: int64 [n].
    """
    found = np.full(len(ids), np.nan, np.float32)
    for segment in segments:
        if segment.fit is None:
            continue
        at = np.minimum(np.searchsorted(segment.ids, ids), len(segment.ids) - 1)
        there = segment.ids[at] == ids
        found[there] = segment.fit[at[there]]
    return found


def plain_fits(fits: F32) -> list[float | None]:
    """Fits as numbers of Python; None where none was measured."""
    return [None if math.isnan(fit) else fit for fit in fits.tolist()]


def known_fits(snapshot: Snapshot, ids: I64, info: SpaceInfo | None = None, *, may_lack: bool = False) -> F32:
    """Fits of images in a space, float32 [n]; NaN where none was measured.

    Args:
        snapshot: The generation.
        ids: int64 [n].
        info: The space; the newest that has any when None.
        may_lack: Whether it is no error that no image has one.

    Raises:
        QueryError: no image has one.
    """
    spaces = snapshot.spaces()[::-1] if info is None else [info]
    for space in spaces:
        segments = [snapshot.open_segment(segment) for segment in space.segments]
        if any(segment.fit is not None for segment in segments):
            return fits_in(segments, ids)
    if may_lack:
        return fits_in((), ids)
    where = "any space" if info is None else info.name
    raise QueryError(
        f"no image has a fit in {where}: it is measured as images are encoded, by encoders that know what "
        "they were trained on; leave fit out, or encode with another encoder"
    )


def foreign_notes(fits: Sequence[float | None], space: str) -> tuple[str, ...]:
    """Says so where hits are unlike what the encoder was trained on.

    Args:
        fits: Of the hits; None where unknown.
        space: Its name.
    """
    count = sum(fit is not None and fit < FOREIGN for fit in fits)
    if not count:
        return ()
    said = (
        f"{_these(count, len(fits))} unlike those {space} was trained on, and what it says "
        f'there means little: the condition "fit >= {FOREIGN}" leaves such out'
    )
    return (said,)


def _these(count: int, hits: int) -> str:
    """`1 of these 2 images is`; of one hit `this image is`."""
    if hits == 1:
        return "this image is"
    return f"{count} of these {hits} images {'is' if count == 1 else 'are'}"


def image_notes(info: SpaceInfo, fit: float | None, size: tuple[int, int]) -> tuple[str, ...]:
    """What a reader must know of what a space says of one image.

    Args:
        info: The space.
        fit: Of the image; None where unknown.
        size: Its width and height in pixels.
    """
    notes = []
    if fit is not None and fit < FOREIGN:
        notes.append(
            f"foreign: unlike the images {info.name} was trained on (fit {fit:.3g}, below {FOREIGN}), so "
            "these figures mean little"
        )
    expected = expected_shapes(info.model_path)
    if expected is not None and expected.squashed(np.asarray(size[:1]), np.asarray(size[1:]))[0]:
        notes.append(
            f"squashed: {size[0]} × {size[1]} pixels, and {info.name} was trained on images "
            f"{expected.said()}: crop it to that around what it shows"
        )
    return tuple(notes)
