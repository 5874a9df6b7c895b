"""What the other images of the same person say of a label.

Some labels belong to a person (Male), some to a moment (Smiling). How much of which is measured, label by
label, and other images of the person count accordingly.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.core.groups import cluster_of

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, I64
    from olrsearch.core.progress import Track

MIN_PAIRS: Final = 50
"""Ordered pairs of images of one person that the constancy of a label is measured on, at least."""

_LEAST, _MOST = 1e-3, 0.999


class Identity:
    """The labels of the other images of the same person, as far as the label belongs to persons.

    A person's share of present follows a Beta distribution whose mean is the label's frequency and whose
    intraclass correlation ρ is estimated from pairs of images, so that the others' labels give
    (κπ + present) / (κ + known), κ = (1 − ρ) / ρ.

    The entry's own value counts neither in the sum nor in π and ρ, from which a person's own images are
    left out. Where the others have one value alone, or fewer than `MIN_PAIRS` pairs, there is no evidence.
    """

    name = "identity"
    summary = "share of the same person's other images that have the label, as far as persons keep it"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`."""
        out = np.full((material.labels, material.images), np.nan, np.float32)
        if not (material.identity >= 0).any():
            return out
        person = cluster_of(material.identity)
        for label in track(range(material.labels), total=material.labels, what=self.name, unit="labels"):
            out[label] = _evidence(person, material, label)
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """How many of the person's other images have it."""
        person = cluster_of(material.identity)
        others = np.flatnonzero(person == person[row])
        others = others[(others != row) & (material.given[others, label] != 0)]
        if not len(others):
            return Explanation("no other image of this person is labelled")
        if present is None:
            name = material.names[label]
            return Explanation(f"too few labels to say whether {name} belongs to a person")
        having = int((material.given[others, label] > 0).sum())
        contrary = others[material.given[others, label] == -material.given[row, label]]
        text = f"{having} of {len(others)} other images of this person have {material.names[label]}"
        return Explanation(text, tuple(contrary[:8].tolist()))


def _evidence(person: I64, material: Material, label: int) -> F32:
    """float32 [N], NaN where a person has no other labelled image; persons are numbers from 0."""
    value = material.given[:, label]
    people = int(person.max()) + 1
    known = np.bincount(person[value != 0], minlength=people)
    having = np.bincount(person[value > 0], minlength=people)
    pairs, both = known * (known - 1), having * (having - 1)
    # Of every person everything but the own images, so that no value speaks for itself.
    total, positives, paired = known.sum() - known, having.sum() - having, pairs.sum() - pairs
    usable = (positives > 0) & (positives < total) & (paired >= MIN_PAIRS)
    frequency = np.clip(positives / np.maximum(total, 1), _LEAST, _MOST)
    agreeing = (both.sum() - both) / np.maximum(paired, 1)
    correlation = (agreeing - frequency**2) / (frequency * (1 - frequency))
    correlation = np.clip(correlation, _LEAST, _MOST)
    weight = (1 - correlation) / correlation
    others = known[person] - (value != 0)
    there = having[person] - (value > 0)
    rows = np.flatnonzero((others > 0) & usable[person])
    out = np.full(len(person), np.nan, np.float32)
    mine = person[rows]
    out[rows] = (weight[mine] * frequency[mine] + there[rows]) / (weight[mine] + others[rows])
    return out
