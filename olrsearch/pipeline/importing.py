"""Data set → store: in batches, resumable, nothing lost on a fault.

Each batch is committed on its own, so an interrupted run leaves a whole store and the next run goes on
where it ended.
"""

from __future__ import annotations

import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from olrsearch.core.errors import DatasetError
from olrsearch.core.files import sha256_hex
from olrsearch.core.progress import Track, silent
from olrsearch.datasets.images import decode, exif_orientation, read_bytes, thumbnail_jpeg
from olrsearch.pipeline.reading_pixels import WORKERS, Failure, OnError, batched
from olrsearch.store.values import NewImage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from olrsearch.datasets.base import Dataset, DatasetIssue, ImageRecord
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import KnownImage

logger = logging.getLogger(__name__)

_IMPORT_BATCH = 512


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
            for what, count in asdict(counts).items():
                setattr(report, what, getattr(report, what) + count)
    logger.info("imported %s: %d added, %d failed", name, report.added, len(report.failed))
    return report


def _new_image(root: Path, record: ImageRecord, known: KnownImage | None, *, thumbnails: bool) -> NewImage:
    data = read_bytes(root, record.uri)
    digest = sha256_hex(data)
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
