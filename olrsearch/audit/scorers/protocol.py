"""The protocol of scorers, and what evidence makes of an entry.

Notation: N images, L labels; an entry is one label of one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, I8
    from olrsearch.core.progress import Track


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one scorer has to say about one entry.

    Attributes:
        text: Why, in one sentence a person understands.
        rows: Images that speak for it (contrary neighbours, twins), nearest first.
    """

    text: str
    rows: tuple[int, ...] = ()


class Scorer(Protocol):
    """One kind of evidence.

    The rules, which a test holds every scorer to: the evidence of an entry does not depend on the entry's
    own given value; unknown labels are neither evidence nor targets; a label with one class only, or too
    few examples, gets NaN rather than an error; nothing in `material` is changed.
    """

    name: str
    """Short, lower case, unique; names its array in a run."""
    summary: str
    """One line for lists and documents."""

    def evidence(self, material: Material, *, track: Track) -> F32:
        """Probabilities that labels are present, float32 [L, N]; NaN = nothing to say."""
        ...

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """Why the evidence of one entry is what it is.

        Args:
            material: What `evidence` was given.
            row: The image.
            label: Position of the label.
            present: The evidence of the entry, as kept; None where there is none.
        """
        ...


def scores(evidence: F32, given: I8) -> F32:
    """Probability of what is given, float32 [L, N]; smaller = more suspicious.

    Unknown entries, and those without evidence, have NaN.

    Args:
        evidence: float32 [L, N].
        given: int8 [N, L].
    """
    sign = given.T
    out = np.where(sign > 0, evidence, np.float32(1) - evidence)
    out[sign == 0] = np.nan
    return out.astype(np.float32, copy=False)
