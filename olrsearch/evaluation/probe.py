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
    from collections.abc import Sequence

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
    best: LinearModel | None = None
    least = np.inf
    for model in LinearProblem(features, targets).path(strengths):
        margins = model.decision(held_features) * held_targets
        loss = float(np.logaddexp(0.0, -margins)[held_targets != 0].mean(dtype=np.float64))
        _log.info("probe: C = %g, log-loss on the selection images %.5f", model.strength, loss)
        if loss >= least:  # the path is unimodal: what follows overfits more
            break
        best, least = model, loss
    if best is None:
        raise BenchmarkError("no log-loss could be measured: the selection images have no known label")
    return best
