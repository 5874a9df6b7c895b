"""Known errors put into labels, to measure what finds them and to fit what weighs evidence.

Three models of noise: every entry alike (N1), positives and negatives apart (N2), and hard entries more often
than easy ones (N3). Each returns a copy; unknown entries stay unknown; equal seeds give equal flips.

Notation: N images, L labels; an entry is one label of one image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import AuditError

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I8, Floats

_SYMMETRIC, _ASYMMETRIC, _DEPENDENT = 0x0A01, 0x0A02, 0x0A03
"""What sets the random numbers of one model apart from those of another with the same seed."""

POSITIVES: Final = 0.2
"""Share of present entries that N2 turns into absent ones."""
NEGATIVES: Final = 0.02
"""Share of absent entries that N2 turns into present ones."""
DEPENDENT: Final = 0.05
"""Share of entries that N3 flips."""


def symmetric(given: I8, rate: float, seed: int) -> I8:
    """N1: every known entry is flipped with the same probability.

    An entry has one random number, whatever the rate: with the same seed a lower rate flips some of those
    that a higher one flips.

    Args:
        given: int8 [N, L] of −1, 0, +1; not changed.
        rate: Probability of a flip, 0 … 1.
        seed: Another seed, other flips.

    Returns:
        int8 [N, L].

    Raises:
        AuditError: another shape or other values, or no probability.
    """
    _check(given, rate=rate)
    return _flipped(given, np.full(given.shape, rate), seed, _SYMMETRIC)


def asymmetric(given: I8, *, positives: float = POSITIVES, negatives: float = NEGATIVES, seed: int) -> I8:
    """N2: present entries are flipped more (or less) often than absent ones.

    Args:
        given: int8 [N, L] of −1, 0, +1; not changed.
        positives: Probability that a present entry becomes absent.
        negatives: Probability that an absent entry becomes present.
        seed: Another seed, other flips.

    Returns:
        int8 [N, L].

    Raises:
        AuditError: another shape or other values, or no probability.
    """
    _check(given, positives=positives, negatives=negatives)
    return _flipped(given, np.where(given > 0, positives, negatives), seed, _ASYMMETRIC)


def instance_dependent(given: I8, probability: Floats, *, rate: float = DEPENDENT, seed: int) -> I8:
    """N3: an entry is flipped the more often, the less sure a model is of it.

    P(flip) = min(1, c · (1 − |2p − 1|)), with one c for the whole data set, so that labels a model finds
    hard get more errors than those it finds easy, as among people. c is the one that flips the share `rate`
    on average over all known entries.

    Args:
        given: int8 [N, L] of −1, 0, +1; not changed.
        probability: float [L, N], p that a label is present, of a model that nothing under test was made
            from.
        rate: Expected share of known entries that are flipped.
        seed: Another seed, other flips.

    Returns:
        int8 [N, L].

    Raises:
        AuditError: another shape or other values, no probabilities, or so many that are 0 or 1 that the share
            cannot be reached.
    """
    _check(given, rate=rate)
    if probability.shape != given.T.shape:
        raise AuditError(
            f"probabilities {probability.shape} for labels {given.shape}: expected [L, N] for [N, L]"
        )
    known = given != 0
    sure = np.asarray(probability, np.float64).T
    if not bool(((sure[known] >= 0) & (sure[known] <= 1)).all()):
        raise AuditError("probabilities hold NaN or values outside 0 to 1: give one to every known entry")
    doubt = np.where(known, 1.0 - np.abs(2.0 * sure - 1.0), 0.0)
    return _flipped(given, np.minimum(1.0, _scale(doubt[known], rate) * doubt), seed, _DEPENDENT)


def _scale(doubt: F64, rate: float) -> float:
    """The c for which min(1, c · doubt) is `rate` on average; doubts are float64 [n] in 0 … 1."""
    wanted = rate * len(doubt)
    if not wanted:
        return 0.0
    doubt = np.sort(doubt[doubt > 0])[::-1]
    if wanted > len(doubt):
        raise AuditError(
            f"{len(doubt):,} entries have a probability other than 0 and 1, and {wanted:,.0f} are to be "
            "flipped: lower the rate, or give probabilities of a less certain model"
        )
    # With the m largest clipped at 1, c = (wanted − m) / (sum of the others); m is the smallest that
    # clips everything it should, which is when the next doubt stays below 1.
    rest = np.cumsum(doubt[::-1])[::-1]
    clipped = np.arange(len(doubt))
    scale = (wanted - clipped) / rest
    fits = np.flatnonzero((scale * doubt <= 1.0) & (scale >= 0))
    # None fits where all that can be are to be flipped, and the last is short of it by a rounding error.
    return float(scale[fits[0]]) if len(fits) else 1.0 / float(doubt[-1])


def _flipped(given: I8, chance: F64, seed: int, model: int) -> I8:
    drawn = np.random.default_rng([seed, model]).random(given.shape)
    return np.where(drawn < chance, -given, given).astype(np.int8)


def _check(given: I8, **rates: float) -> None:
    if given.ndim != 2 or not bool(np.isin(given, (-1, 0, 1)).all()):
        raise AuditError(f"labels {given.dtype} {given.shape}: expected [N, L] of −1, 0 and +1")
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise AuditError(f"{name} = {rate} is no probability: expected 0 to 1")
