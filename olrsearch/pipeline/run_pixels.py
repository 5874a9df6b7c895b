"""The pixels of a training run's images, decoded once into its folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import TrainingError
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch.store.training_runs import run_array

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.core.progress import Track
    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.store.read.snapshot import Snapshot

PIXELS: Final = "pixels.npy"
"""Their file in the run's folder, while it trains."""


def decode_run(snapshot: Snapshot, run: Path, config: TrainerConfig, *, resume: bool, track: Track) -> None:
    """Decode a run's images into its folder, unless they are there.

    Args:
        snapshot: The generation.
        run: The run's folder, with its `ids`.
        config: Size and crop of the pixels.
        resume: Whether the run began before; one that has just begun is removed where an image fails.
        track: Shows progress.

    Raises:
        TrainingError: an image cannot be read.
    """
    pixels = run / PIXELS
    if pixels.exists():
        return
    ids: I64 = run_array(run, "ids")
    rows = snapshot.images(ids.tolist())
    kept, failures = cache_pixels(rows, config.image_size, config.crop, pixels, track=track)
    if failures:
        pixels.unlink()
        if not resume:
            shutil.rmtree(run)  # nothing to resume: its list of images is no good
        raise TrainingError(
            f"{len(failures)} of {len(ids)} images cannot be read, the first: {failures[0].reason}; "
            "restore them, relocate the data set, or delete them from the store"
        )
    if not np.array_equal(kept, ids):
        raise TrainingError("images were decoded in another order than asked for")
