"""What goes into a store and what comes out: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from olrsearch.core.arrays import Layout
    from olrsearch.store.vectors.values import SegmentInfo

ImageRef: TypeAlias = "int | np.integer[Any] | str | Path"
"""An image: its id, its key (`000001.jpg`, `celeba/000001.jpg`, `id:17`), or a file."""


@dataclass(frozen=True, slots=True)
class NewImage:
    """One image to import.

    Attributes:
        key: Unique within its data set.
        uri: Where its bytes lie, relative to the data set's root.
        sha256: Hash of those bytes, 64 hexadecimal digits.
        size_bytes: How many bytes.
        width: Pixels, after `orientation` is applied.
        height: Pixels, after `orientation` is applied.
        orientation: EXIF orientation of the file, 1 to 8.
        labels: −1, 0 or +1 for each of the `label_names` of the import; None where nothing
            is said about labels (what is stored then stays).
        partition: `train`, `val`, `test` or whatever the data set calls its parts; None keeps what
            is stored.
        identity: Number or name of the person shown; None keeps what is stored.
        thumbnail: JPEG bytes; None keeps what is stored.
    """

    key: str
    uri: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    orientation: int = 1
    labels: tuple[int, ...] | None = None
    partition: str | None = None
    identity: int | str | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What images that took the place of others of their keys have from those: an import did not say it.

    Attributes:
        labels: Images that kept known labels.
        partitions: Images that kept their partition.
        identities: Images that kept their identity.
        decisions: Rows of the history that were taken over.
    """

    labels: int = 0
    partitions: int = 0
    identities: int = 0
    decisions: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(
            self.labels + other.labels,
            self.partitions + other.partitions,
            self.identities + other.identities,
            self.decisions + other.decisions,
        )


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What an import did; every image counts once.

    Attributes:
        added: Images whose key was never there.
        restored: Images whose key had died: a new image.
        unchanged: Nothing was written.
        relabelled: Same bytes, other labels: a new label revision.
        replaced: Other bytes: a new image, and a tombstone for the old one.
        updated: Same bytes and labels, another uri, partition or identity, or a first thumbnail.
        kept: What replaced and restored images have from those before them.
    """

    added: int = 0
    restored: int = 0
    unchanged: int = 0
    relabelled: int = 0
    replaced: int = 0
    updated: int = 0
    kept: Kept = Kept()


@dataclass(frozen=True, slots=True)
class KnownImage:
    """What the store knows of a living image, so that an import can skip work."""

    id: int
    uri: str
    sha256: str
    size_bytes: int
    width: int
    height: int
    orientation: int
    thumbnail: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A file that was found under another name, with the bytes of an image.

    Attributes:
        id: Of the image, living or dead.
        key: The key that it gets.
        uri: Where its bytes lie now, relative to the data set's root.
    """

    id: int
    key: str
    uri: str


@dataclass(frozen=True, slots=True)
class BuriedImage:
    """The last image that had a key which no living image has.

    Attributes:
        id: Of the image.
        sha256: Of its bytes.
        gone: Whether a sync found its file gone; otherwise somebody deleted it.
    """

    id: int
    sha256: str
    gone: bool


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image.

    `identity` is a number, or a name where the data set names people; `root` is the folder its uri is
    relative to; `sha256` is of the source file.
    """

    id: int
    key: str
    dataset: str
    uri: str
    partition: str | None
    identity: int | str | None
    width: int
    height: int
    size_bytes: int
    root: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """One data set; `images` counts the living ones, `deleted` the tombstones."""

    id: int
    name: str
    kind: str
    root: Path
    images: int
    deleted: int


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """Everything one encoder produced.

    Attributes:
        id: Number within the store.
        fingerprint: The encoder's.
        name: What people call it; of several spaces of one name the newest is meant.
        kind: The encoder's kind (`olr`).
        layout: What the space holds of an image: `labels` or `posterior`.
        labels: The encoder's labels, in the order of its embeddings (not the store's order); of
            posteriors, its words.
        k: Numbers a label; of posteriors, dimensions.
        config: The encoder's configuration.
        segments: In the order they were added.
        model_path: `models/<fingerprint>`.
        index_path: `indexes/<fingerprint>`, the folder for what is built from the segments.
        metric: As given to `SpaceWriter.set_metric`; None before.
        calibration: As given to `SpaceWriter.set_calibration`, with `label_revision` (null where it came
            with the encoder) and `split`.
        indexes: As given to `SpaceWriter.add_index`, by name.
    """

    id: int
    fingerprint: str
    name: str
    kind: str
    layout: Layout
    labels: tuple[str, ...]
    k: int
    config: dict[str, Any]
    segments: tuple[SegmentInfo, ...]
    model_path: Path
    index_path: Path
    metric: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many images have an embedding or a posterior, tombstones included."""
        return sum(segment.count for segment in self.segments)


class Relocation(NamedTuple):
    """How many uris of a data set's living images name a file below its new root."""

    found: int
    total: int
