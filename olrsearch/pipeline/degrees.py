"""The degree of one label as ordered steps: how probable the newest label embeddings make it, in tenths.

So "more and more smiling" can be learnt where images are only known to smile or not to smile.

Notation: N images, K steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.counted import counted
from olrsearch.core.errors import EmptyStoreError, TrainingError
from olrsearch.core.names import LabelNames
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I8, I64
    from olrsearch.store.read.snapshot import Snapshot

STEPS: Final = 10

_LEAST: Final = 10
"""Images that a step needs: with fewer there are too few to hold some back and learn from the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class Degrees:
    """At which step of a label's degree images stand; computed once, before a run.

    Attributes:
        label: The label.
        space: Name of the space whose probabilities were taken.
        names: Of the K steps that have enough images, lowest first: `Smiling_1` … `Smiling_10`.
        ids: int64 [N], ascending, the images that have a probability.
        steps: int64 [N], each image's step, 0 to K − 1; −1 where too few images stand there.
    """

    label: str
    space: str
    names: tuple[str, ...]
    ids: I64
    steps: I64

    @classmethod
    def measure(cls, snapshot: Snapshot, label: str) -> Degrees:
        """Steps of a label by the newest space of label embeddings.

        Args:
            snapshot: The generation.
            label: In any spelling; of the space's encoder.

        Raises:
            EmptyStoreError: there are no label embeddings.
            UnknownLabelError: the encoder of the space does not know the label.
            TrainingError: the probabilities of all images lie in one tenth, or a stored label has the
                name of a step.
        """
        try:
            info = snapshot.space(None, LABELS)
            opened = OpenSpace(snapshot, info)
        except EmptyStoreError:
            raise _none(label) from None
        if not len(opened.view):
            raise _none(label)
        found = LabelNames(info.labels).find(label)
        probability: F64 = np.exp(opened.scores().log_probability(info.labels.index(found)))
        order = np.argsort(opened.view.ids)
        tenths = np.minimum((probability[order] * STEPS).astype(np.int64), STEPS - 1)
        counts = np.bincount(tenths, minlength=STEPS)
        kept = np.flatnonzero(counts >= _LEAST)
        if len(kept) < 2:
            raise TrainingError(
                f"{info.name} gives {counted(len(probability), 'image')} a probability of {found} within one "
                "tenth, or nearly all of them, so there is no order to learn: take another label"
            )
        places = np.full(STEPS, -1)
        places[kept] = np.arange(len(kept))
        names = tuple(f"{found}_{step + 1}" for step in kept)
        taken = set(names) & set(snapshot.label_names)
        if taken:
            raise TrainingError(
                f"the steps of {found} would be called {', '.join(sorted(taken))}, as labels of the store "
                "are: name these labels in order with --order instead"
            )
        return cls(found, info.name, names, opened.view.ids[order], places[tenths])

    def labels(self, ids: I64) -> I8:
        """A label for each step, int8 [n, K]: +1 at an image's step, −1 elsewhere; 0 where it has none.

        Args:
            ids: int64 [n].
        """
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        step = np.where(self.ids[at] == ids, self.steps[at], -1)
        marked = np.where(np.arange(len(self.names)) == step[:, None], 1, -1)
        return np.where(step[:, None] < 0, 0, marked).astype(np.int8)


def _none(label: str) -> EmptyStoreError:
    return EmptyStoreError(
        f"the degree of {label} is its probability by label embeddings, and there are none: run olrsearch "
        "encode --encoder faces for faces, or olrsearch train olr and then olrsearch encode"
    )
