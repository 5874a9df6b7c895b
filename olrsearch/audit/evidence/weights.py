"""What evidence is worth, as second annotations of the same pictures have it.

CelebA holds photographs twice: re-encoded, cropped or mirrored, and annotated apart. Of such a pair one's
given label is evidence of the truth about the other that no scorer had a part in; the weights are those that
predict it (`benchmarks/audit_weights.py`), rounded. They differ from weights that were learnt on injected
errors above all in this: people err about what is in the picture, not about what goes with what, so the other
labels are worth nothing beside it.

Notation: S scorers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from olrsearch.audit.evidence.combine import Combination

ANNOTATORS: Final = "annotators"
"""The name of these weights."""

INJECTED: Final = "injected"
"""The name of weights that an audit learns from errors put into a copy of the labels."""

_WEIGHTS: Final = {
    "probability": 0.35,
    "neighbours": 0.2,
    "likelihood": 0.1,
    "other-labels": 0.0,
    "identity": 0.1,
    "twins": 0.7,
    "contradictions": 0.05,
}
_GIVEN, _FREQUENCY = 1.2, 0.62
"""Of the stored value, either way alike: a pair shows that one of two values is wrong, and not which."""

BY_ANNOTATORS: Final = Combination(
    scorers=tuple(_WEIGHTS),
    labels=(),
    weight=np.empty((0, len(_WEIGHTS) + 3)),
    pooled=np.array([*_WEIGHTS.values(), _GIVEN, -_GIVEN, _FREQUENCY]),
)
"""One set of weights for every label; decisions move each label's own."""
