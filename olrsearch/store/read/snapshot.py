"""A reader's view: one generation of a store, which stays as it is while a writer goes on.

Every answer is bounded by the snapshot's numbers (generation, last image id, tombstone version, label
revision), so no transaction stays open between calls. What may still change under an old
snapshot is where images lie and the partition and identity an import corrects.

Notation: n images asked for, L labels of the store's vocabulary.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from sqlalchemy import func, or_, select

from olrsearch.core.errors import QueryError, StoreCorruptError, UnknownImageError
from olrsearch.core.names import LONGEST, LabelNames, is_storable, nearest_names, unicode_forms
from olrsearch.core.shown import shown
from olrsearch.store.read.columns import FILTER_COLUMNS, as_array, with_source
from olrsearch.store.read.keys import renamed_since, with_keys_of
from olrsearch.store.read.labels import StoredLabels, read_labels
from olrsearch.store.read.spaces import choose_space, read_spaces
from olrsearch.store.sql import schema
from olrsearch.store.sql.commit import current
from olrsearch.store.sql.database import translated
from olrsearch.store.sql.ids import as_ids, chunks, rows_of
from olrsearch.store.values import DatasetInfo, ImageRow
from olrsearch.store.vectors.segments import open_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from sqlalchemy import ColumnElement, Connection, Engine

    from olrsearch.core.arrays import I8, I64, Layout
    from olrsearch.store.read.columns import SqlFilter
    from olrsearch.store.sql.ids import AnyRow, AnySelect
    from olrsearch.store.values import ImageRef, SpaceInfo
    from olrsearch.store.vectors.values import Segment, SegmentInfo

_TOO_LARGE: Final = 1 << 63
_DIGITS: Final = len(str(_TOO_LARGE))

T = TypeVar("T")

NEIGHBOURS: Final = 200
"""Keys on either side of an unknown one among which the most similar are looked for."""


class Snapshot:
    """One generation of a store.

    Attributes:
        generation: Its number; grows with every change.
        label_revision: Grows when stored labels of images change; images added later keep it.
        tombstone_version: Grows when images are deleted or replaced.
        last_image_id: The highest image id given so far.
        label_names: The store's label vocabulary; a label's position in it never changes.
        folder: The store's folder.

    Args:
        engine: Connections to the metadata.
        folder: The store's folder.
        damaged: Takes note of spaces and artefacts that cannot be read, which are then left out; they are
            raised as errors when None.
    """

    def __init__(
        self, engine: Engine, folder: Path, damaged: Callable[[StoreCorruptError], None] | None = None
    ) -> None:
        self._engine = engine
        self.folder = folder
        with self.reading() as connection:
            now = current(connection)
            self.generation = now.generation
            self.label_revision = now.label_revision
            self.tombstone_version = now.tombstone_version
            self.last_image_id = now.last_image_id
            names = select(schema.label.c.name).order_by(schema.label.c.position).limit(now.label_count)
            self.label_names: tuple[str, ...] = tuple(connection.scalars(names))
            # Read now: what a later generation prunes is then still known here.
            self._spaces = tuple(read_spaces(connection, folder, self.generation, damaged))

    # ---- data sets and spaces

    def datasets(self) -> list[DatasetInfo]:
        """All data sets, in the order they were added."""
        d, i = schema.dataset.c, schema.image.c
        living = func.count(i.id).filter(self.living())
        statement = (
            select(d.id, d.name, d.kind, d.root, living, func.count(i.id))
            .select_from(
                schema.dataset.outerjoin(schema.image, (i.dataset_id == d.id) & (i.id <= self.last_image_id))
            )
            .group_by(d.id, d.name, d.kind, d.root)
            .order_by(d.id)
        )
        return [
            DatasetInfo(row[0], row[1], row[2], Path(row[3]), row[4], row[5] - row[4])
            for row in self.rows(statement)
        ]

    def spaces(self) -> list[SpaceInfo]:
        """All spaces, oldest first."""
        return list(self._spaces)

    def space(self, ref: str | None = None, layout: Layout | None = None) -> SpaceInfo:
        """One space.

        Args:
            ref: A name, or the beginning of a fingerprint; None for the newest space.
            layout: What the space must hold: `labels` or `posterior`; either when None.

        Raises:
            EmptyStoreError: no image has been encoded in this store yet, or none in this layout.
            UnknownSpaceError: no space has this name or fingerprint, or several have.
            IncompatibleEncoderError: the space that is named has the other layout.
        """
        return choose_space(self._spaces, ref, layout, self.folder)

    @staticmethod
    def open_segment(info: SegmentInfo) -> Segment:
        """Maps a segment into memory: ids int64 [n], and the arrays of its layout.

        Raises:
            StoreCorruptError: its files are not what was registered.
            StoreVersionError: a newer program wrote them.
        """
        return open_segment(info)

    # ---- images

    def living(self) -> ColumnElement[bool]:
        """A condition on `schema.image`: images that live in this generation."""
        c = schema.image.c
        return (c.id <= self.last_image_id) & or_(
            c.tombstone_version.is_(None), c.tombstone_version > self.tombstone_version
        )

    def image_ids(self, where: SqlFilter | None = None) -> I64:
        """Ids of the living images, ascending; int64 [n].

        Args:
            where: A condition over `FILTER_COLUMNS`.
        """
        statement = select(schema.image.c.id).where(self.living())
        if where is not None:
            statement = with_source(statement).where(where)
        return self._ids(statement.order_by(schema.image.c.id))

    @cached_property
    def image_count(self) -> int:
        """How many living images there are."""
        statement = select(func.count()).select_from(schema.image).where(self.living())
        return int(self.rows(statement)[0][0])

    def tombstoned(self) -> I64:
        """Ids of deleted and replaced images, ascending; int64."""
        c = schema.image.c
        statement = select(c.id).where(
            c.tombstone_version <= self.tombstone_version, c.id <= self.last_image_id
        )
        return self._ids(statement.order_by(c.id))

    def missing_embeddings(self, space_id: int) -> I64:
        """Ids of living images that have neither embedding nor posterior in a space, ascending; int64."""
        space = next((space for space in self._spaces if space.id == space_id), None)
        living = self.image_ids()
        if space is None or not space.segments:
            return living
        encoded = np.concatenate([self.open_segment(info).ids for info in space.segments])
        return living[~np.isin(living, encoded)]

    def images(self, ids: Iterable[int] | I64) -> list[ImageRow]:
        """Rows of images, living or not, in the order asked for.

        Raises:
            UnknownImageError: there is no such id.
        """
        i, s, d = schema.image.c, schema.source.c, schema.dataset.c
        image = (s.uri, i.partition, schema.person.c.name, i.identity, i.width, i.height, s.size_bytes)
        statement = with_source(select(i.id, i.key, d.name, *image, d.root, s.sha256))
        rows = self._rows_of(statement, ids)
        return [
            ImageRow(*[*row[:5], row[5] or row[6], *row[7:10], Path(row[10]), row[11].hex()]) for row in rows
        ]

    def columns(self, ids: Iterable[int] | I64, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Columns of `FILTER_COLUMNS` as arrays, in the order of the ids.

        Numbers are int64 with −1 for none, text is a str array with '' for none, times are
        datetime64.

        Raises:
            UnknownImageError: there is no such id.
            QueryError: there is no such column.
        """
        unknown = [name for name in names if name not in FILTER_COLUMNS]
        if unknown:
            raise QueryError(f"no column {shown(unknown[0])}; expected some of {', '.join(FILTER_COLUMNS)}")
        columns = [FILTER_COLUMNS[name] for name in names]
        rows = self._rows_of(with_source(select(schema.image.c.id, *columns)), ids)
        return {
            name: as_array([row[position] for row in rows], column)
            for position, (name, column) in enumerate(zip(names, columns, strict=True), start=1)
        }

    def values_of(self, column: str) -> list[Any]:
        """The values that living images have in a column of `FILTER_COLUMNS`, each once, ascending."""
        found = FILTER_COLUMNS[column]
        statement = with_source(select(found).distinct()).where(self.living(), found.is_not(None))
        return [row[0] for row in self.rows(statement.order_by(found))]

    def resolve(self, image: ImageRef) -> int:
        """The id of a living image.

        Args:
            image: Its id, or `key`, `dataset/key` or `id:123`; digits that are no key are an id. Where no
                image has exactly this key, one that differs in Unicode's form alone is meant: names typed
                on one system are written otherwise by another.

        Raises:
            UnknownImageError: no living image is meant, or several are.
        """
        # numpy's integers are ids too: queries return them, and digits alone could be a key.
        ref = f"id:{image}" if isinstance(image, int | np.integer) else str(image)
        if ref.startswith("id:") and ref[3:].isdecimal():
            return self._living_id(ref[3:], ref)
        if not is_storable(ref):
            raise UnknownImageError(f"no image {shown(ref)} in {self.folder}: no database can hold that text")
        rows = self._called(ref, lambda text: (text,))
        if not rows and not ref.isascii():
            rows = self._called(ref, unicode_forms)
            if len(rows) > 1:
                several = " or ".join(f"id:{row[0]}" for row in rows)
                raise UnknownImageError(f"{shown(ref)} may be the key of several images: write {several}")
        if len(rows) == 1:
            return int(rows[0][0])
        if rows:
            several = " or ".join(f"{row[1]}/{row[2]}" for row in rows)
            raise UnknownImageError(f"the key {shown(ref)} is in several data sets: write {several}")
        if ref.isdecimal():
            return self._living_id(ref, ref)
        near = nearest_names(ref, self._keys_near(ref))
        hint = f"; did you mean {', '.join(near)}?" if near else "; expected a key, dataset/key or id:NUMBER"
        raise UnknownImageError(f"no image {shown(ref)} in {self.folder}{hint}")

    def thumbnail(self, image_id: int) -> bytes | None:
        """The JPEG bytes kept for an image, if there are any."""
        t = schema.thumbnail.c
        return next((row[0] for row in self.rows(select(t.jpeg).where(t.image_id == int(image_id)))), None)

    def thumbnails(self, ids: Iterable[int] | I64) -> Iterator[tuple[int, bytes]]:
        """Ids and the JPEG bytes kept for them, in the order asked for; images without any are left out.

        They are read as they are consumed, a thousand at a time.
        """
        t, wanted = schema.thumbnail.c, as_ids(ids)
        for some in chunks(wanted.tolist()):
            rows = self.rows(select(t.image_id, t.jpeg).where(t.image_id.in_(some)))
            found = {row[0]: row[1] for row in rows}
            yield from ((number, found[number]) for number in some if number in found)

    # ---- labels

    def labels(self, image_ids: Iterable[int] | I64, names: Sequence[str] | None = None) -> I8:
        """Effective labels, annotations with decisions laid over them: −1 absent, 0 unknown, +1 present.

        Args:
            image_ids: Images, in any order.
            names: Labels wanted, in this order; the whole vocabulary when None.

        Returns:
            int8 [n, len(names)].

        Raises:
            UnknownLabelError: no such label; carries the nearest names.
        """
        positions = None if names is None else self.label_positions(names)
        effective = self.stored_labels(image_ids).effective
        return effective if positions is None else effective[:, positions]

    def stored_labels(self, image_ids: Iterable[int] | I64) -> StoredLabels:
        """Effective labels and annotations of the whole vocabulary, and who has any, read once.

        Args:
            image_ids: Images, in any order.
        """
        unique, inverse = np.unique(as_ids(image_ids), return_inverse=True)
        with self.reading() as connection:
            found = read_labels(connection, unique, len(self.label_names), self.label_revision)
        return StoredLabels(found.effective[inverse], found.annotated[inverse], found.known[inverse])

    def label_positions(self, names: Sequence[str]) -> list[int]:
        """Positions of labels in the vocabulary.

        Raises:
            UnknownLabelError: no such label; carries the nearest names.
        """
        table = LabelNames(self.label_names)
        return [table.position(name) for name in names]

    # ---- behind the answers

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection inside a transaction of its own, for several SELECTs of one state."""
        with translated(self.folder), self._engine.begin() as connection:
            yield connection

    def rows(self, statement: AnySelect) -> Sequence[AnyRow]:
        """The rows of a SELECT; keys are those of this generation."""
        return self.read(statement, lambda connection, asked: connection.execute(asked).all())

    def read(self, statement: AnySelect, ask: Callable[[Connection, AnySelect], T]) -> T:
        """What a SELECT gives, with the keys of this generation.

        Args:
            statement: May name the key, of the table of images.
            ask: Executes it; is called again where images were renamed since.
        """
        with self.reading() as connection:
            found = ask(connection, statement)
            if renamed_since(connection, self.generation):
                found = ask(connection, with_keys_of(statement, self.generation))
            return found

    def _called(self, ref: str, forms: Callable[[str], Sequence[str]]) -> Sequence[AnyRow]:
        """Id, data set and key of living images of a key, or else of a data set and a key, in some forms."""
        i, d = schema.image.c, schema.dataset.c
        statement = select(i.id, d.name, i.key).join_from(schema.image, schema.dataset).where(self.living())
        rows = self.rows(statement.where(i.key.in_(forms(ref))).order_by(i.id))
        name, slash, key = ref.partition("/")
        if slash and not rows:
            rows = self.rows(statement.where(d.name.in_(forms(name)), i.key.in_(forms(key))).order_by(i.id))
        return rows

    def _living_id(self, digits: str, ref: str) -> int:
        number = int(digits) if len(digits) <= _DIGITS else _TOO_LARGE
        statement = select(schema.image.c.id).where(schema.image.c.id == number, self.living())
        if number >= _TOO_LARGE or not self.rows(statement):
            raise UnknownImageError(f"no living image {shown(ref)} in {self.folder}")
        return number

    def _keys_near(self, ref: str) -> list[str]:
        if len(ref) > LONGEST:
            return []
        key = schema.image.c.key
        keys = select(key).distinct().where(self.living()).limit(NEIGHBOURS)
        below = self.rows(keys.where(key < ref).order_by(key.desc()))
        above = self.rows(keys.where(key > ref).order_by(key))
        inside = self.rows(keys.where(key.icontains(ref, autoescape=True)))
        return list(dict.fromkeys(row[0] for rows in (below, above, inside) for row in rows))

    def _rows_of(self, statement: AnySelect, ids: Iterable[int] | I64) -> list[AnyRow]:
        """Rows of images in the order asked for; the statement's first column is the id.

        Raises:
            UnknownImageError: there is no such id.
        """
        column, wanted = schema.image.c.id, as_ids(ids)
        statement = statement.where(column <= self.last_image_id)
        rows = self.read(statement, lambda connection, asked: rows_of(connection, asked, column, wanted))
        found = {row[0]: row for row in rows}
        missing = [number for number in wanted.tolist() if number not in found]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise UnknownImageError(f"no image has the id {missing[0]}{more} in {self.folder}")
        return [found[number] for number in wanted.tolist()]

    def _ids(self, statement: AnySelect) -> I64:
        found = self.read(statement, lambda connection, asked: connection.scalars(asked).all())
        return np.array(found, np.int64)
