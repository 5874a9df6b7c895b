"""Table 1 of paper 002 as P5 reads it, and what stands beside it: pictures that a judge reads.

Notation: n images, d dimensions, m pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.maths.neighbours import nearest_rows, vote
from olrsearch.maths.sphere import on_line, slerp

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64, Bool
    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch_benchmarks.papers.atnl.digits import Digits
    from olrsearch_benchmarks.papers.atnl.judge import Judge

NEIGHBOURS: Final = 5
_PAIRS: Final = 250
"""Pairs of images for each pair of digits at the midpoint."""
_STRIPS: Final = 20
"""Pairs of images for each pair of digits in strips."""
_FRAMES: Final = 11


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What one encoder reaches; shares 0 to 1.

    Attributes:
        right: Which images the vote of their neighbours gets right, bool [n].
        reconstructed: Share of reconstructions that are read as what they show.
        same: Share of midpoints of two images of a digit that are read as it.
        between: Share of the frames of strips from a to b that are read as a digit from a to b.
        ordered: Share of strips from a to b, at least two digits apart, that are read in order from a to b,
            with at least one digit strictly between them.
        midpoint: Share of the midpoints of d and d + 2 that are read as d + 1.
        order: Correlation of distances between the means of digits, or angles, with their difference.
    """

    right: Bool
    reconstructed: float
    same: float
    between: float
    ordered: float
    midpoint: float
    order: float

    @property
    def neighbours(self) -> float:
        """Share of images that the vote gets right."""
        return float(self.right.mean())


def is_spherical(encoder: PosteriorEncoder) -> bool:
    """Whether points of an encoder lie on the unit sphere; plain auto-encoders' never all have length 1."""
    return encoder.kind == "atnl"


def means_of(encoder: PosteriorEncoder, digits: Digits) -> F32:
    """Points, or means of posteriors, float32 [n, d]."""
    return encoder.encode(digits.pixels).mean


def ways(first: F32, second: F32, shares: F64, *, sphere: bool) -> F32:
    """Points on the way from each of some points to another, float32 [m, s, d].

    Args:
        first: float32 [m, d].
        second: float32 [m, d].
        shares: float64 [s].
        sphere: Along the sphere rather than straight.
    """
    way = slerp if sphere else on_line
    return np.stack([way(one, other, shares) for one, other in zip(first, second, strict=True)]).astype(
        np.float32
    )


def measure(encoder: PosteriorEncoder, base: Digits, asked: Digits, judge: Judge, *, seed: int) -> Measures:
    """Measure one encoder.

    Args:
        encoder: With a decoder.
        base: Whose labels vote.
        asked: Images that are told apart, reconstructed and interpolated.
        judge: Reads pictures.
        seed: Of pairs.
    """
    sphere = is_spherical(encoder)
    base_points, points = means_of(encoder, base), means_of(encoder, asked)
    right = vote(base.classes, nearest_rows(points, base_points, NEIGHBOURS)) == asked.classes
    reconstructed = float((judge.read(encoder.decode(points)) == asked.classes).mean())
    rng = np.random.default_rng([seed, 0xA7])
    rows = [np.flatnonzero(asked.classes == digit) for digit in range(10)]

    def midpoints(one: int, other: int) -> I64:
        pair = points[rng.choice(rows[one], _PAIRS)], points[rng.choice(rows[other], _PAIRS)]
        return judge.read(encoder.decode(ways(*pair, np.array([0.5]), sphere=sphere)[:, 0]))

    same = np.mean([(midpoints(digit, digit) == digit).mean() for digit in range(10)])
    midpoint = np.mean([(midpoints(digit, digit + 2) == digit + 1).mean() for digit in range(8)])
    between, ordered = _strips(encoder, points, rows, judge, rng)
    return Measures(
        right=right,
        reconstructed=reconstructed,
        same=float(same),
        between=between,
        ordered=ordered,
        midpoint=float(midpoint),
        order=_order_of_means(base_points, base.classes, sphere=sphere),
    )


def _strips(
    encoder: PosteriorEncoder, points: F32, rows: list[I64], judge: Judge, rng: np.random.Generator
) -> tuple[float, float]:
    """Shares `between` and `ordered` of `Measures`."""
    shares = np.linspace(0, 1, _FRAMES)
    inside, in_order = [], []
    for low in range(10):
        for high in range(low + 1, 10):
            pair = points[rng.choice(rows[low], _STRIPS)], points[rng.choice(rows[high], _STRIPS)]
            way = ways(*pair, shares, sphere=is_spherical(encoder))
            read = judge.read(encoder.decode(way.reshape(-1, way.shape[2]))).reshape(_STRIPS, _FRAMES)
            inside.append(((read >= low) & (read <= high)).mean())
            if high - low > 1:
                rising = (np.diff(read, axis=1) >= 0).all(axis=1)
                in_order.append((rising & ((read > low) & (read < high)).any(axis=1)).mean())
    return float(np.mean(inside)), float(np.mean(in_order))


def _order_of_means(points: F32, classes: I64, *, sphere: bool) -> float:
    """Correlation of the distances between digits' means, or angles, with their difference; 45 pairs."""
    means = np.stack([points[classes == digit].mean(axis=0) for digit in range(10)]).astype(np.float64)
    one, other = np.triu_indices(10, 1)
    if sphere:
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        distances = np.arccos(np.clip((means[one] * means[other]).sum(axis=1), -1, 1))
    else:
        distances = np.linalg.norm(means[one] - means[other], axis=1)
    return float(np.corrcoef(distances, other - one)[0, 1])
