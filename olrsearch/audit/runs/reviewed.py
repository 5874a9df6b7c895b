"""What people have decided about the entries of an audit.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.store.decision_rules import not_taken_back
from olrsearch.store.read.decisions import read_history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8, I64
    from olrsearch.store.read.snapshot import Snapshot


class Reviewed:
    """What people have decided about the entries of an audit.

    Attributes:
        before: int8 [N, L], the value each entry had before anybody judged it; 0 where nobody has.
        truth: int8 [N, L], the value that holds since; 0 where nobody has judged, or was unsure.
    """

    def __init__(self, before: I8, truth: I8) -> None:
        self.before = before
        self.truth = truth

    @classmethod
    def read(cls, snapshot: Snapshot, ids: I64, names: Sequence[str]) -> Reviewed:
        """Decisions in force: what was accepted, flipped or set to a value.

        Args:
            snapshot: The generation.
            ids: int64 [N], ascending.
            names: Of the L labels.
        """
        before, truth = (np.zeros((len(ids), len(names)), np.int8) for _ in range(2))
        column = {name: place for place, name in enumerate(names)}
        history = read_history(snapshot, ids, names)
        standing = not_taken_back(((item.image_id, item.label), item.verdict, item) for item in history)
        for (image, label), kept in standing.items():
            if kept and kept[0].given and kept[-1].value and kept[-1].verdict != "unsure":
                place = int(np.searchsorted(ids, image)), column[label]
                before[place], truth[place] = kept[0].given, kept[-1].value
        return cls(before, truth)

    def __len__(self) -> int:
        """How many entries have been judged."""
        return int(np.count_nonzero(self.truth))

    def against(self, given: I8) -> I8:
        """int8 [N, L]: +1 what is given was found wrong, −1 it was found right, 0 not reviewed."""
        judged = (self.truth != 0) & (given != 0)
        return np.where(judged, np.where(self.truth == given, -1, 1), 0).astype(np.int8)
