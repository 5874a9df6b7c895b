"""Data set → store, and store → embeddings: in batches, resumable, nothing lost on a fault.

Each batch of an import and each segment of an encoding is committed on its own, so an
interrupted run leaves a whole store and the next run goes on where it ended.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from olrsearch.datasets.files import decode, exif_orientation, load_array, read_bytes, thumbnail_jpeg
from olrsearch.errors import DatasetError, EmptyStoreError, IncompatibleEncoderError
from olrsearch.progress import T, Track, silent
from olrsearch.store.values import NewImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from olrsearch.arrays import F32, I64, U8
    from olrsearch.datasets.base import Dataset, DatasetIssue, ImageRecord
    from olrsearch.encoders.protocol import LabelEncoder
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import ImageRow, KnownImage, SpaceInfo
    from olrsearch.store.writer import Writer

logger = logging.getLogger(__name__)

OnError: TypeAlias = Literal["skip", "fail"]
_IMPORT_BATCH = 512
_SEGMENT_IMAGES = 8192
_WORKERS = 4  # decoding releases the GIL; more threads than cores hide the reading


@dataclass(frozen=True, slots=True)
class Failure:
    """One image that could not be used.

    Attributes:
        key: The image's key.
        reason: What was wrong with it.
    """

    key: str
    reason: str


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
        encoded: Images that now have an embedding and had none.
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
    with backend.writer() as writer, ThreadPoolExecutor(_WORKERS) as pool:
        dataset_id = writer.add_dataset(name, dataset.kind, dataset.root)
        writer.add_labels(dataset.label_names)
        known = writer.known(dataset_id)

        def read(record: ImageRecord) -> NewImage | Failure:
            try:
                return _new_image(dataset.root, record, known.get(record.key), thumbnails=thumbnails)
            except DatasetError as error:
                if on_error == "fail":
                    raise
                return Failure(record.key, str(error))

        batches = _batched(records, _IMPORT_BATCH)
        for batch in track(batches, total=total, what="import"):
            found = list(pool.map(read, batch))
            report.failed.extend(item for item in found if isinstance(item, Failure))
            images = [item for item in found if isinstance(item, NewImage)]
            counts = writer.add_images(dataset_id, images, label_names=dataset.label_names)
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
    encoder: LabelEncoder,
    *,
    on_error: OnError = "skip",
    batch_size: int = 256,
    segment_images: int = _SEGMENT_IMAGES,
    track: Track = silent,
) -> EncodeReport:
    """Encode every living image that has no embedding in `space` yet.

    Adding images later costs what the new images cost: existing segments are neither
    read nor rewritten. On Ctrl-C the images encoded so far are committed first.

    Raises:
        EmptyStoreError: the store holds no images.
        IncompatibleEncoderError: `encoder` is not the space's encoder.
    """
    if encoder.fingerprint != space.fingerprint:
        msg = (
            f"the space {space.name!r} holds embeddings of encoder {space.fingerprint[:12]}, "
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
        try:
            for ids in track(_chunks(missing, batch_size), total=len(missing), what="encode"):
                rows = snapshot.images(ids.tolist())
                good, pixels, failures = read_pixels(
                    rows, encoder.input_size, encoder.crop, on_error=on_error
                )
                report.failed.extend(failures)
                if good:
                    pending.add(good, encoder.encode(pixels))
                if pending.count >= segment_images:
                    report.encoded += pending.flush()
        finally:
            # Also on Ctrl-C and faults: what was encoded is not thrown away.
            report.encoded += pending.flush()
    return report


class _Pending:
    """Embeddings waiting for their segment."""

    def __init__(self, writer: Writer, space: SpaceInfo) -> None:
        self._writer = writer
        self._space = space
        self._ids: list[int] = []
        self._parts: list[F32] = []

    @property
    def count(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[int], embeddings: F32) -> None:
        self._ids.extend(ids)
        self._parts.append(embeddings)

    def flush(self) -> int:
        """Commit what waits as one segment; returns how many images that were."""
        count = len(self._ids)
        if count:
            joined = np.concatenate(self._parts, axis=1)
            self._writer.add_segment(self._space.id, np.asarray(self._ids, np.int64), joined)
            self._ids, self._parts = [], []
        return count


def read_pixels(
    rows: Sequence[ImageRow],
    size: tuple[int, int],
    crop: str,
    *,
    on_error: OnError = "skip",
) -> tuple[list[int], U8, list[Failure]]:
    """Read, decode and resize images of the store.

    Args:
        rows: Which images.
        size: (height, width) in pixels.
        crop: `none` or `center`.
        on_error: `skip` leaves unreadable images out and reports them; `fail` raises.

    Returns:
        The ids that could be read, their pixels uint8 [n, H, W, 3], and the failures.
    """

    def read(row: ImageRow) -> U8 | Failure:
        try:
            return load_array(row.root, row.uri, size, crop)
        except DatasetError as error:
            if on_error == "fail":
                raise
            return Failure(row.key, str(error))

    with ThreadPoolExecutor(_WORKERS) as pool:
        found = list(pool.map(read, rows))
    good = [(row.id, item) for row, item in zip(rows, found, strict=True) if not isinstance(item, Failure)]
    pixels = np.empty((len(good), *size, 3), np.uint8)
    for position, (_, item) in enumerate(good):
        pixels[position] = item
    return [image_id for image_id, _ in good], pixels, [item for item in found if isinstance(item, Failure)]


def cache_pixels(
    rows: Sequence[ImageRow],
    size: tuple[int, int],
    crop: str,
    path: Path,
    *,
    track: Track = silent,
) -> tuple[I64, list[Failure]]:
    """Write the pixels of many images to a `.npy` file that training maps into memory.

    Returns:
        The ids in the file's order, and the images that could not be read.
    """
    scratch = path.with_suffix(".part")
    target = np.lib.format.open_memmap(scratch, "w+", np.uint8, (len(rows), *size, 3))
    ids: list[int] = []
    failures: list[Failure] = []
    for batch in track(_batched(rows, _IMPORT_BATCH), total=len(rows), what="decode"):
        good, pixels, failed = read_pixels(batch, size, crop)
        target[len(ids) : len(ids) + len(good)] = pixels
        ids.extend(good)
        failures.extend(failed)
    target.flush()
    if failures:  # the file must be as long as the ids
        np.save(path, target[: len(ids)])
        scratch.unlink()
    else:
        scratch.replace(path)
    return np.asarray(ids, np.int64), failures


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _chunks(ids: I64, size: int) -> Iterator[I64]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
