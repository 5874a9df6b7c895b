"""Images into the gallery: what a batch changes, decided image by image, written in bulk.

Importing the same again costs reading and writes nothing. The rules, by key within a data set:

    never there                     a new image
    same bytes, same labels         nothing (another uri, partition or identity is corrected)
    same bytes, other labels        a row of the next label revision; the old row stays
    other bytes                     a new image with a new id, a tombstone for the old one
    only dead                       a new image with a new id

What an import does not say (labels it does not name, a partition or identity of None) keeps what
is stored, and decisions follow the key: a new image has them from the last one of its key, living or dead.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from sqlalchemy import insert, select, update

from olrsearch.core.errors import DatasetError, DuplicateKeyError, LabelFileError
from olrsearch.core.names import LabelNames, unfit_character
from olrsearch.store.read.labels import unpack
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import chunks, next_id
from olrsearch.store.values import ImportCounts, Kept
from olrsearch.store.write.succession import StoredImage, read_stored, repeat_decisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import I8
    from olrsearch.store.sql.commit import Change
    from olrsearch.store.values import NewImage

_DIGEST: Final = 32
_VALUES: Final = frozenset({-1, 0, 1})

Cause: TypeAlias = Literal["deleted", "replaced", "gone"]
"""What set a tombstone; see `schema.ImageColumns`."""


def ensure_labels(change: Change, names: Sequence[str]) -> list[int]:
    """Positions of labels in the vocabulary, appending those it lacks.

    A name spelt as an existing label but for case, `_`, `-` and spaces is that label.

    Raises:
        LabelFileError: a name that is empty or holds what no name may, or the same label twice.
    """
    label = schema.label
    there = LabelNames(change.connection.scalars(select(label.c.name).order_by(label.c.position)).all())
    positions: list[int] = []
    new: dict[str, int] = {}
    for name in names:
        if not name.strip():
            raise LabelFileError("a label has an empty name; expected a word such as Smiling")
        if unfit := unfit_character(name):
            raise LabelFileError(f"the label {name[:60]!r} holds {unfit}; expected a word such as Smiling")
        found = there.matches(name)
        one = found[0] if len(found) == 1 else new.setdefault(name, change.now.label_count + len(new))
        positions.append(one)
    twice = [names[index] for index, position in enumerate(positions) if position in positions[:index]]
    if twice:
        raise LabelFileError(f"the label {twice[0]!r} stands twice; expected each label once")
    if new:
        change.write(insert(label), [{"position": at, "name": name} for name, at in new.items()])
        change.now.label_count += len(new)
    return positions


def ensure_annotator(change: Change, name: str) -> int:
    """The number of an annotator, added if new."""
    table = schema.annotator
    known = change.connection.scalar(select(table.c.id).where(table.c.name == name))
    return change.add(table, name=name) if known is None else known


def bury(change: Change, ids: Sequence[int], cause: Cause) -> None:
    """Sets the tombstones of images, of the next tombstone version."""
    i = schema.image
    change.now.tombstone_version += 1
    values = {"tombstone_version": change.now.tombstone_version, "cause": cause}
    for some in chunks(ids):
        change.write(update(i).where(i.c.id.in_(some)).values(**values))


@dataclass(slots=True)
class _Plan:
    """Rows to write, gathered over a batch."""

    sources: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    thumbnails: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    heirs: dict[int, int] = field(default_factory=dict)
    """New images by those whose key they have."""
    kept: Kept = field(default_factory=Kept)
    corrected: list[dict[str, Any]] = field(default_factory=list)


class Importer:
    """Imports one batch within one change.

    Args:
        change: The transaction.
        dataset_id: Where the images belong.
        positions: Vocabulary positions of the batch's labels, in the order of their values.
        annotator_id: Whose labels these are.
    """

    def __init__(self, change: Change, dataset_id: int, positions: Sequence[int], annotator_id: int) -> None:
        self._change = change
        self._connection = change.connection
        self._dataset = dataset_id
        self._positions = np.asarray(positions, np.int64)
        self._annotator = annotator_id
        self._plan = _Plan()
        self._sources: dict[tuple[str, bytes], int] = {}
        self._next_source = 0

    def run(
        self, batch: Sequence[NewImage], *, moved: Mapping[str, int] = MappingProxyType({})
    ) -> ImportCounts:
        """Writes what the batch changes.

        Args:
            batch: Images, each key once.
            moved: Images by keys of the batch that were theirs until now.

        Raises:
            DuplicateKeyError: a key stands twice in the batch.
            LabelFileError: labels of another count, or values other than −1, 0, 1.
            DatasetError: a hash that is none of sha256, or a name that will not do.
        """
        self._check(batch)
        stored = read_stored(self._connection, self._dataset, [image.key for image in batch], moved)
        digests = [_digest(image) for image in batch]
        self._read_sources({image.uri for image in batch})
        counts = Counter(
            self._decide(image, digest, stored.get(image.key))
            for image, digest in zip(batch, digests, strict=True)
        )
        self._write(relabelled=counts["relabelled"] > 0)
        return ImportCounts(**counts, kept=self._plan.kept)

    def _check(self, batch: Sequence[NewImage]) -> None:
        keys = Counter(image.key for image in batch)
        twice = next((key for key, count in keys.items() if count > 1), None)
        if twice is not None:
            raise DuplicateKeyError(f"the key {twice!r} stands twice in one batch; expected each image once")
        for image in batch:
            if unfit := unfit_character(image.key) or unfit_character(image.uri):
                raise DatasetError(f"the image {image.key[:200]!r} holds {unfit} in its name; rename it")
            if image.labels is None:
                continue
            if len(image.labels) != self._positions.size:
                raise LabelFileError(
                    f"{image.key} has {len(image.labels)} label values; expected {self._positions.size}"
                )
            if not _VALUES.issuperset(image.labels):
                wrong = next(value for value in image.labels if value not in _VALUES)
                raise LabelFileError(f"{image.key} has the label value {wrong!r}; expected −1, 0 or 1")

    def _read_sources(self, uris: set[str]) -> None:
        s = schema.source.c
        self._next_source = next_id(self._connection, s.id)
        for some in chunks(sorted(uris)):
            for uri, sha256, number in self._connection.execute(
                select(s.uri, s.sha256, s.id).where(s.dataset_id == self._dataset, s.uri.in_(some))
            ):
                self._sources[uri, sha256] = number

    def _decide(self, image: NewImage, digest: bytes, stored: StoredImage | None) -> str:
        """Plans what an image changes; gives the field of `ImportCounts` that it counts for."""
        if stored is None:
            self._add(image, digest)
            return "added"
        if stored.tombstone is not None:
            self._add(image, digest, stored)
            return "restored"
        if stored.moved or stored.sha256 != digest:
            if not stored.moved:
                self._plan.dead.append(stored.id)
            self._add(image, digest, stored)
            return "replaced"
        updated = self._correct(image, digest, stored)
        if self._label(image, stored.id, stored.packed.get(self._annotator)):
            return "relabelled"
        return "updated" if updated else "unchanged"

    def _add(self, image: NewImage, digest: bytes, before: StoredImage | None = None) -> None:
        """Plans a new image; what is not said of it is as it was of the one that had its key before."""
        self._change.now.last_image_id += 1
        number = self._change.now.last_image_id
        partition, identity = (image.partition, image.identity) if before is None else before.filed(image)
        self._plan.images.append(
            {
                "id": number,
                "dataset_id": self._dataset,
                "source_id": self._source(image, digest),
                "key": image.key,
                "partition": partition,
                "identity": identity,
                "width": image.width,
                "height": image.height,
                "created_at": schema.utc_now(),
                "tombstone_version": None,
            }
        )
        if image.thumbnail is not None:
            self._plan.thumbnails.append({"image_id": number, "jpeg": image.thumbnail})
        if before is None:
            self._label(image, number, None)
        else:
            self._inherit(image, number, before)

    def _inherit(self, image: NewImage, number: int, before: StoredImage) -> None:
        """Plans the labels and decisions that a new image has from the one before it."""
        plan = self._plan
        plan.heirs[before.id] = number
        count = self._change.now.label_count
        for annotator, packed in before.packed.items():
            if annotator != self._annotator:
                plan.annotations.append({"image_id": number, "annotator_id": annotator, "packed": packed})
        mine = before.packed.get(self._annotator)
        if mine is not None or image.labels:
            kept = unpack([mine or b""], count)[0].copy()
            if image.labels is not None:
                kept[self._positions] = image.labels
            plan.annotations.append({"image_id": number, "packed": kept.tobytes()})
        said = self._positions if image.labels is not None else self._positions[:0]
        plan.kept += Kept(
            labels=int(before.known_beside(said, count)),
            partitions=int(image.partition is None and before.partition is not None),
            identities=int(image.identity is None and before.identity is not None),
        )

    def _correct(self, image: NewImage, digest: bytes, stored: StoredImage) -> bool:
        moved = image.uri != stored.uri
        partition, identity = stored.filed(image)
        filed = (partition, identity) != (stored.partition, stored.identity)
        if moved or filed:
            self._plan.corrected.append(
                {
                    "number": stored.id,
                    "source_id": self._source(image, digest) if moved else stored.source_id,
                    "partition": partition,
                    "identity": identity,
                }
            )
        pictured = image.thumbnail is not None and not stored.thumbnail
        if pictured:
            self._plan.thumbnails.append({"image_id": stored.id, "jpeg": image.thumbnail})
        return moved or filed or pictured

    def _label(self, image: NewImage, number: int, packed: bytes | None) -> bool:
        """Plans a row of labels where they differ from the stored ones; says whether they do."""
        if not image.labels:  # a table without a label says nothing of any
            return False
        count = self._change.now.label_count
        before: I8 = unpack([packed or b""], count)[0]
        after = before.copy()
        after[self._positions] = image.labels
        if packed is not None and np.array_equal(before, after):
            return False
        self._plan.annotations.append({"image_id": number, "packed": after.tobytes()})
        return True

    def _source(self, image: NewImage, digest: bytes) -> int:
        place = (image.uri, digest)
        if place not in self._sources:
            self._sources[place] = self._next_source
            self._plan.sources.append(
                {
                    "id": self._next_source,
                    "dataset_id": self._dataset,
                    "uri": image.uri,
                    "sha256": digest,
                    "size_bytes": image.size_bytes,
                    "orientation": image.orientation,
                }
            )
            self._next_source += 1
        return self._sources[place]

    def _write(self, *, relabelled: bool) -> None:
        change, plan, i = self._change, self._plan, schema.image
        if relabelled:
            change.now.label_revision += 1
        if plan.dead:  # before the images that take over their keys
            bury(change, plan.dead, "replaced")
        mine = {"annotator_id": self._annotator, "revision": change.now.label_revision}
        for table, rows in (
            (schema.source, plan.sources),
            (i, plan.images),
            (schema.thumbnail, plan.thumbnails),
            (schema.annotation, [mine | row for row in plan.annotations]),
        ):
            if rows:
                change.write(insert(table), rows)
        plan.kept += Kept(decisions=repeat_decisions(change, plan.heirs))
        for row in plan.corrected:
            number = row.pop("number")
            change.write(update(i).where(i.c.id == number).values(**row))


def _digest(image: NewImage) -> bytes:
    try:
        digest = bytes.fromhex(image.sha256)
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST:
        raise DatasetError(
            f"{image.key} has the hash {image.sha256!r}; expected the sha256 of its bytes, 64 hexadecimal"
            " digits"
        )
    return digest
