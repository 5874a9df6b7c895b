"""What an image has from the one that had its key before: labels that are not said anew, and decisions.

People name an image by its key: other bytes under it, or the file of a deleted image that is imported again,
are another image with another id, and what was said of the key is true of that one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from olrsearch.store.read.labels import unpack
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import chunks, next_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from olrsearch.core.arrays import I64
    from olrsearch.store.sql.commit import Change
    from olrsearch.store.values import NewImage


@dataclass(slots=True)
class StoredImage:
    """The living image of a key, or the one that had it last.

    Attributes:
        tombstone: Of which tombstone version; None while it lives.
        moved: Whether it lives on under another key, since its file has another name.
        packed: Its newest labels, by annotator.
        thumbnail: Whether there is one.
    """

    id: int
    source_id: int
    uri: str
    sha256: bytes
    partition: str | None
    identity: int | str | None
    tombstone: int | None
    moved: bool = False
    packed: dict[int, bytes] = field(default_factory=dict)
    thumbnail: bool = False

    def filed(self, image: NewImage) -> tuple[str | None, int | str | None]:
        """Partition and identity with what an import says; None says nothing, and empties no split."""
        return (
            self.partition if image.partition is None else image.partition,
            self.identity if image.identity is None else image.identity,
        )

    def known_beside(self, said: I64, count: int) -> bool:
        """Whether any label is known that is not among those said."""
        if not self.packed:
            return False
        known = (unpack(list(self.packed.values()), count) != 0).any(axis=0)
        known[said] = False
        return bool(known.any())

    def older_than(self, other: StoredImage) -> bool:
        """Whether another image of the same key came after this one."""
        return self.tombstone is not None and (
            other.tombstone is None or (self.tombstone, self.id) < (other.tombstone, other.id)
        )


def read_stored(
    connection: Connection, dataset: int, keys: Sequence[str], moved: Mapping[str, int] = MappingProxyType({})
) -> dict[str, StoredImage]:
    """What the keys of a data set stand for, or stood for last.

    Args:
        connection: Inside a transaction.
        dataset: Its number.
        keys: The keys asked about.
        moved: Images by keys that were theirs until now.
    """
    i, s, a, t = schema.image.c, schema.source.c, schema.annotation.c, schema.thumbnail.c
    columns = (i.id, i.source_id, s.uri, s.sha256, i.partition, i.identity, i.tombstone_version)
    images = select(i.key, *columns).join_from(schema.image, schema.source)
    found: dict[str, StoredImage] = {}
    for some in chunks(keys):
        for row in connection.execute(images.where(i.dataset_id == dataset, i.key.in_(some))):
            key, image = row[0], StoredImage(*row[1:])
            if key not in found or found[key].older_than(image):
                found[key] = image
    for key, number in moved.items():
        found[key] = StoredImage(*connection.execute(images.where(i.id == number)).one()[1:])
        found[key].moved = True
    by_id = {image.id: image for image in found.values()}
    for some in chunks(list(by_id)):
        for number, annotator, packed in connection.execute(
            select(a.image_id, a.annotator_id, a.packed).where(a.image_id.in_(some)).order_by(a.revision)
        ):
            by_id[number].packed[annotator] = packed
        for number in connection.scalars(select(t.image_id).where(t.image_id.in_(some))):
            by_id[number].thumbnail = True
    return found


def repeat_decisions(change: Change, heirs: Mapping[int, int]) -> int:
    """Writes the history of images once more, for those that have their keys now.

    The rows of before stay with the image that was decided on; each new one says which it repeats.

    Args:
        change: The transaction; its label revision is that of the new rows.
        heirs: The new image of every one before.

    Returns:
        How many rows.
    """
    o = schema.override
    rows: list[dict[str, Any]] = []
    for some in chunks(list(heirs)):
        found = change.connection.execute(select(o).where(o.c.image_id.in_(some)).order_by(o.c.id))
        rows += [dict(row) for row in found.mappings()]
    first = next_id(change.connection, o.c.id) if rows else 0
    for number, row in enumerate(rows, first):
        row.update(
            id=number,
            image_id=heirs[row["image_id"]],
            copy_of=row["id"] if row["copy_of"] is None else row["copy_of"],
            revision=change.now.label_revision,
        )
    if rows:
        change.write(insert(o), rows)
    return len(rows)
