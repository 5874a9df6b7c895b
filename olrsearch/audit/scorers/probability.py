"""Out-of-fold probabilities: what a model says of an image whose fold it has not seen.

Notation: N images, L labels, F folds, D numbers an image, n images a model is fitted on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit

from olrsearch.audit.scorers.material import identity_folds
from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.core.arrays import blocks_of
from olrsearch.core.groups import told_apart
from olrsearch.maths.calibration import MIN_EXAMPLES
from olrsearch.maths.linear import LinearProblem

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, F64, I8, I64, Bool
    from olrsearch.core.progress import Track
    from olrsearch.maths.linear import LinearModel

MOST: Final = 20_000
"""Images a model is fitted on; more change probabilities by less than the folds do."""

STRENGTHS: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""C of the logistic regression, from small to large; one is chosen for all labels by held-out loss."""

_PARTS: Final = 5
"""Of the images that C is chosen on, one of so many is held out."""

_BLOCK: Final = 8192


class Probability:
    """Logistic regression of all labels on an image's features, fitted on other folds.

    C is chosen once, by the loss on a fifth of the first fold's training images, whole identities: one of
    six numbers, in which labels of an image's own fold have the only say that they have.
    """

    name = "probability"
    summary = "probability of the label by a model fitted on other folds"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`."""
        out = np.full((material.labels, material.images), np.nan, np.float32)
        strength: float | None = None
        for fold in track(range(material.folds), total=material.folds, what=self.name, unit="folds"):
            rows = material.outside(fold, most=MOST)
            targets = material.given[rows]
            usable = _usable(targets)
            if not usable.any():
                continue
            features = material.views.features(fold, rows)
            if strength is None:
                strength = _choose(features, targets[:, usable], material.identity[rows])
            model = LinearProblem(features, targets[:, usable]).solve(strength)
            for block in blocks_of(material.inside(fold), _BLOCK):
                chance = expit(model.decision(material.views.features(fold, block)))
                out[np.ix_(usable, block)] = chance.T
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """The probability in words."""
        del row  # it is in the probability
        name = material.names[label]
        if present is None:
            return Explanation(f"too few labelled examples of {name}")
        return Explanation(f"{name} is {present:.1%} likely by how the image looks")


def _usable(targets: I8) -> Bool:
    """Labels with enough examples of both classes, bool [L]."""
    out: Bool = np.minimum((targets > 0).sum(axis=0), (targets < 0).sum(axis=0)) >= MIN_EXAMPLES
    return out


def _choose(features: F32, targets: I8, identity: I64) -> float:
    """The C of the smallest loss on held-out identities; on held-out images where these are too few."""
    known = (targets != 0).any(axis=1)
    people = told_apart(identity)[known]
    if len(np.unique(people)) < _PARTS:
        people = np.arange(len(people))
    part = np.full(len(targets), -1)
    part[known] = identity_folds(people, folds=_PARTS)
    held, fitted = part == 0, part > 0
    problem = LinearProblem(features[fitted], targets[fitted])
    losses = [_loss(model, features[held], targets[held]) for model in problem.path(STRENGTHS, iterations=60)]
    return STRENGTHS[int(np.argmin(losses))]


def _loss(model: LinearModel, features: F32, targets: I8) -> float:
    margins: F64 = model.decision(features).astype(np.float64) * targets
    return float(np.logaddexp(0.0, -margins)[targets != 0].mean())
