"""More errors than a combination expects: constants that rise with what estimates prove.

A combination knows from the errors it was fitted on how often a stored value is wrong, either one. The labels
at hand may be wrong more often in one direction. `evidence.estimates` says how many errors there are
at least; where a combination expects fewer, its constant rises until it expects as many. No constant is ever
lowered: an estimate cannot rule out errors among images that are hard to judge.

Errors of one cause come alike in all labels, and only some labels are clear enough to prove it. So the rise
that `QUORUM` of the labels ask for, or more, is every label's, as far as its own interval allows.

Notation: N images, L labels, n entries.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from olrsearch.audit.evidence.combine import GIVEN_ABSENT, GIVEN_PRESENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.audit.evidence.combine import Combination
    from olrsearch.audit.evidence.estimates import LabelErrors
    from olrsearch.core.arrays import F32, F64, I8

QUORUM: Final = 0.2
"""Share of the labels that must ask for a rise before the others have it; two labels at least."""

_MOST: Final = 0.9  # of the entries of a value: more would say that nearly all of it is wrong


def raise_constants(
    weights: Combination,
    evidence: Mapping[str, F32],
    given: I8,
    labels: Sequence[str],
    errors: Sequence[LabelErrors],
) -> Combination:
    """Weights whose constants for given present and given absent expect the errors that there are at least.

    Args:
        weights: What evidence is worth.
        evidence: float32 [L, N] by scorer.
        given: int8 [N, L].
        labels: L names.
        errors: The estimates of the same labels, in their order.

    Returns:
        A combination of these labels.

    Raises:
        AuditError: a scorer is missing, or shapes do not fit.
    """
    least, most = np.zeros((2, len(labels))), np.zeros((2, len(labels)))
    for row, (odds, error) in enumerate(zip(weights.log_odds(evidence, given, labels), errors, strict=True)):
        for side, (value, estimate) in enumerate(((1, error.false_present), (-1, error.false_absent))):
            wrong = -value * odds[given[:, row] == value]
            least[side, row] = _rise(wrong, estimate.count_low)
            most[side, row] = _rise(wrong, estimate.count_high)
    enough = max(2, int(np.ceil(QUORUM * len(labels))))
    # Of each side the rise that so many labels ask for, or more; none where there are fewer labels.
    asked = np.sort(least, axis=1)[:, -enough] if enough <= len(labels) else np.zeros(2)
    rise = np.maximum(least, np.minimum(asked[:, None], most))
    own = weights.of(labels)
    own[:, GIVEN_PRESENT] -= rise[0]
    own[:, GIVEN_ABSENT] += rise[1]
    return replace(weights, labels=tuple(labels), weight=own)


def raise_notes(before: Combination, raised: Combination, labels: Sequence[str]) -> tuple[str, ...]:
    """What was raised, for the reader of an audit.

    Args:
        before: Weights as they were.
        raised: What `raise_constants` made of them.
        labels: L names.
    """
    moved = raised.of(labels) - before.of(labels)
    out = []
    for column, side, value in ((GIVEN_PRESENT, -1, "present"), (GIVEN_ABSENT, 1, "absent")):
        rise = side * moved[:, column]
        if count := int((rise > 0).sum()):
            most = labels[int(rise.argmax())]
            who = most if count == 1 else f"{count:,} labels, most of all {most},"
            out.append(
                f"{who} {'is' if count == 1 else 'are'} wrongly {value} more often than the weights expect, "
                "as the estimates prove: entries stored so rank higher"
            )
    return tuple(out)


def _rise(wrong: F64, count: float) -> float:
    """By how much log-odds float64 [n] of being wrong must rise to expect `count` wrong ones; 0 or more."""
    count = min(count, _MOST * len(wrong))
    if not count > expit(wrong).sum():
        return 0.0
    # Raised so far, the least suspicious one alone is as likely wrong as all must be on average.
    bound = float(logit(count / len(wrong)) - wrong.min())
    return float(brentq(lambda rise: expit(wrong + rise).sum() - count, 0.0, bound + 1e-6))
