"""Ways between two points: straight, or along the unit sphere.

Notation: m places on the way, d dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from olrsearch.core.arrays import F64

_SMALL: Final = 1e-4
"""Radians, from 0 or from π, within which the formula would divide by next to nothing."""


def on_line(first: ArrayLike, second: ArrayLike, shares: ArrayLike) -> F64:
    """Points of the straight way, float64 [m, d]: (1 − ω) z₁ + ω z₂.

    Args:
        first: float [d].
        second: float [d].
        shares: ω, float [m]; 0 is the first point, 1 the second.
    """
    one, other, share = (np.asarray(array, np.float64) for array in (first, second, shares))
    found: F64 = (1.0 - share[:, None]) * one + share[:, None] * other
    return found


def slerp(first: ArrayLike, second: ArrayLike, shares: ArrayLike) -> F64:
    """Points of the great circle between two points of the unit sphere, float64 [m, d].

    (sin((1 − ω)θ) z₁ + sin(ωθ) z₂) / sin θ, θ the angle between them. Where the two nearly coincide, the
    straight way is taken and brought to length 1. Where they are nearly opposite, no great circle is the
    shortest: the way then leads over the coordinate axis that is most at right angles to them.

    Source: Shoemake (1985), "Animating Rotation with Quaternion Curves"; paper 002, figure 4.

    Args:
        first: float [d], of any length but 0; it is brought to 1.
        second: float [d], likewise.
        shares: ω, float [m]; 0 is the first point, 1 the second.
    """
    one, other = (_unit(np.asarray(array, np.float64)) for array in (first, second))
    share = np.asarray(shares, np.float64)
    angle = float(np.arccos(np.clip(one @ other, -1.0, 1.0)))
    if angle < _SMALL:
        return _unit(on_line(one, other, share))
    if np.pi - angle < _SMALL:
        axis = np.eye(len(one))[np.argmin(np.abs(one))]
        aside = _unit(axis - (axis @ one) * one)
        turned: F64 = np.cos(share * np.pi)[:, None] * one + np.sin(share * np.pi)[:, None] * aside
        return turned
    found: F64 = (
        np.sin((1.0 - share) * angle)[:, None] * one + np.sin(share * angle)[:, None] * other
    ) / np.sin(angle)
    return found


def _unit(points: F64) -> F64:
    """Points at length 1, [..., d]."""
    found: F64 = points / np.linalg.norm(points, axis=-1, keepdims=True)
    return found
