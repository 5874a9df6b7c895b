"""Data set → store, and store → embeddings: in batches, resumable, nothing lost on a fault.

Each batch of an import and each segment of an encoding is committed on its own, so an
interrupted run leaves a whole store and the next run goes on where it ended.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import DatasetError, EmptyStoreError, IncompatibleEncoderError
from olrsearch.core.progress import Track, silent
from olrsearch.datasets.files import decode, exif_orientation, read_bytes, thumbnail_jpeg
from olrsearch.encoders.protocol import Posteriors
from olrsearch.pipeline.pixels import WORKERS, Failure, OnError, batched, decoded
from olrsearch.store.values import NewImage
from olrsearch.store.vectors.layout import EMBEDDINGS, FACTOR, MEAN, image_axes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64
    from olrsearch.datasets.base import Dataset, DatasetIssue, ImageRecord
    from olrsearch.encoders.protocol import Encoder
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import KnownImage, SpaceInfo
    from olrsearch.store.write.writer import Writer

logger = logging.getLogger(__name__)

_IMPORT_BATCH = 512
_SEGMENT_IMAGES = 8192


@dataclass(slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        dataset: The name it was imported under.
        added: Images new to the store.
        unchanged: Images already there, bytes and labels alike.
        relabelled: Images whose stored labels changed.
        updated: Images whose uri, partition or identity changed.
        replaced: Images whose bytes changed: a new image, and a tombstone for the old.
        failed: Images that could not be read, with the reason.
        issues: What was odd about the data set as a whole.
    """

    dataset: str
    added: int = 0
    unchanged: int = 0
    relabelled: int = 0
    updated: int = 0
    replaced: int = 0
    failed: list[Failure] = field(default_factory=list)
    issues: list[DatasetIssue] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return asdict(self)


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


def import_dataset(
    backend: Backend,
    dataset: Dataset,
    *,
    name: str,
    on_error: OnError = "skip",
    thumbnails: bool = True,
    limit: int | None = None,
    track: Track = silent,
) -> ImportReport:
    """Bring a data set's images and labels into the store.

    Every image is read and decoded once, so that what is in the store can be decoded.
    Importing again is cheap and safe: same bytes and labels, nothing happens; changed
    labels are stored as a new label revision; changed bytes become a new image.

    Args:
        backend: The store.
        dataset: What to import.
        name: Name of the data set in the store; its root is remembered under it.
        on_error: `skip` counts and reports unreadable images; `fail` stops at the first,
            with the batches before it committed.
        thumbnails: Keep a small JPEG of each image, for sheets.
        limit: Import at most this many records, in the data set's order.
        track: Shows progress.

    Raises:
        ImageDecodeError, ImageMissingError: with `on_error='fail'`.
        StoreLockedError: another writer is at work.
    """
    report = ImportReport(dataset=name, issues=list(dataset.issues))
    records: Iterable[ImageRecord] = itertools.islice(dataset, limit)
    total = len(dataset) if limit is None else min(limit, len(dataset))
    with backend.writer() as writer, ThreadPoolExecutor(WORKERS) as pool:
        dataset_id = writer.gallery.add_dataset(name, dataset.kind, dataset.root)
        writer.gallery.add_labels(dataset.label_names)
        known = writer.gallery.known(dataset_id)

        def read(record: ImageRecord) -> NewImage | Failure:
            try:
                return _new_image(dataset.root, record, known.get(record.key), thumbnails=thumbnails)
            except DatasetError as error:
                if on_error == "fail":
                    raise
                return Failure(record.key, str(error))

        batches = batched(records, _IMPORT_BATCH)
        for batch in track(batches, total=total, what="import"):
            found = list(pool.map(read, batch))
            report.failed.extend(item for item in found if isinstance(item, Failure))
            images = [item for item in found if isinstance(item, NewImage)]
            counts = writer.gallery.add_images(dataset_id, images, label_names=dataset.label_names)
            report.added += counts.added
            report.unchanged += counts.unchanged
            report.relabelled += counts.relabelled
            report.updated += counts.updated
            report.replaced += counts.replaced
    logger.info("imported %s: %d added, %d failed", name, report.added, len(report.failed))
    return report


def _new_image(root: Path, record: ImageRecord, known: KnownImage | None, *, thumbnails: bool) -> NewImage:
    data = read_bytes(root, record.uri)
    digest = hashlib.sha256(data).hexdigest()
    thumbnail = None
    if known is not None and known.sha256 == digest and (known.thumbnail or not thumbnails):
        # These bytes have been decoded before.
        width, height, orientation = known.width, known.height, known.orientation
    else:
        image = decode(data, where=record.uri)
        width, height = image.size
        orientation = exif_orientation(data, where=record.uri)
        thumbnail = thumbnail_jpeg(image) if thumbnails else None
    return NewImage(
        key=record.key,
        uri=record.uri,
        sha256=digest,
        size_bytes=len(data),
        width=width,
        height=height,
        orientation=orientation,
        labels=record.labels,
        partition=record.partition,
        identity=record.identity,
        thumbnail=thumbnail,
    )


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
        batches = (snapshot.images(ids.tolist()) for ids in _chunks(missing, batch_size))
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
        return len(self._ids)

    def add(self, ids: Sequence[int], made: F32 | Posteriors) -> None:
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


def _chunks(ids: I64, size: int) -> Iterator[I64]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
