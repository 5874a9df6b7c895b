"""A readout fitted to frozen label embeddings, label by label.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from olrsearch.maths.readout import Readout

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8

_RIDGE = 1e-3
"""Penalty on standardised weights, a share of the number of images: bounded where labels separate."""


def fit_readout(embeddings: F32, labels: I8) -> Readout:
    """Logistic regression of each label on its own embedding.

    Args:
        embeddings: float32 [L, N, k]; not changed.
        labels: int8 [N, L], −1 absent, 0 unknown (left out), +1 present.

    Returns:
        The readout; a label without a known entry gets zeros.
    """
    count, _, k = embeddings.shape
    weight, bias = np.zeros((count, k), np.float32), np.zeros(count, np.float32)
    for label in range(count):
        known = labels[:, label] != 0
        if not known.any():
            continue
        vectors = embeddings[label, known].astype(np.float64)
        centre, scale = vectors.mean(axis=0), vectors.std(axis=0)
        # A number that never varies says nothing; it must not be blown up either.
        scale = np.where(scale > 1e-6, scale, np.inf)
        signs = np.where(labels[known, label] > 0, 1.0, -1.0)
        solved = _logistic((vectors - centre) / scale, signs)
        direction = solved[:-1] / scale
        weight[label], bias[label] = direction, solved[-1] - direction @ centre
    return Readout(weight=weight, bias=bias)


def _logistic(vectors: F64, signs: F64) -> F64:
    """Ridge logistic regression, float64 [k + 1]: weights, then the offset.

    The offset is penalised too, very lightly: it stays bounded where one class is absent.
    """
    design = np.append(vectors, np.ones((len(vectors), 1)), axis=1)
    penalty = np.append(np.full(vectors.shape[1], _RIDGE), 1e-6)

    def objective(parameters: F64) -> tuple[float, F64]:
        margins = signs * (design @ parameters)
        value = np.logaddexp(0, -margins).mean() + 0.5 * (penalty * parameters**2).sum()
        gradient = -(design.T @ (signs * expit(-margins))) / len(signs) + penalty * parameters
        return float(value), gradient

    found = minimize(objective, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B")
    solution: F64 = found.x
    return solution
