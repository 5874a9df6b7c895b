"""Data set → store: in batches, resumable, nothing lost on a fault.

Each batch is committed on its own, so an interrupted run leaves a whole store and the next run goes on
where it ended. Files that may be another image's (`moved_files`) wait until all have been read; what becomes
of them is one commit.
"""

from __future__ import annotations

import itertools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from olrsearch.core.errors import DatasetError
from olrsearch.core.files import sha256_hex
from olrsearch.core.progress import Track, silent
from olrsearch.datasets.base import EXAMPLES, UNREADABLE_FOLDERS
from olrsearch.datasets.images import (
    THUMBNAIL_EDGE,
    decode_with_size,
    enough_for,
    image_bytes,
    thumbnail_jpeg,
)
from olrsearch.pipeline.moved_files import Files, FoundFile
from olrsearch.pipeline.reading_pixels import WORKERS, Failure, OnError, batched
from olrsearch.store.values import Kept, NewImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from olrsearch.datasets.base import Dataset, DatasetIssue, ImageRecord
    from olrsearch.pipeline.moved_files import Settlement
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import ImportCounts, KnownImage
    from olrsearch.store.write.gallery import GalleryWriter

logger = logging.getLogger(__name__)

T = TypeVar("T")
MAX_FILE_MB: Final = 256
"""Millions of bytes that an image's file may have, where nobody says otherwise."""

_IMPORT_BATCH = 512
_COUNTED = ("added", "unchanged", "relabelled", "updated", "replaced", "restored")


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
        moved: Images whose files have another name; they may count as relabelled too.
        restored: Images that were dead: their files came back, or deleted ones were asked for.
        removed: Tombstones of images whose files are gone, or whose name the file of another image has now.
        gone: Images that still answer although their files are gone: `sync` removes them.
        gone_examples: The first few of their keys.
        stayed_deleted: Files whose images were deleted from the store and stay so: see `restore`.
        kept: What replaced and restored images have from those of their keys before them.
        failed: Images that could not be read, with the reason.
        issues: What was odd about the data set as a whole.
    """

    dataset: str
    added: int = 0
    unchanged: int = 0
    relabelled: int = 0
    updated: int = 0
    replaced: int = 0
    moved: int = 0
    restored: int = 0
    removed: int = 0
    gone: int = 0
    gone_examples: tuple[str, ...] = ()
    stayed_deleted: int = 0
    kept: Kept = field(default_factory=Kept)
    failed: list[Failure] = field(default_factory=list)
    issues: list[DatasetIssue] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How many images were read, whatever became of them."""
        counted: int = sum(getattr(self, what) for what in (*_COUNTED, "moved", "stayed_deleted"))
        return counted

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return asdict(self)

    def add(self, counts: ImportCounts, *, only: Sequence[str] = _COUNTED) -> None:
        """Adds what a batch came to, or some of it."""
        for what in only:
            setattr(self, what, getattr(self, what) + getattr(counts, what))
        self.kept += counts.kept


