"""What a query by divergence is to a scan, and which images a scan leaves open.

Notation: N images (rows of a view), d dimensions, F numbers of a KL feature, b blocks of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from olrsearch.core.errors import GaussianError
from olrsearch.maths.divergences import DIRECTIONS, check_direction
from olrsearch.maths.kl_features import query_features
from olrsearch.search.kl.rounding import query_bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.maths.kl_features import Frame

Divergence = Literal["query-to-image", "image-to-query", "jeffreys"]
"""KL(query‖image), the paper's retrieval; KL(image‖query); or their sum."""

SPELT: Final[Mapping[Divergence, str]] = {
    "query-to-image": "KL(query‖image)",
    "image-to-query": "KL(image‖query)",
    "jeffreys": "Jeffreys' divergence",
}
"""How answers name divergences."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One query in one direction.

    Attributes:
        direction: Which.
        features: float64 [F].
        rounded: The same in float32.
        constant: What is added to the inner product.
        scan: Weights of the bound of a float32 product.
        refined: Weights of the bound of a float64 product with the same image features.
        extra: What is added to either bound.
    """

    direction: Direction
    features: F64
    rounded: F32
    constant: float
    scan: F64
    refined: F64
    extra: float


def ask(query: Gaussians, direction: Divergence, frame: Frame, size: int) -> tuple[Asked, ...]:
    """What a scan needs of a query: one entry, or for Jeffreys' divergence one a direction.

    Args:
        query: One Gaussian.
        direction: Which divergence.
        frame: Of the image features.
        size: d of the images.

    Raises:
        GaussianError: not one Gaussian of d dimensions with finite numbers, too far from the images for
            float32, or no such direction.
    """
    check_divergence(direction)
    if len(query) != 1 or query.size != size:
        raise GaussianError(
            f"a query of {len(query)} Gaussians in {query.size} dimensions: expected one in {size}"
        )
    if not (np.isfinite(query.mean).all() and np.isfinite(query.factor).all()):
        raise GaussianError("the query holds NaN or infinity: expected finite numbers")
    framed = frame.apply(query)
    asked = []
    for one in directions(direction):
        with np.errstate(over="ignore", invalid="ignore"):
            features, constants = query_features(framed, one)
        constant = float(constants[0])
        bounds = query_bounds(query, framed, frame, features[0], constant, one)
        asked.append(Asked(one, features[0], in_float32(features)[0], constant, *bounds))
    return tuple(asked)


def directions(divergence: Divergence) -> tuple[Direction, ...]:
    """The directions whose divergences add up to it: two for Jeffreys', else one."""
    return DIRECTIONS if divergence == "jeffreys" else (divergence,)


def check_divergence(direction: str) -> None:
    """Refuse what is no divergence.

    Raises:
        GaussianError: it is none.
    """
    if direction != "jeffreys":
        check_direction(direction)


def interval(values: F64, bounds: F64) -> tuple[F64, F64]:
    """Lower and upper ends; all numbers where nothing is known."""
    with np.errstate(invalid="ignore", over="ignore"):
        lower, upper = values - bounds, values + bounds
        middle = lower + upper
        if not np.isfinite(middle.sum()):
            unknown = ~np.isfinite(middle)
            lower[unknown], upper[unknown] = -np.inf, np.inf
    return lower, upper


def open_rows(rows: I64, lower: F64, upper: F64, count: int) -> tuple[I64, F64, F64]:
    """Those rows that may belong to the first `count`."""
    # count images lie at or before this, so whatever lies behind it for sure is out
    limit = np.partition(upper, count - 1)[count - 1]
    kept = np.flatnonzero(lower <= limit)
    return rows[kept], lower[kept], upper[kept]


def in_float32(features: F64) -> F32:
    """Features of queries or points in float32.

    Raises:
        GaussianError: they do not fit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = features.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise GaussianError("the query lies too far from the images for float32, or is too narrow")
    return rounded
