"""The linear probe of P1: logistic regression on standardised embeddings.

Its strength is chosen on the selection images.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.data import image_major
from olrsearch.maths.linear import LinearProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import F32, I8
    from olrsearch.evaluation.data import BenchData
    from olrsearch.maths.linear import LinearModel

_log = logging.getLogger(__name__)

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def fit_probe(data: BenchData, *, strengths: Sequence[float] = STRENGTHS) -> LinearModel:
    """Logistic regression of every label on the whole standardised embedding.

    C is the one of the grid whose mean log-loss on the selection images is smallest.

    Raises:
        BenchmarkError: there are no training or no selection images.
    """
    if not len(data.train) or not len(data.selection):
        raise BenchmarkError(
            f"{len(data.train)} training and {len(data.selection)} selection images: the probe needs both"
        )
    return fit_on_selection(
        image_major(data.embeddings, data.train),
        data.labels[data.train],
        image_major(data.embeddings, data.selection),
        data.labels[data.selection],
        strengths=strengths,
    )


def fit_on_selection(
    features: F32, targets: I8, held_features: F32, held_targets: I8, *, strengths: Sequence[float]
) -> LinearModel:
    """Logistic regression for each C, the best by log-loss on held-out rows.

    Args:
        features: float32 [n, F].
        targets: int8 [n, T], 0 unknown.
        held_features: float32 [m, F].
        held_targets: int8 [m, T].
        strengths: C grid, from small to large; it is walked until the loss rises.
    """

    def loss(model: LinearModel) -> float:
        margins = model.decision(held_features) * held_targets
        return float(np.logaddexp(0.0, -margins)[held_targets != 0].mean(dtype=np.float64))

    return best_of_path(LinearProblem(features, targets), strengths, loss)


def best_of_path(
    problem: LinearProblem, strengths: Sequence[float], loss: Callable[[LinearModel], float]
) -> LinearModel:
    """The model of the C from which on a loss on the selection images rises.

    Args:
        problem: Features and targets.
        strengths: C grid, from small to large.
        loss: Of a model, the smaller the better.

    Raises:
        BenchmarkError: the grid is empty.
    """
    best: LinearModel | None = None
    least = np.inf
    for model in problem.path(strengths):
        found = loss(model)
        _log.info("C = %g, loss on the selection images %.5f", model.strength, found)
        if found >= least:  # the path is unimodal: what follows overfits more
            break
        best, least = model, found
    if best is None:
        raise BenchmarkError("there is no C to try: give at least one")
    return best
