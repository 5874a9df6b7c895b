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

from olrsearch.core.counted import counted
from olrsearch.core.errors import EmptyStoreError, IncompatibleEncoderError
from olrsearch.core.progress import Track, silent
from olrsearch.encoders.folder.shapes import expected_shapes
from olrsearch.encoders.protocol import MeasuringEncoder, Posteriors
from olrsearch.maths.fit import FOREIGN
from olrsearch.pipeline.reading_pixels import Failure, OnError, batched, decoded
from olrsearch.store.vectors.layout import EMBEDDINGS, FACTOR, FIT, MEAN, image_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from olrsearch.core.arrays import F32, I64, U8
    from olrsearch.encoders.protocol import Encoder
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
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
        foreign: Of those encoded now, how many are unlike the images the encoder was trained on.
        unmeasured: Of those encoded now, how many have no fit: the encoder does not know it.
        squashed: Of those encoded now, how many have another shape than the encoder expects.
        notes: What else the reader must know.
    """

    space: str
    encoded: int = 0
    present: int = 0
    failed: list[Failure] = field(default_factory=list)
    foreign: int = 0
    unmeasured: int = 0
    squashed: int = 0
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
        pending = _Pending(writer, space, report)
        batches = (snapshot.images(ids) for ids in batched(missing.tolist(), batch_size))
        try:
            with closing(decoded(batches, encoder.input_size, encoder.crop, on_error=on_error)) as source:
                for batch in track(source, total=len(missing), what="encode"):
                    report.failed.extend(batch.failures)
                    if batch.ids:
                        pending.add(batch.ids, *encode_with_fit(encoder, batch.pixels))
                    if pending.count >= segment_images:
                        report.encoded += pending.flush()
        finally:
            # Also on Ctrl-C and faults: what was encoded is not thrown away.
            report.encoded += pending.flush()
    report.notes.extend(_notes(space, snapshot, missing, report))
    return report


def encode_with_fit(encoder: Encoder, pixels: U8) -> tuple[F32 | Posteriors, F32 | None]:
    """What any encoder makes of a batch, and the images' fits, float32 [B]; None where it knows none."""
    if isinstance(encoder, MeasuringEncoder):
        return encoder.encode_with_fit(pixels)
    return encoder.encode(pixels), None


def _notes(space: SpaceInfo, snapshot: Snapshot, ids: I64, report: EncodeReport) -> Iterator[str]:
    """What the reader of a report must know; counts the images of unusual shapes."""
    if not report.encoded:
        return
    if report.foreign:
        yield (
            f"{report.foreign:,} of {counted(report.encoded, 'image')} "
            f"{'is' if report.foreign == 1 else 'are'} unlike those {space.name} was trained on "
            f'(fit below {FOREIGN}): answers mark them, and --where "fit >= {FOREIGN}" leaves them out'
        )
    if report.unmeasured:
        yield (
            f"{space.name} does not know which images it was trained on: how well these fit is not measured, "
            "and foreign images are not marked"
        )
    expected = expected_shapes(space.model_path)
    if expected is not None and len(ids):
        sides = snapshot.columns(ids, ("width", "height"))
        rows = np.flatnonzero(expected.squashed(sides["width"], sides["height"]))
        report.squashed = len(rows)
        if len(rows):
            first = snapshot.images([int(ids[rows[0]])])[0]
            yield (
                f"{counted(len(rows), 'image is', 'images are')} squashed ({first.key}, "
                f"{first.width} × {first.height} pixels, for one): {space.name} was trained on images "
                f"{expected.said()}; crop images to that around what they show, and import the crops"
            )


class _Pending:
    """Embeddings or posteriors waiting for their segment."""

    def __init__(self, writer: Writer, space: SpaceInfo, report: EncodeReport) -> None:
        self._report = report
        self._writer = writer
        self._space = space
        self._ids: list[int] = []
        self._parts: list[dict[str, F32]] = []

    @property
    def count(self) -> int:
        """How many images."""
        return len(self._ids)

    def add(self, ids: Sequence[int], made: F32 | Posteriors, fits: F32 | None) -> None:
        """Takes a batch as the encoder made it, and its fits where it knows them."""
        self._ids.extend(ids)
        part = {MEAN: made.mean, FACTOR: made.factor} if isinstance(made, Posteriors) else {EMBEDDINGS: made}
        if fits is None:
            self._report.unmeasured += len(ids)
        else:
            part[FIT] = fits
            self._report.foreign += int((fits < FOREIGN).sum())
        self._parts.append(part)

    def flush(self) -> int:
        """Commit what waits as one segment; returns how many images that were."""
        count = len(self._ids)
        if count:
            joined = {
                name: np.concatenate([part[name] for part in self._parts], axis=axis)
                for name, axis in {**image_axes(self._space.layout), FIT: 0}.items()
                if name in self._parts[0]
            }
            self._writer.spaces.add_segment(self._space.id, np.asarray(self._ids, np.int64), joined)
            self._ids, self._parts = [], []
        return count
