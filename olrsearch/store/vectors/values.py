"""Segments: where one is registered, and its arrays once it is open.

Notation: L labels, k numbers a label, n images of a segment; of posteriors, k is their dimension d,
and T = d(d+1)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from olrsearch.core.errors import IncompatibleEncoderError
from olrsearch.store.vectors.layout import EMBEDDINGS, FACTOR, FIT, HELD, MEAN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, Layout


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One registered segment: `count` images in the folder `path`.

    `fingerprint`, `layout`, `labels` (how many) and `k` are those of its space, and what its
    manifest must say; `manifest_sha256` is the hash of the manifest it was registered with.
    """

    uuid: str
    count: int
    path: Path
    fingerprint: str
    layout: Layout
    labels: int
    k: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Segment:
    """An open segment. The arrays are read-only memory maps.

    Attributes:
        info: Its registration.
        ids: int64 [n], ascending image ids.
        arrays: float32, by name: those of its layout, see `layout.array_forms`, and perhaps `fit`.
    """

    info: SegmentInfo
    ids: I64
    arrays: Mapping[str, F32]

    @property
    def embeddings(self) -> F32:
        """Label embeddings, float32 [L, n, k], label-major.

        Raises:
            IncompatibleEncoderError: the segment holds posteriors.
        """
        return self._array(EMBEDDINGS)

    @property
    def mean(self) -> F32:
        """Means of posteriors, float32 [n, d].

        Raises:
            IncompatibleEncoderError: the segment holds label embeddings.
        """
        return self._array(MEAN)

    @property
    def factor(self) -> F32:
        """Packed Cholesky factors of posteriors, float32 [n, T].

        Raises:
            IncompatibleEncoderError: the segment holds label embeddings.
        """
        return self._array(FACTOR)

    @property
    def fit(self) -> F32 | None:
        """How well each image fits its encoder's training images, float32 [n], 0 to 1; None where unknown."""
        return self.arrays.get(FIT)

    def _array(self, name: str) -> F32:
        if name not in self.arrays:
            raise IncompatibleEncoderError(
                f"the segment {self.info.uuid} holds {HELD[self.info.layout]} ({', '.join(self.arrays)}), no"
                f" {name}: name a space of another encoder"
            )
        return self.arrays[name]
