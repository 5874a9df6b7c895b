"""Paired bootstrap intervals: two methods see the same resamples.

Images of one identity are drawn together, for they err together; queries are drawn one by one.
An interval that excludes 0 is what "better" means in every report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.groups import cluster_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.core.arrays import F32, F64, I64, Floats

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % percentile interval.

    Attributes:
        estimate: On the data as it is.
        low: 2.5 % quantile over the resamples.
        high: 97.5 % quantile.
    """

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True when the sign of the estimate is beyond what chance explains."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.estimate:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def interval(samples: F64, estimate: float) -> Interval:
    """The percentile interval of resampled estimates; NaNs (a resample without positives) are left out."""
    usable = samples[np.isfinite(samples)]
    if not len(usable):
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(usable, [0.025, 0.975])
    return Interval(estimate, float(low), float(high))


def cluster_weights(
    identity: I64, *, seed: int, resamples: int = RESAMPLES, block: int = 250
) -> Iterator[F32]:
    """How often each image occurs in each resample of whole identities.

    Args:
        identity: int64 [G], −1 unknown.
        seed: Equal seeds give equal resamples, which is what pairs two methods.
        resamples: How many in all.
        block: How many at a time: memory is G × block × 4 bytes.

    Yields:
        float32 [G, block], whole numbers.
    """
    cluster = cluster_of(identity)
    count = int(cluster.max(initial=-1)) + 1
    rng = np.random.default_rng([seed, 0xB007])
    for size in _blocks(resamples, block):
        drawn = rng.integers(0, count, size=(size, count))
        times = np.stack([np.bincount(row, minlength=count) for row in drawn], axis=1)
        yield times[cluster].astype(np.float32)


def paired_difference(ours: Floats, theirs: Floats, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Interval of mean(ours − theirs) over paired units, such as queries.

    Args:
        ours: float [Q]; pairs where either is NaN are left out.
        theirs: float [Q].
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        The interval; NaN throughout when no pair is left.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng([seed, 0x9A12])
    means = np.concatenate(
        [
            difference[rng.integers(0, len(difference), size=(size, len(difference)))].mean(axis=1)
            for size in _blocks(resamples, max(1, 2_000_000 // len(difference)))
        ]
    )
    return interval(means, float(difference.mean()))


def _blocks(total: int, block: int) -> Iterator[int]:
    for start in range(0, total, block):
        yield min(block, total - start)