def import_dataset(
    backend: Backend,
    dataset: Dataset,
    *,
    name: str,
    on_error: OnError = "skip",
    thumbnails: bool = True,
    limit: int | None = None,
    sync: bool = False,
    remove_most: bool = False,
    restore: bool = False,
    max_file_mb: int = MAX_FILE_MB,
    track: Track = silent,
) -> ImportReport:
    """Bring a data set's images and labels into the store.

    Every image is read and decoded once, so that what is in the store can be decoded.
    Importing again is cheap and safe: same bytes and labels, nothing happens; changed
    labels are stored as a new label revision; changed bytes become a new image, which has from the one
    before it whatever the data set does not say, and the decisions of its key. A file that was renamed
    keeps its image. Images that were deleted from the store stay deleted.

    Args:
        backend: The store.
        dataset: What to import.
        name: Name of the data set in the store; its root is remembered under it.
        on_error: `skip` counts and reports unreadable images; `fail` stops at the first,
            with the batches before it committed.
        thumbnails: Keep a small JPEG of each image, for sheets.
        limit: Import at most this many records, in the data set's order; files are then not looked for
            under other names.
        sync: Take images whose files are gone out of every answer; else they are counted.
        remove_most: Let `sync` remove more than half of the images.
        restore: Bring back images that were deleted from the store.
        max_file_mb: An image's file may have this many millions of bytes; a larger one is unreadable.
        track: Shows progress.

    Raises:
        ImageDecodeError, ImageMissingError: with `on_error='fail'`.
        DatasetError: `sync` with a limit, of folders that cannot be read, or of fewer than half of the files;
            or `remove_most` without it.
        StoreLockedError: another writer is at work.
    """
    if sync and limit is not None:
        raise DatasetError("a sync looks at all files: leave the limit out, or the sync")
    if remove_most and not sync:
        raise DatasetError("remove_most lets a sync remove more: say sync too, or leave remove_most out")
    report = ImportReport(dataset=name, issues=list(dataset.issues))
    with backend.writer() as writer, ThreadPoolExecutor(WORKERS) as pool:
        dataset_id = writer.gallery.add_dataset(name, dataset.kind, dataset.root)
        writer.gallery.add_labels(dataset.label_names)
        run = _Import(
            writer.gallery,
            dataset_id,
            dataset,
            pool,
            report,
            on_error,
            thumbnails=thumbnails,
            largest=max_file_mb * 1_000_000,
        )
        keys = None if limit is not None else {record.key for record in dataset}
        files = Files(run.known, writer.gallery.buried(dataset_id), keys, restore=restore)
        total = len(dataset) if limit is None else min(limit, len(dataset))
        batches = batched(itertools.islice(dataset, limit), _IMPORT_BATCH)
        waiting = [
            item for batch in track(batches, total=total, what="import") for item in run.take(batch, files)
        ]
        found = files.settle([file for _, file in waiting])
        if sync:
            _check_gone(dataset, name, run.known, files.gone, remove_most=remove_most)
        run.settle(found, waiting, list(files.gone.values()) if sync else [])
        rest = [record for record, file in waiting if file.key not in found.deleted | set(found.left)]
        for batch in track(batched(rest, _IMPORT_BATCH), total=len(rest), what="import changes"):
            run.take_changed(batch, found)
        if not sync:
            report.gone, report.gone_examples = len(files.gone), tuple(sorted(files.gone)[:EXAMPLES])
    logger.info("imported %s: %d added, %d failed", name, report.added, len(report.failed))
    return report


