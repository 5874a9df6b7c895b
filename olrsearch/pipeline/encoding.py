"""Store → embeddings: the images that a space has nothing of, in segments, resumable.

Each segment is committed on its own, so an interrupted run leaves a whole store and the next run goes on
where it ended.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import EmptyStoreError, IncompatibleEncoderError
from olrsearch.core.progress import Track, silent
from olrsearch.encoders.protocol import Posteriors
from olrsearch.pipeline.reading_pixels import Failure, OnError, batched, decoded
from olrsearch.store.vectors.layout import EMBEDDINGS, FACTOR, MEAN, image_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32
    from olrsearch.encoders.protocol import Encoder
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.write.writer import Writer

logger = logging.getLogger(__name__)


_SEGMENT_IMAGES = 8192


@dataclass(slots=True)
class EncodeReport:
    """What an encoding run did.

    Attributes:
        space: Name of the space written to.
        encoded: Images that now have an embedding (or a posterior) and had none.
        present: Images that had one already.
        failed: Images whose files could not be read, with the reason.
        notes: What else the reader must know.
    """

    space: str
    encoded: int = 0
    present: int = 0
    failed: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def encode_missing(
    backend: Backend,
    space: SpaceInfo,
    encoder: Encoder,
    *,
    on_error: OnError = "skip",
    batch_size: int = 256,
    segment_images: int = _SEGMENT_IMAGES,
    track: Track = silent,
) -> EncodeReport:
    """Encode every living image that has no embedding, or posterior, in `space` yet.

    Adding images later costs what the new images cost: existing segments are neither
    read nor rewritten. On Ctrl-C the images encoded so far are committed first.

    Raises:
        EmptyStoreError: the store holds no images.
        IncompatibleEncoderError: `encoder` is not the space's encoder.
    """
    if encoder.fingerprint != space.fingerprint:
        msg = (
            f"the space {space.name!r} is of encoder {space.fingerprint[:12]}, "
            f"not of {encoder.fingerprint[:12]}: encode with its own encoder, or into a space of the new one"
        )
        raise IncompatibleEncoderError(msg)
    report = EncodeReport(space=space.name)
    with backend.writer() as writer:
        snapshot = backend.snapshot()
        missing = snapshot.missing_embeddings(space.id)
        if not snapshot.image_count:
            msg = "the store holds no images: import a data set first (olrsearch import --help)"
            raise EmptyStoreError(msg)
        report.present = snapshot.image_count - len(missing)
        pending = _Pending(writer, space)
        batches = (snapshot.images(ids) for ids in batched(missing.tolist(), batch_size))
        try:
            with closing(decoded(batches, encoder.input_size, encoder.crop, on_error=on_error)) as source:
                for batch in track(source, total=len(missing), what="encode"):
                    report.failed.extend(batch.failures)
                    if batch.ids:
                        pending.add(batch.ids, encoder.encode(batch.pixels))
                    if pending.count >= segment_images:
                        report.encoded += pending.flush()
        finally:
            # Also on Ctrl-C and faults: what was encoded is not thrown away.
            report.encoded += pending.flush()
    return report


class _Pending:
    """Embeddings or posteriors waiting for their segment."""

    def __init__(self, writer: Writer, space: SpaceInfo) -> None:
        self._writer = writer
        self._space = space
        self._ids: list[int] = []
        self._parts: list[dict[str, F32]] = []

    @property
    def count(self) -> int:
        """How many images."""
        return len(self._ids)

    def add(self, ids: Sequence[int], made: F32 | Posteriors) -> None:
        """Takes a batch as the encoder made it."""
        self._ids.extend(ids)
        self._parts.append(
            {MEAN: made.mean, FACTOR: made.factor} if isinstance(made, Posteriors) else {EMBEDDINGS: made}
        )

    def flush(self) -> int:
        """Commit what waits as one segment; returns how many images that were."""
        count = len(self._ids)
        if count:
            joined = {
                name: np.concatenate([part[name] for part in self._parts], axis=axis)
                for name, axis in image_axes(self._space.layout).items()
            }
            self._writer.spaces.add_segment(self._space.id, np.asarray(self._ids, np.int64), joined)
            self._ids, self._parts = [], []
        return count
