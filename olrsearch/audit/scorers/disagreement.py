"""Where a model that learnt a label agrees with it and one that did not learn it refuses.

Paper 001 (section 4.1) finds that its embeddings do not take over labels that are false: the teacher,
trained on the label, repeats it, and a probe on the embeddings decides otherwise. That is memorising made
visible, and so is the reverse.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.scorers.protocol import Explanation

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.core.arrays import F32
    from olrsearch.core.progress import Track

NAME: Final = "disagreement"


class Disagreement:
    """½ + (probe − teacher) / 2: 0 where the teacher is sure of presence and the probe of absence.

    The one scorer whose evidence is bound to the entry's own value, through the teacher's training: that is
    what it measures. NaN where there is no teacher.

    Args:
        probe: Whose out-of-fold probabilities stand against the teacher's.

    Source: Karatsiolis and Kamilaris (paper 001), section 4.1.
    """

    name = NAME
    summary = "where the teacher repeats the label and the embeddings' probe refuses it, or the reverse"

    def __init__(self, probe: Scorer) -> None:
        self.probe = probe

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`."""
        if material.teacher is None:
            return np.full((material.labels, material.images), np.nan, np.float32)
        probe = self.probe.evidence(material, track=track)
        return (0.5 + (probe - material.teacher) / 2).astype(np.float32)

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """What the teacher says beside the probe."""
        if material.teacher is None or present is None:
            return Explanation(self.name, None, "the teacher of these embeddings is not here")
        teacher = float(material.teacher[label, row])
        probe = min(1.0, max(0.0, teacher + 2 * (present - 0.5)))
        return Explanation(
            self.name,
            present,
            f"the teacher, which learnt the label, says {teacher:.0%}, the embeddings' probe {probe:.0%}",
        )