class _Import:
    """One import under way: reads files, and writes what they come to."""

    def __init__(
        self,
        gallery: GalleryWriter,
        dataset_id: int,
        dataset: Dataset,
        pool: ThreadPoolExecutor,
        report: ImportReport,
        on_error: OnError,
        *,
        thumbnails: bool,
        largest: int,
    ) -> None:
        self._gallery = gallery
        self._id = dataset_id
        self._dataset = dataset
        self._pool = pool
        self._report = report
        self._on_error = on_error
        self._thumbnails = thumbnails
        self._largest = largest
        self.known = gallery.known(dataset_id)

    def take(self, batch: Sequence[ImageRecord], files: Files) -> list[tuple[ImageRecord, FoundFile]]:
        """Imports some files, one change; gives those that have to wait until all are read."""

        def read(record: ImageRecord) -> NewImage | FoundFile | None:
            with image_bytes(self._dataset.root, record.uri, largest=self._largest) as data:
                digest = sha256_hex(data)
                when = files.when(record.key, digest)
                if when == "later":
                    return FoundFile(record.key, record.uri, digest)
                return None if when == "never" else self._new_image(record, data, digest)

        found = self._read(read, batch)
        self._write([item for item in found if isinstance(item, NewImage)])
        self._report.stayed_deleted += sum(item is None for item in found)
        pairs = zip(batch, found, strict=True)
        return [(record, item) for record, item in pairs if isinstance(item, FoundFile)]

    def settle(
        self, found: Settlement, waiting: Sequence[tuple[ImageRecord, FoundFile]], gone: Sequence[int]
    ) -> None:
        """Renames images, buries those without a file, and takes the files under the names they leave."""
        self._report.stayed_deleted += len(found.deleted)
        if not (found.moves or gone):
            return
        left = self._read(self._read_image, [record for record, file in waiting if file.key in found.left])
        counts = self._gallery.settle(
            self._id,
            found.moves,
            displaced=found.displaced,
            gone=gone,
            replaced=[item for item in left if isinstance(item, NewImage)],
            moved=found.left,
            label_names=self._dataset.label_names,
        )
        self._report.add(counts)
        self._report.moved = len(found.living)
        self._report.removed = len(found.displaced) + len(gone)
        self.known = self._gallery.known(self._id)

    def take_changed(self, batch: Sequence[ImageRecord], found: Settlement) -> None:
        """Imports files that had to wait."""
        images = [item for item in self._read(self._read_image, batch) if isinstance(item, NewImage)]
        self._write([image for image in images if image.key not in found.living])
        self._write([image for image in images if image.key in found.living], only=("relabelled",))

    def _read(self, read: Callable[[ImageRecord], T], records: Sequence[ImageRecord]) -> list[T | Failure]:
        """What files come to, in their order; failures are reported."""

        def attempt(record: ImageRecord) -> T | Failure:
            try:
                return read(record)
            except DatasetError as error:
                if self._on_error == "fail":
                    raise
                return Failure(record.key, str(error))

        found = list(self._pool.map(attempt, records))
        self._report.failed.extend(item for item in found if isinstance(item, Failure))
        return found

    def _write(self, images: Sequence[NewImage], *, only: Sequence[str] = _COUNTED) -> None:
        if images:
            counts = self._gallery.add_images(self._id, images, label_names=self._dataset.label_names)
            self._report.add(counts, only=only)

    def _read_image(self, record: ImageRecord) -> NewImage:
        with image_bytes(self._dataset.root, record.uri, largest=self._largest) as data:
            return self._new_image(record, data, sha256_hex(data))

    def _new_image(self, record: ImageRecord, data: bytes, digest: str) -> NewImage:
        known = self.known.get(record.key)
        thumbnail = None
        if known is not None and known.sha256 == digest and (known.thumbnail or not self._thumbnails):
            # These bytes have been decoded before.
            width, height, orientation = known.width, known.height, known.orientation
        else:
            decoded = decode_with_size(data, where=record.uri, at_least=enough_for(THUMBNAIL_EDGE))
            width, height, orientation = decoded.width, decoded.height, decoded.orientation
            thumbnail = thumbnail_jpeg(decoded.image) if self._thumbnails else None
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


def _check_gone(
    dataset: Dataset,
    name: str,
    known: Mapping[str, KnownImage],
    gone: Mapping[str, int],
    *,
    remove_most: bool,
) -> None:
    """Refuses to remove images where more seems to be wrong than that their files are gone.

    Raises:
        DatasetError: folders cannot be read, which may hold some of them; or more than half would go.
    """
    if not gone:
        return
    closed = [issue.message for issue in dataset.issues if issue.code == UNREADABLE_FOLDERS]
    for folder in sorted({(dataset.root / known[key].uri).parent for key in gone}):
        try:
            with os.scandir(folder):
                pass
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone as well, or a zip
        except OSError as cause:
            closed.append(f"{folder} cannot be read ({cause.strerror})")
    if closed:
        raise DatasetError(
            f"{closed[0]}, so {len(gone)} images of {name!r} that were not found may still be there: nothing "
            "was removed; make the folders readable and sync again"
        )
    if not remove_most and len(gone) * 2 > len(known):
        raise DatasetError(
            f"{len(gone)} of the {len(known)} images of {name!r} are not in {dataset.root} any more, more "
            "than half: nothing was removed; if they are really gone, sync again with --remove-most"
        )
