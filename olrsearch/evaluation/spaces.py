"""Label vectors in which a metric is plain, so that many distances are one matrix product.

Notation: G images of the gallery, L labels, k numbers a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8, I64, Floats
    from olrsearch.maths.metric import Metric


@dataclass(frozen=True, slots=True, eq=False)
class LabelSpace:
    """Images as label vectors, compared by one label or by the sum over all.

    Attributes:
        kind: `ip`: the distance is −⟨a, b⟩; `l2`: ‖a − b‖².
        vectors: float32 [L, G, k], transformed and divided by the root of each label's scale, so
            that sums over labels are those of the product.
        by_label: Whether a question about one label looks at that label's vectors alone; without,
            at everything.
    """

    kind: Literal["ip", "l2"]
    vectors: F32
    by_label: bool = True

    @classmethod
    def of_metric(cls, metric: Metric, embeddings: F32, rows: I64) -> LabelSpace:
        """Some images' embeddings under the metric of a space; a copy.

        The cosine distance is 1 − ⟨a, b⟩ of unit vectors, here −⟨a, b⟩: the order is the same.
        """
        vectors = np.stack(
            [
                metric.transform(block[rows], label) / np.float32(np.sqrt(metric.scale[label]))
                for label, block in enumerate(embeddings)
            ]
        )
        return cls("l2" if metric.kind == "l2" else "ip", vectors)

    def pairs(self, label: int, first: I64, second: I64) -> F64:
        """Distances of n pairs by one label; float64 [n]."""
        if not self.by_label:
            every = [self._pairs(row, first, second) for row in range(len(self.vectors))]
            return np.asarray(np.sum(every, axis=0), np.float64)
        return self._pairs(label, first, second)

    def from_label(self, label: int, row: int) -> F32:
        """Distances of one image from all by one label; float32 [G]."""
        if not self.by_label:
            return np.asarray(self.block(np.array([row]))[0])
        return np.asarray(_distances(self.kind, self.vectors[label][row][None], self.vectors[label])[0])

    def block(self, rows: I64) -> F32:
        """Distances of some images from all, summed over labels; float32 [B, G]."""
        out = np.zeros((len(rows), self.vectors.shape[1]), np.float32)
        for vectors in self.vectors:
            out += _distances(self.kind, vectors[rows], vectors)
        return out

    def _pairs(self, label: int, first: I64, second: I64) -> F64:
        a, b = self.vectors[label][first].astype(np.float64), self.vectors[label][second].astype(np.float64)
        found: F64 = -np.einsum("nk,nk->n", a, b) if self.kind == "ip" else np.square(a - b).sum(axis=1)
        return found


def number_space(numbers: Floats | I8) -> LabelSpace:
    """Images as vectors of one number a label [L, G], compared by squared L2."""
    return LabelSpace("l2", np.ascontiguousarray(numbers[:, :, None], np.float32))


def _distances(kind: str, queries: F32, vectors: F32) -> F32:
    inner: F32 = queries @ vectors.T
    if kind == "ip":
        np.negative(inner, out=inner)
        return inner
    inner *= -2
    inner += np.einsum("nk,nk->n", queries, queries)[:, None]
    inner += np.einsum("nk,nk->n", vectors, vectors)[None, :]
    return inner
