"""cleanlab's view of another scorer's probabilities: how they stand to what its classes usually get.

A model that learnt from labels with errors, or from few positives, gives even clear positives low
probabilities. Confident learning judges a probability by its class: the threshold of a class is the average
probability of that class among what is given as such.

Source: Northcutt, Jiang and Chuang, "Confident Learning", JAIR 70, 2021, section 3.1; thresholds are
cleanlab's.

Notation: N images, L labels.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit, logit

from olrsearch.audit.scorers.material import identity_folds
from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.core.errors import AuditError, OptionalDependencyError
from olrsearch.core.groups import told_apart

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.core.arrays import F32, F64, I8
    from olrsearch.core.progress import Track

NAME: Final = "cleanlab"

MIN_EXAMPLES: Final = 5
"""Present and absent examples a threshold needs, each."""

_LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, whose log-odds are infinite."""


def require_cleanlab() -> None:
    """See that cleanlab is there; what needs it imports it then.

    Raises:
        OptionalDependencyError: it is not installed.
    """
    if find_spec("cleanlab") is None:
        raise OptionalDependencyError(
            "this needs the package cleanlab, which is not installed; run pip install 'olrsearch[audit]', or "
            "audit without the scorer `cleanlab`"
        )


class Confident:
    """Another scorer's probabilities, moved so that ½ lies between the two classes' thresholds.

    With t the threshold of present and u that of absent (an average of 1 − p), given-present entries lie
    about t and given-absent ones about 1 − u. The evidence is σ(logit p − logit m), m = (t + 1 − u)/2: order
    within a label stays as it is, and labels whose probabilities are drawn to one side become comparable.
    (cleanlab's own `adjust_pred_probs` subtracts t and u from the two probabilities, and its confident joint
    can be inverted to P(true | p): with errors injected into face labels the first ranked worse under every
    model of noise, the second under three of four.)

    Thresholds must not know the entry's own value. So each fold, of which no model saw a label, is cut in two
    along identities, and either half takes the thresholds of the other. NaN where `of` says nothing, or a
    half has fewer than `MIN_EXAMPLES` of a class.

    Args:
        of: Whose probabilities; its evidence must not depend on labels of the same fold (`probability` does
            not).
    """

    name = NAME
    summary = "the probability beside cleanlab's class thresholds"

    def __init__(self, of: Scorer) -> None:
        self.of = of

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`.

        Raises:
            OptionalDependencyError: cleanlab is not installed.
        """
        require_cleanlab()
        return self.judge(self.of.evidence(material, track=track), material)

    def judge(self, probability: F32, material: Material) -> F32:
        """The evidence, where that of the other scorer is there already.

        Args:
            probability: float32 [L, N], the other scorer's evidence; not changed.
            material: What it was made from.

        Raises:
            OptionalDependencyError: cleanlab is not installed.
            AuditError: probabilities of another shape, or outside 0 to 1.
        """
        require_cleanlab()
        if probability.shape != (material.labels, material.images):
            raise AuditError(
                f"probabilities {probability.shape} of labels {material.given.shape}: expected [L, N]"
            )
        if bool(((probability < 0) | (probability > 1)).any()):
            raise AuditError("probabilities hold values outside 0 to 1: give the evidence of a scorer")
        out = np.full(probability.shape, np.nan, np.float32)
        for fold in range(material.folds):
            rows = material.inside(fold)
            if len(np.unique(told_apart(material.identity[rows]))) < 2:
                continue
            half = identity_folds(material.identity[rows], folds=2, seed=material.seed)
            for side in (0, 1):
                there, here = rows[half == side], rows[half != side]
                lines = _lines(probability[:, there], material.given[there])
                likely = np.clip(probability[:, here].astype(np.float64), _LEAST, 1 - _LEAST)
                out[:, here] = expit(logit(likely) - logit(lines)[:, None])
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """Where the entry stands between the classes."""
        del row  # what is known of it is in the probability
        if present is None:
            return Explanation(self.name, None, "too few examples to say anything")
        name = material.names[label]
        return Explanation(
            self.name,
            present,
            f"{present:.0%} likely by cleanlab's thresholds: 50% lies midway between what images given as "
            f"{name} and all others usually get from {self.of.name}",
        )


def _lines(probability: F32, given: I8) -> F64:
    """The m of each label, float64 [L]; NaN where a class has too few examples."""
    from cleanlab.count import get_confident_thresholds

    out = np.full(len(probability), np.nan)
    for label, likely in enumerate(probability):
        known = (given[:, label] != 0) & np.isfinite(likely)
        values = (given[known, label] > 0).astype(np.int64)
        if min(values.sum(), len(values) - values.sum()) < MIN_EXAMPLES:
            continue
        present = likely[known].astype(np.float64)
        absent, there = get_confident_thresholds(values, np.stack([1.0 - present, present], axis=1))
        out[label] = np.clip((there + 1.0 - absent) / 2, _LEAST, 1 - _LEAST)
    return out
