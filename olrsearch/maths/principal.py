"""Principal components of features that lie on disk, found in a sample and read in blocks.

Notation: N images, D numbers an image, m components.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.arrays import blocks_of
from olrsearch.core.errors import FitError
from olrsearch.core.progress import silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, F64, Floats
    from olrsearch.core.progress import Track

SAMPLE: Final = 8192
"""Images the components are found in."""

_ROUNDS: Final = 2
_SPARE: Final = 32
_ROWS: Final = 1024
_FLOOR: Final = 0.2  # of the median deviation: numbers that hardly vary are not blown up to noise


def principal_components(
    features: Floats, count: int, *, groups: Sequence[int] = (), seed: int = 0, track: Track = silent
) -> F32:
    """Project features onto the principal components of a sample of them.

    Every number is standardised, and every group of numbers has the same total variance, so that a
    large map does not silence a small one.

    Args:
        features: float [N, D]; may be a memory map, and is read in blocks.
        count: m; fewer are returned where N or D is smaller.
        groups: Sizes of groups of numbers, in their order, together D; one group when empty.
        seed: Of the sample and of the random start.
        track: Shows the progress.

    Returns:
        float32 [N, m], components by falling variance.

    Raises:
        FitError: no images, groups of another total size than D, or numbers that are not finite.

    Source: Halko, Martinsson and Tropp, "Finding Structure with Randomness", 2011, algorithms 4.4 and 5.1.
    """
    total, size = features.shape
    if not total or sum(groups or (size,)) != size:
        raise FitError(
            f"{total} images of {size} numbers in groups of {', '.join(map(str, groups)) or size}: expected "
            "at least one image, and groups that are all its numbers together"
        )
    rng = np.random.default_rng([seed, 0x9CA])
    rows = np.sort(rng.choice(total, min(total, SAMPLE), replace=False))
    count = min(count, len(rows) - 1, size)
    sample = np.concatenate([features[part].astype(np.float32) for part in blocks_of(rows, _ROWS)])
    mean, scale = _scaling(sample, groups or (size,))
    sample -= mean
    sample *= scale
    basis = rng.normal(size=(size, min(size, count + _SPARE))).astype(np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    small = sample @ basis
    vectors = np.linalg.eigh(small.T @ small)[1][:, ::-1][:, :count]
    axes: F32 = basis @ vectors
    out = np.empty((total, count), np.float32)
    blocks = range(0, total, _ROWS)
    for start in track(blocks, total=len(blocks), what="components", unit="blocks"):
        part = slice(start, start + _ROWS)
        out[part] = ((features[part].astype(np.float32) - mean) * scale) @ axes
    _require_finite(out)
    return out


def _require_finite(found: Floats) -> None:
    """Means and coordinates are finite if and only if what they are made of is."""
    if not np.isfinite(found).all():
        raise FitError("features to find components in hold NaN or infinities: compute them again")


def _scaling(sample: F32, groups: Sequence[int]) -> tuple[F32, F32]:
    """Means and factors, float32 [D] both."""
    mean: F64 = sample.mean(axis=0, dtype=np.float64)
    _require_finite(mean)
    deviation: F64 = sample.std(axis=0, dtype=np.float64)
    scale = np.zeros(len(mean))
    start = 0
    for size in groups:
        part = slice(start, start + size)
        varying = deviation[part] > 0
        if varying.any():
            floor = _FLOOR * float(np.median(deviation[part][varying]))
            factors = np.where(varying, 1.0 / np.maximum(deviation[part], max(floor, 1e-12)), 0.0)
            scale[part] = factors / np.sqrt(size)
        start += size
    return mean.astype(np.float32), scale.astype(np.float32)
