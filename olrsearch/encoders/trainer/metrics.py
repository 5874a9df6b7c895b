"""Figures of a stage on its selection images.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8


def average_precision(scores: F32, labels: I8) -> F64:
    """Average precision a label, equal scores taken together, unknown entries left out.

    Σ_n (R_n − R_{n−1}) P_n over the thresholds n, as scikit-learn has it.

    Args:
        scores: float [N, L], larger means present.
        labels: int8 [N, L], −1 absent, 0 unknown, +1 present.

    Returns:
        float64 [L]; NaN for a label without a present entry or without an absent one.
    """
    result = np.full(labels.shape[1], np.nan)
    for label in range(labels.shape[1]):
        known = labels[:, label] != 0
        present = labels[known, label] > 0
        if not present.any() or present.all():
            continue
        values = scores[known, label]
        order = np.argsort(-values, kind="stable")
        hits = np.cumsum(present[order])
        last_of_ties = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
        precision = hits[last_of_ties] / (last_of_ties + 1)
        recall = hits[last_of_ties] / hits[-1]
        result[label] = np.sum(np.diff(recall, prepend=0.0) * precision)
    return result


def selection_metrics(logits: F32, labels: I8) -> dict[str, float]:
    """Macro average precision and accuracy.

    Args:
        logits: float [N, L]; above 0 reads present.
        labels: int8 [N, L].

    Returns:
        `map`: mean average precision over the labels that have one, 0 where none has;
        `accuracy`: share of the known entries that are right, 0 where none is known.
    """
    precisions = average_precision(logits, labels)
    known = labels != 0
    right = ((logits > 0) == (labels > 0)) & known
    return {
        "map": float(np.nanmean(precisions)) if np.isfinite(precisions).any() else 0.0,
        "accuracy": float(right.sum() / known.sum()) if known.any() else 0.0,
    }
