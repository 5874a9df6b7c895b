"""Small logistic regressions, by Newton's method.

Notation: n entries, C columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64

_ITERATIONS: Final = 50
_TOLERANCE: Final = 1e-9
"""Of the objective: a step that promises to lower it by less is not worth taking."""
_SHORTEST: Final = 1e-6
_ENOUGH: Final = 1e-4  # of the decrease a step promises, as Armijo has it


def fit_logistic(parts: Sequence[tuple[F64, F64, F64]], start: F64, ridge: F64, centre: F64) -> F64:
    """Minimise Σ weighted logistic loss + ½ Σ ridge (w − centre)², which is strictly convex.

    Where nearly everything is decided a full Newton step can overshoot; so steps are halved until the
    objective falls.

    Args:
        parts: Columns float64 [n, C], targets [n] of 0 and 1, and weights [n] of runs of entries, which
            need not be one array.
        start: float64 [C], where to begin; not changed.
        ridge: float64 [C] > 0.
        centre: float64 [C].

    Returns:
        float64 [C].
    """

    def objective(weight: F64) -> float:
        value = 0.5 * float(ridge @ np.square(weight - centre))
        for columns, target, often in parts:
            logits = columns @ weight
            # log(1 + exp z); logaddexp is many times slower.
            losses = np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0.0)
            value += float(often @ (losses - target * logits))
        return value

    weight, value = start, objective(start)
    for _ in range(_ITERATIONS):
        gradient, hessian = ridge * (weight - centre), np.diag(ridge)
        for columns, target, often in parts:
            chance = expit(columns @ weight)
            gradient = gradient + columns.T @ (often * (chance - target))
            hessian = hessian + (columns * (often * chance * (1 - chance))[:, None]).T @ columns
        step = np.linalg.solve(hessian, gradient)
        promised, share = float(gradient @ step), 1.0
        if promised < _TOLERANCE * max(1.0, value):
            break
        while (found := objective(weight - share * step)) > value - _ENOUGH * share * promised:
            share /= 2
            if share < _SHORTEST:
                return weight  # rounding alone is left
        weight, value = weight - share * step, found
    return weight
