"""What all scorers say of a label, as one score: the log-odds that the label is given.

Notation: n entries, S scorers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import logit

from olrsearch.audit.evidence.combine import odds_beyond
from olrsearch.maths.logistic import fit_logistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, F64, Bool

RIDGE: Final = 3.0
"""How strongly the scorers' weights are held to 1/S: a few examples do not move them."""


def pooled_score(evidence: Sequence[F32], present: Bool, half: Bool) -> F64:
    """Log-odds that the label is given, by a logistic regression on the scorers' log-odds.

    The regression is fitted on one half of the entries and says of the other, so that no entry's own value
    is in its score.

    Args:
        evidence: S times float32 [n], probabilities that the label is present; NaN = nothing to say.
        present: bool [n], whether the label is given as present; some are, some are not.
        half: bool [n], which of two halves an entry is in.

    Returns:
        float64 [n], nats.
    """
    base = float(logit((present.sum() + 0.5) / (len(present) + 1)))
    columns = np.ones((len(present), len(evidence) + 1))
    for column, said in enumerate(evidence):
        columns[:, column] = odds_beyond(said, base)
    # Without a reason to think otherwise: all scorers alike, around how often the label is given.
    centre = np.array([*[1.0 / max(1, len(evidence))] * len(evidence), base])
    ridge = np.full(len(centre), RIDGE)
    target, once = present.astype(np.float64), np.ones(len(present))
    score = np.empty(len(present))
    for side in (half, ~half):
        weight = fit_logistic([(columns[side], target[side], once[side])], centre, ridge, centre)
        score[~side] = columns[~side] @ weight
    return score
