"""Attribute queries whose evidence is stored labels: they may also name labels that the encoder never learnt.

Notation: N images (rows of a view), L labels of the encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.core.names import LabelNames, normalise_name
from olrsearch.search.index.scores import stored_logits
from olrsearch.search.query.ast import literal_names, resolve_names
from olrsearch.search.query.evaluate import literals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from olrsearch.core.arrays import F64, I8
    from olrsearch.search.index.scores import LabelScores
    from olrsearch.search.index.view import EmbeddingView
    from olrsearch.search.query.ast import Node
    from olrsearch.store.read.snapshot import Snapshot


class StoredEvidence:
    """Scores of the encoder's labels, and of stored labels beside them.

    A label that the encoder does not know has no prediction: under `both`, too, its stored value counts.

    Args:
        scores: Of the encoder's labels, by the evidence asked for, with stored labels.
        snapshot: The generation.

    Attributes:
        view: The images.
        label_names: The L names, and those of stored labels that are none of them in any spelling.
    """

    def __init__(self, scores: LabelScores, snapshot: Snapshot) -> None:
        self.view: EmbeddingView = scores.view
        known = {normalise_name(name) for name in scores.label_names}
        self._others = tuple(name for name in snapshot.label_names if normalise_name(name) not in known)
        self.label_names = (*scores.label_names, *self._others)
        self._scores = scores
        self._snapshot = snapshot
        self._stored: dict[str, I8] = {}

    def literal_values(self) -> Callable[[str, bool], F64]:
        """The function `evaluate` asks: a label's log p by name, or log(1 − p); reads each label once."""
        positions: Mapping[str, int] = {name: number for number, name in enumerate(self._scores.label_names)}
        return literals(
            lambda name: (
                self._scores.logits(positions[name])
                if name in positions
                else stored_logits(self._values(name))
            )
        )

    def notes(self, node: Node) -> tuple[str, ...]:
        """What a reader must know of the labels of a query, which names these alone."""
        asked = literal_names(resolve_names(node, self.label_names))
        strange = [name for name in asked if name in self._others]
        notes = []
        if strange:
            notes.append(f"the encoder does not know {', '.join(strange)}: stored labels alone count for it")
        silent = [name for name in asked if not self._values(name).any()]
        if silent and (self._scores.evidence == "labels" or set(silent) & set(strange)):
            notes.append(f"no image has a stored value of {', '.join(silent)}: all count alike in it")
        return tuple(notes)

    def _values(self, name: str) -> I8:
        """Stored values of a label, int8 [N]."""
        if name not in self._stored:
            if name in self._others:
                self._stored[name] = self._snapshot.labels(self.view.ids, [name])[:, 0]
            elif self._scores.stored is not None:
                self._stored[name] = self._scores.stored[:, self._scores.label_names.index(name)]
        return self._stored[name]


def is_stored(name: str, snapshot: Snapshot) -> bool:
    """Whether the store has a label of this name, in any spelling."""
    return bool(LabelNames(snapshot.label_names).matches(name))
