"""Raw label logits as a linear function of label embeddings alone.

Notation: L labels, N images, k numbers a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import IncompatibleEncoderError

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32


@dataclass(frozen=True, slots=True)
class Readout:
    """The linear function z_l = w_l · e^l + b_l of an encoder.

    Each label is read from its own embedding and from nothing else, so scores need
    neither the teacher nor the network.

    Attributes:
        weight: float32 [L, k].
        bias: float32 [L].
    """

    weight: F32
    bias: F32

    def logits(self, embeddings: F32) -> F32:
        """Raw logits.

        Args:
            embeddings: float32 [L, N, k], label-major; may be memory-mapped.

        Returns:
            float32 [L, N].

        Raises:
            IncompatibleEncoderError: the embeddings have another L or k.
        """
        count, size = self.weight.shape
        if embeddings.ndim != 3 or embeddings.shape[0] != count or embeddings.shape[2] != size:
            raise IncompatibleEncoderError(
                f"embeddings {embeddings.shape} do not fit a readout of {count} labels × {size} numbers"
            )
        out = np.empty((count, embeddings.shape[1]), np.float32)
        for label in range(count):
            np.matmul(embeddings[label], self.weight[label], out=out[label])
            out[label] += self.bias[label]
        return out
