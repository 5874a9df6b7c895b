"""What is seen of all images of a run, prepared once: pixels from 0 to 1, or standardised features.

Notation: N images, n numbers that are seen of an image, H × W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from olrsearch.encoders.engines.engine import Task, make_engine, run_all
from olrsearch.encoders.trunks.trunk import channels_last
from olrsearch.encoders.vae.network import Features, Pixels

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, U8

NAME: Final = "seen.npy"
_CHUNK: Final = 2048
_LEAST_DEVIATION: Final = 1e-3
"""Numbers that hardly differ between images are not blown up."""


def see_all(seen: Pixels | Features, pixels: U8, train: I64, folder: Path) -> F32:
    """What is seen of all images, kept in a file of the run.

    Args:
        seen: Its standardisation is set, where it has one, by what is found of the training images.
        pixels: uint8 [N, H, W, 3], perhaps memory-mapped.
        train: int64, rows of the training images.
        folder: Where the file is written, or read where an interrupted run has written it.

    Returns:
        float32 [N, n], memory-mapped.
    """
    path = folder / NAME
    if not path.exists():
        _write(seen, pixels, path)
    found: F32 = np.load(path, mmap_mode="r")
    if isinstance(seen, Pixels):
        return found
    mean, std = _statistics(found, train)
    seen.scale.mean.copy_(torch.from_numpy(mean))
    seen.scale.std.copy_(torch.from_numpy(std))
    return (found - mean) / std


def _write(seen: Pixels | Features, pixels: U8, path: Path) -> None:
    """Run all images through, a part at a time; the file is there when it is whole."""
    unfinished = path.with_suffix(".part")
    height, width = pixels.shape[1:3]
    if isinstance(seen, Pixels):
        count = height * width * (1 if seen.grey else 3)
        engine = None
    else:
        count = seen.trunk.channels
        network = channels_last(seen).eval().requires_grad_(requires_grad=False)
        engine = make_engine(Task(network, torch.device("cpu"), (height, width)))
    out = np.lib.format.open_memmap(unfinished, "w+", np.float32, (len(pixels), count))
    for start in range(0, len(pixels), _CHUNK):
        part = np.array(pixels[start : start + _CHUNK])
        if engine is None:
            with torch.inference_mode():
                out[start : start + len(part)] = seen(torch.from_numpy(part).permute(0, 3, 1, 2)).numpy()
        else:
            run_all(engine, part, out[start : start + len(part)])
    out.flush()
    unfinished.replace(path)


def _statistics(found: F32, train: I64) -> tuple[F32, F32]:
    """Mean and deviation of the training images' numbers, float32 [n] each."""
    total, squares = np.zeros(found.shape[1]), np.zeros(found.shape[1])
    for start in range(0, len(train), _CHUNK):
        part = found[np.sort(train[start : start + _CHUNK])].astype(np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
    mean = total / len(train)
    std = np.sqrt(np.maximum(squares / len(train) - mean**2, _LEAST_DEVIATION**2))
    return mean.astype(np.float32), std.astype(np.float32)
