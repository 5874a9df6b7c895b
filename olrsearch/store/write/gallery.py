"""Changes to the gallery: data sets, images, labels, tombstones."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from olrsearch.core.errors import DatasetError, ImageMissingError, UnknownDatasetError
from olrsearch.core.names import LONGEST, unfit_character
from olrsearch.store.sql import schema
from olrsearch.store.values import BuriedImage, ImportCounts, KnownImage, Relocation
from olrsearch.store.write.imports import Importer, bury, ensure_annotator, ensure_labels
from olrsearch.store.write.moves import rename
from olrsearch.store.write.persons import with_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from olrsearch.store.values import ImageRef, Move, NewImage
    from olrsearch.store.write.session import WriteSession


class GalleryWriter:
    """The part of `Writer` that changes images and labels."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def add_dataset(self, name: str, kind: str, root: Path) -> int:
        """A data set's id; it is added if there is none of this name.

        Args:
            name: Unique in the store, without `/`.
            kind: `celeba`, `folder`, ….
            root: Folder that uris are relative to; made absolute.

        Raises:
            DatasetError: a data set of this name has another kind or root, or the name will not do.
        """
        if not name or "/" in name:
            raise DatasetError(f"a data set cannot be named {name!r}: expected a name without '/'")
        place = _storable(Path(root))
        if len(name) > LONGEST:
            raise DatasetError(f"a data set's name has {len(name):,} characters; expected at most {LONGEST}")
        if unfit := unfit_character(name):
            raise DatasetError(f"a data set cannot be named {name[:60]!r}: it holds {unfit}; name another")
        d = schema.dataset.c
        with self._session.change(f"data set {name}") as change:
            row = change.connection.execute(select(d.id, d.kind, d.root).where(d.name == name)).one_or_none()
            if row is None:
                now = schema.utc_now()
                return change.add(schema.dataset, name=name, kind=kind, root=place, created_at=now)
            if row[1] != kind or place not in {row[2], str(_absolute(Path(row[2])))}:
                raise DatasetError(
                    f"the data set {name!r} is a {row[1]} at {row[2]}, not a {kind} at {place}: give the new"
                    " one another name, or run `olrsearch store relocate` if the images moved"
                )
            return int(row[0])

    def add_labels(self, names: Sequence[str]) -> list[int]:
        """Positions of labels in the vocabulary, which grows by those it lacks.

        Raises:
            LabelFileError: an empty name, or the same label twice.
        """
        with self._session.change("labels") as change:
            return ensure_labels(change, names)

    def add_images(
        self,
        dataset_id: int,
        batch: Sequence[NewImage],
        label_names: Sequence[str] = (),
        *,
        annotator: str = "import",
    ) -> ImportCounts:
        """Imports a batch of images, one change.

        Args:
            dataset_id: From `add_dataset`.
            batch: Images, each key once.
            label_names: What the values of `NewImage.labels` mean, in their order.
            annotator: Whose labels these are.

        Raises:
            DuplicateKeyError: a key stands twice in the batch.
            LabelFileError: labels of another count, or values other than −1, 0, 1.
            DatasetError: a hash that is none of sha256, or an identity that will not do.
            UnknownDatasetError: no such data set.
        """
        with self._session.change(f"import of {len(batch)} images") as change:
            self._dataset(dataset_id)
            positions = ensure_labels(change, label_names)
            numbered = with_numbers(change, batch)
            return Importer(change, dataset_id, positions, ensure_annotator(change, annotator)).run(numbered)

    def known(self, dataset_id: int) -> dict[str, KnownImage]:
        """Living images of a data set by key, for an import to skip what it has."""
        i, s, t = schema.image.c, schema.source.c, schema.thumbnail.c
        pictured = t.image_id.is_not(None)
        statement = (
            select(i.key, i.id, s.uri, s.sha256, s.size_bytes, i.width, i.height, s.orientation, pictured)
            .join_from(schema.image, schema.source)
            .outerjoin(schema.thumbnail, t.image_id == i.id)
            .where(i.dataset_id == dataset_id, i.tombstone_version.is_(None))
        )
        with self._session.reading() as connection:
            return {
                row[0]: KnownImage(row[1], row[2], row[3].hex(), *row[4:])
                for row in connection.execute(statement)
            }

    def buried(self, dataset_id: int) -> dict[str, BuriedImage]:
        """By key, the image that had it last, of the keys that no living image of a data set has."""
        i, s = schema.image.c, schema.source.c
        mine = i.dataset_id == dataset_id
        dead = (
            select(i.key, i.id, s.sha256, i.cause)
            .join_from(schema.image, schema.source)
            .where(mine, i.tombstone_version.is_not(None))
            .order_by(i.tombstone_version, i.id)
        )
        with self._session.reading() as connection:
            last = {
                key: BuriedImage(number, sha256.hex(), cause == "gone")
                for key, number, sha256, cause in connection.execute(dead)
            }
            living = set(connection.scalars(select(i.key).where(mine, i.tombstone_version.is_(None))))
        return {key: image for key, image in last.items() if key not in living}

    def settle(
        self,
        dataset_id: int,
        moves: Sequence[Move],
        *,
        displaced: Sequence[int] = (),
        gone: Sequence[int] = (),
        replaced: Sequence[NewImage] = (),
        moved: Mapping[str, int] = MappingProxyType({}),
        label_names: Sequence[str] = (),
        annotator: str = "import",
    ) -> ImportCounts:
        """Brings keys and files together, one change: renames images, and buries those without a file.

        Args:
            dataset_id: From `add_dataset`.
            moves: Images whose files have other names.
            displaced: Living images whose names files of other images have now.
            gone: Living images whose files are gone.
            replaced: Images with other bytes under keys that `moves` leaves.
            moved: The images that leave them, by key; the new ones have from those what the import does
                not say.
            label_names: What the values of their labels mean, in their order.
            annotator: Whose labels these are.

        Returns:
            What became of `replaced`.

        Raises:
            as `add_images`.
        """
        with self._session.change(f"{len(moves)} images renamed, {len(gone)} gone") as change:
            self._dataset(dataset_id)
            if displaced:
                bury(change, displaced, "replaced")
            if gone:
                bury(change, gone, "gone")
            rename(change, moves)
            positions = ensure_labels(change, label_names)
            importer = Importer(change, dataset_id, positions, ensure_annotator(change, annotator))
            return importer.run(with_numbers(change, replaced), moved=moved)

    def delete(self, images: Iterable[ImageRef]) -> int:
        """Sets tombstones; every snapshot taken from now on leaves these images out.

        Args:
            images: Living images, by ids or keys; one may stand twice.

        Returns:
            How many died.

        Raises:
            UnknownImageError: no living image is meant, or several are; nothing is changed.
        """
        ids = self._session.ids_of(images)
        with self._session.change(f"deletion of {ids.size} images") as change:
            self._session.require_living(ids)
            if ids.size:
                bury(change, ids.tolist(), "deleted")
            return int(ids.size)

    def relocate(self, dataset: str | int, new_root: Path) -> Relocation:
        """Changes the folder a data set's uris are relative to.

        Args:
            dataset: Its name or id.
            new_root: The folder where the images are now.

        Returns:
            How many of the living images' files, or the zips or idx files that hold them, were found there,
            and how many there are.

        Raises:
            UnknownDatasetError: no such data set.
            ImageMissingError: not one of its images is found there; nothing is changed.
            DatasetError: the folder has a name that cannot be stored.
        """
        root = Path(_storable(Path(new_root)))
        i, s, d = schema.image.c, schema.source.c, schema.dataset
        with self._session.change(f"relocation of {dataset}") as change:
            number, before = self._dataset(dataset)
            uris = change.connection.scalars(
                select(s.uri)
                .join_from(schema.image, schema.source)
                .where(i.dataset_id == number, i.tombstone_version.is_(None))
            ).all()
            found = sum(_source_exists(root, uri) for uri in uris)
            if uris and not found:
                raise ImageMissingError(
                    f"none of the {len(uris)} images of {dataset!r} is below {root} (looked for"
                    f" {uris[0]!r}); it stays at {before}"
                )
            if str(root) != before:
                change.write(update(d).where(d.c.id == number).values(root=str(root)))
            return Relocation(found, len(uris))

    def _dataset(self, dataset: str | int) -> tuple[int, str]:
        d = schema.dataset.c
        by = d.id == dataset if isinstance(dataset, int) else d.name == dataset
        row = self._session.connection.execute(select(d.id, d.root).where(by)).one_or_none()
        if row is None:
            known = ", ".join(self._session.connection.scalars(select(d.name).order_by(d.id))) or "none yet"
            raise UnknownDatasetError(f"no data set {dataset!r} in {self._session.folder}; it has: {known}")
        return int(row[0]), str(row[1])


def _absolute(root: Path) -> Path:
    """A root as it is written down: one folder has one spelling, but links stay links."""
    place = root.absolute()
    return place.resolve() if ".." in place.parts else place


def _storable(root: Path) -> str:
    """A root as a database holds it.

    Raises:
        DatasetError: its name holds bytes that are no UTF-8, or a line break.
    """
    place = str(_absolute(root))
    if unfit := unfit_character(place):
        raise DatasetError(
            f"the folder {place!r} holds {unfit} in its name, which no store can keep; rename it"
        )
    return place


def _source_exists(root: Path, uri: str) -> bool:
    """Whether a uri's file, or the zip or idx file that holds it, is below a root."""
    if (root / uri).exists():
        return True
    before_member, _, _ = uri.partition("!")
    before_item, _, _ = uri.rpartition("#")
    return any(part not in {"", uri} and (root / part).is_file() for part in (before_member, before_item))
