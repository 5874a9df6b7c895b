"""What an image's other labels say of a label.

Notation: N images, L labels, n images a model is fitted on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit, logit

from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.maths.calibration import MIN_EXAMPLES
from olrsearch.maths.logistic import fit_logistic

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, F64, I8, I64
    from olrsearch.core.progress import Track

RIDGE: Final = 3.0
"""Weight of ½‖w‖² beside the summed loss: as if each label had been seen a few times more without effect."""

MOST: Final = 50_000
"""Images a model is fitted on; forty weights need no more."""


class OtherLabels:
    """Logistic regression of each label on all others, fitted on other folds."""

    name = "other-labels"
    summary = "probability of the label given the image's other labels"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`."""
        out = np.full((material.labels, material.images), np.nan, np.float32)
        columns = _columns(material)
        for fold in track(range(material.folds), total=material.folds, what=self.name, unit="folds"):
            inside, outside = material.inside(fold), material.outside(fold, most=MOST)
            for label in range(material.labels):
                weight = _fit(columns, material.given, outside, label)
                if weight is not None:
                    out[label, inside] = expit(columns[inside] @ weight)
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """The labels of the image that weigh most for or against it."""
        if present is None:
            return Explanation("its other labels say nothing of it")
        columns = _columns(material)
        weight = _fit(columns, material.given, material.outside(int(material.fold[row]), most=MOST), label)
        if weight is None:
            return Explanation("too few examples to say anything")
        # Without the offset; the label itself has no share.
        shares = ((columns[row] - columns.mean(axis=0)) * weight)[:-1]
        against = present < 0.5
        order = np.argsort(shares if against else -shares, kind="stable")[:3]
        named = [
            f"{'' if material.given[row, other] > 0 else 'not '}{material.names[other]}"
            for other in order.tolist()
            if (shares[other] < 0 if against else shares[other] > 0) and material.given[row, other] != 0
        ]
        because = f", most of all by {', '.join(named)}" if named else ""
        return Explanation(f"{present:.0%} likely by the image's other labels{because}")


def _columns(material: Material) -> F64:
    """Given labels and a one, float64 [N, L + 1]."""
    return np.column_stack([material.given, np.ones(material.images)])


def _fit(columns: F64, given: I8, rows: I64, label: int) -> F64 | None:
    """Weights float64 [L + 1] with 0 at the label itself; None where there are too few examples."""
    rows = rows[given[rows, label] != 0]
    target = (given[rows, label] > 0).astype(np.float64)
    positives = target.sum()
    if min(positives, len(rows) - positives) < MIN_EXAMPLES:
        return None
    used = np.ones(columns.shape[1], np.bool_)
    used[label] = False
    seen = columns[np.ix_(rows, used)]
    ridge = np.full(seen.shape[1], RIDGE)
    ridge[-1] = 1e-6  # the offset is free
    start = np.zeros(seen.shape[1])
    start[-1] = logit(target.mean())
    weight = fit_logistic([(seen, target, np.ones(len(rows)))], start, ridge, np.zeros(len(start)))
    out = np.zeros(columns.shape[1])
    out[used] = weight
    return out
