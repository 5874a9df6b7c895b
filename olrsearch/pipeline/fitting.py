"""What a trained encoder is told of its training images, so that it can say how well others fit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import FitError
from olrsearch.encoders.folder.fit_file import TrainingFit, write_fit
from olrsearch.encoders.protocol import MeasuringEncoder
from olrsearch.encoders.registry import load
from olrsearch.maths.fit import fit_model

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, U8, Bool
    from olrsearch.store.read.snapshot import Snapshot

logger = logging.getLogger(__name__)

_MOST: Final = 5000
"""Training images looked at: the estimate hardly gains from more, and they take half a minute on a CPU."""

_BATCH: Final = 256


def add_fit(model: Path, pixels: U8, selection: Bool, shapes: tuple[float, float]) -> bool:
    """Write what an encoder needs to say how well images fit beside its model.

    Args:
        model: The model folder.
        pixels: uint8 [N, H, W, 3], perhaps memory-mapped: the images of its run.
        selection: bool [N], those that training held back.
        shapes: See `shapes_of`.

    Returns:
        Whether there was enough to estimate it from, of a network that can be looked into.
    """
    encoder = load(model)
    if not isinstance(encoder, MeasuringEncoder):
        return False
    training, held_out = (_some(np.flatnonzero(rows)) for rows in (~selection, selection))
    try:
        found = [_features(encoder, pixels, rows) for rows in (training, held_out)]
        if found[0] is None or found[1] is None:
            return False
        fitted = fit_model(found[0], found[1])
    except FitError as error:
        logger.info("%s has no measure of fit: %s", model.name[:12], error)
        return False
    write_fit(model, TrainingFit(fitted, len(training), len(held_out), shapes))
    return True


def shapes_of(snapshot: Snapshot, ids: I64) -> tuple[float, float]:
    """Width divided by height of images: the least and the greatest of the middle 98 in a hundred."""
    sides = snapshot.columns(ids, ("width", "height"))
    low, high = np.quantile(sides["width"] / sides["height"], (0.01, 0.99))
    return float(low), float(high)


def _some(rows: I64) -> I64:
    """Rows, or as many as are looked at, evenly chosen."""
    return rows if len(rows) <= _MOST else rows[np.linspace(0, len(rows) - 1, _MOST).astype(np.int64)]


def _features(encoder: MeasuringEncoder, pixels: U8, rows: I64) -> F32 | None:
    parts = []
    for start in range(0, len(rows), _BATCH):
        part = encoder.features(pixels[rows[start : start + _BATCH]])
        if part is None:
            return None
        parts.append(part)
    return np.concatenate(parts) if parts else None
