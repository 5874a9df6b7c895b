"""What the other images of the same person say of a label.

Some labels belong to a person (Male), some to a moment (Smiling). How much of which is measured, label by
label, and other images of the person count accordingly.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.scorer import Explanation

if TYPE_CHECKING:
    from olrsearch.arrays import F32, F64, I64
    from olrsearch.audit.material import Material
    from olrsearch.progress import Track

NAME: Final = "identity"

MIN_PAIRS: Final = 50
"""Ordered pairs of images of one person that the constancy of a label is measured on, at least."""

_LEAST, _MOST = 1e-3, 0.999


class Identity:
    """The labels of the other images of the same person, as far as the label belongs to persons.

    A person's share of present follows a Beta distribution whose mean is the label's frequency and whose
    intraclass correlation ρ is estimated from pairs of images, so that the others' labels give
    (κπ + present) / (κ + known), κ = (1 − ρ) / ρ.

    The entry's own value counts neither in the sum nor, but for one image in thousands, in π and ρ: a
    person's own pairs are left out of them.
    """

    name = NAME
    summary = "share of the same person's other images that have the label, as far as persons keep it"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`."""
        out = np.full((material.labels, material.images), np.nan, np.float32)
        if not (material.identity >= 0).any():
            return out
        person = _persons(material.identity)
        for label in track(range(material.labels), total=material.labels, what=self.name, unit="labels"):
            out[label] = _evidence(person, material, label)
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """How many of the person's other images have it."""
        if present is None:
            return Explanation(self.name, None, "no other image of this person is labelled")
        others = np.flatnonzero(material.identity == material.identity[row])
        others = others[(others != row) & (material.given[others, label] != 0)]
        having = int((material.given[others, label] > 0).sum())
        contrary = others[material.given[others, label] == -material.given[row, label]]
        return Explanation(
            self.name,
            present,
            f"{having} of {len(others)} other images of this person have {material.names[label]}",
            tuple(contrary[:8].tolist()),
        )


def _persons(identity: I64) -> I64:
    """Numbers 0 … of persons; an unknown one is a person of its own."""
    unknown = identity < 0
    own = np.where(unknown, identity.max(initial=0) + 1 + np.cumsum(unknown), identity)
    return np.unique(own, return_inverse=True)[1].astype(np.int64)


def _evidence(person: I64, material: Material, label: int) -> F32:
    """float32 [N], NaN where a person has no other labelled image."""
    value = material.given[:, label]
    known: F64 = np.bincount(person, weights=value != 0)
    having: F64 = np.bincount(person, weights=value > 0)
    total, positives = known.sum(), having.sum()
    pairs, both = known * (known - 1), having * (having - 1)
    out = np.full(len(person), np.nan, np.float32)
    if positives in {0, total} or pairs.sum() < MIN_PAIRS:
        return out
    # Everything but the person's own images, so that no value speaks for itself.
    frequency = np.clip((positives - having) / np.maximum(total - known, 1), _LEAST, _MOST)
    agreeing = (both.sum() - both) / np.maximum(pairs.sum() - pairs, 1)
    correlation = (agreeing - frequency**2) / (frequency * (1 - frequency))
    correlation = np.clip(correlation, _LEAST, _MOST)
    weight = (1 - correlation) / correlation
    others = known[person] - (value != 0)
    there = having[person] - (value > 0)
    rows = np.flatnonzero(others > 0)
    mine = person[rows]
    out[rows] = (weight[mine] * frequency[mine] + there[rows]) / (weight[mine] + others[rows])
    return out
