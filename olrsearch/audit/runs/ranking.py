"""What evidence is worth, and what it comes to: injected errors, reviewed entries, estimates, suspects.

Notation: N images, L labels, n images with injected errors, R reviewed images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.evidence.combine import Combination, adapt_combination, fit_combination
from olrsearch.audit.scorers.protocol import scores
from olrsearch.core.groups import told_apart
from olrsearch.store.write.audits import Suspects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.audit.runs.reviewed import Reviewed
    from olrsearch.core.arrays import F32, I8, I64, Bool

MOST_INJECTED: Final = 20_000
"""Images that get injected errors."""
LEAST_UNSEEN: Final = 1_000
"""With so many images that the encoder's training did not see, errors are injected among these alone."""
REVIEW_WEIGHT: Final = 10
"""A reviewed entry counts as so many with or without an injected error: it is a real one."""
LEAST_KEPT: Final = 1_000
"""Suspects that are kept of a label, whatever their score."""
MOST_KEPT: Final = 5_000
"""Suspects that are kept of a label, where more are suspicious."""
SUSPICIOUS: Final = 0.5
"""Entries with a smaller score, the probability of what is given, are suspicious."""


def injected_rows(identity: I64, seen: Bool, *, seed: int, most: int = MOST_INJECTED) -> I64:
    """Which images get known errors: whole identities, at most `most` images, ascending.

    Images that the encoder was trained on look as their labels say, right or wrong; so the others are
    taken where there are enough of them.

    Args:
        identity: int64 [N], −1 unknown: an image of its own.
        seen: bool [N], what the encoder was trained on.
        seed: Of the choice.
        most: At most so many images; a single identity is taken whole.
    """
    rows = np.flatnonzero(~seen)
    if len(rows) < LEAST_UNSEEN:
        rows = np.arange(len(seen))
    if len(rows) <= most:
        return rows
    _, member, count = np.unique(told_apart(identity[rows]), return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 0x1213]).permutation(len(count))
    taken = order[: max(1, int(np.searchsorted(np.cumsum(count[order]), most, side="right")))]
    return rows[np.isin(member, taken)]


def fit_weights(
    injected: Mapping[str, F32],
    given: I8,
    truth: I8,
    names: Sequence[str],
    evidence: Mapping[str, F32],
    reviewed: Reviewed,
) -> Combination:
    """What evidence is worth, learnt from entries whose truth is known.

    Args:
        injected: Evidence of n images with injected errors, float32 [L, n] by scorer.
        given: int8 [n, L], their labels with the errors.
        truth: int8 [n, L], without.
        names: Of the L labels.
        evidence: Of all images as they are, float32 [L, N] by scorer.
        reviewed: Entries that people have judged count `REVIEW_WEIGHT` times.
    """
    rows = np.flatnonzero((reviewed.truth != 0).any(axis=1))
    if not len(rows):
        return fit_combination(injected, given, truth, names)
    weight = np.ones((len(given) + len(rows), len(names)), np.float32)
    weight[len(given) :] = REVIEW_WEIGHT
    return fit_combination(
        {name: np.concatenate([part, evidence[name][:, rows]], axis=1) for name, part in injected.items()},
        np.concatenate([given, reviewed.before[rows]]),
        np.concatenate([truth, reviewed.truth[rows]]),
        names,
        weight=weight,
    )


def adapt_weights(
    base: Combination, evidence: Mapping[str, F32], given: I8, names: Sequence[str], reviewed: Reviewed
) -> Combination:
    """Weights that were known before, moved by what people have judged.

    Args:
        base: The weights.
        evidence: Of all images, float32 [L, N] by scorer.
        given: int8 [N, L].
        names: Of the L labels.
        reviewed: What people have judged; where they have not, the weights stay as they are.
    """
    if not len(reviewed):
        return base
    frequency = (given > 0).sum(axis=0) / np.maximum(1, (given != 0).sum(axis=0))
    return adapt_combination(base, evidence, reviewed.before, reviewed.truth, names, frequency=frequency)


def combine(weights: Combination, evidence: Mapping[str, F32], given: I8, names: Sequence[str]) -> F32:
    """Probabilities that labels are present, float32 [L, N]; NaN where no scorer says anything.

    Args:
        weights: What evidence is worth.
        evidence: float32 [L, N] by scorer.
        given: int8 [N, L].
        names: Of the L labels.
    """
    present = weights.present(evidence, given, names)
    for label, row in enumerate(present):
        row[np.isnan([part[label] for part in evidence.values()]).all(axis=0)] = np.nan
    return present


def find_suspects(present: F32, given: I8, ids: I64, positions: Sequence[int]) -> tuple[Suspects, int]:
    """The most suspicious entries of every label, and how many are suspicious in all.

    Args:
        present: float32 [L, N], probabilities that labels are present, all things taken together.
        given: int8 [N, L].
        ids: int64 [N], image ids, ascending: ties go by them.
        positions: L positions of the labels in the store's vocabulary.
    """
    score = scores(present, given)
    suspicious = score < SUSPICIOUS  # NaN is not
    labels, rows = [], []
    for number, one in enumerate(score):
        known = np.flatnonzero(np.isfinite(one))
        most = min(MOST_KEPT, max(LEAST_KEPT, int(suspicious[number].sum())))
        worst = known[np.argsort(one[known], kind="stable")[:most]]
        labels.append(np.full(len(worst), number))
        rows.append(worst)
    label, row = np.concatenate(labels), np.concatenate(rows)
    order = np.lexsort((label, row, score[label, row]))
    label, row = label[order], row[order]
    found = Suspects(
        position=np.asarray(positions, np.int64)[label],
        image_id=ids[row],
        given=given[row, label],
        score=score[label, row],
        present=present[label, row],
    )
    return found, int(suspicious.sum())
