"""The one writer of a store: each method is one change that ends in one generation.

Everything a method does becomes visible at once, or not at all when it raises, is
interrupted, or the machine stops.
"""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sqlalchemy import insert, or_, select, update

from olrsearch.errors import (
    DatasetError,
    ImageMissingError,
    IncompatibleEncoderError,
    StoreError,
    UnknownDatasetError,
    UnknownImageError,
    UnknownSpaceError,
    VectorError,
)
from olrsearch.query.names import LabelNames
from olrsearch.store import schema
from olrsearch.store.commit import commit
from olrsearch.store.database import translated
from olrsearch.store.files import MODELS, SEGMENTS, TEMPORARY, remove_tree, sync_folder, sync_tree
from olrsearch.store.importing import Importer, chunks, ensure_annotator, ensure_labels, next_id
from olrsearch.store.packed import as_ids
from olrsearch.store.segments import IDS, checked, write_segment
from olrsearch.store.values import ImportCounts, KnownImage, Relocation, SegmentInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from olrsearch.arrays import F32, I64
    from olrsearch.store.commit import Change
    from olrsearch.store.values import NewImage

SourceCheck: TypeAlias = "Callable[[Path, str], bool]"
"""Whether a uri names something below a root."""


class Writer:
    """Changes a store; comes from `Backend.writer()`, which holds the lock."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder

    # ---- the gallery

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
        place = str(Path(root).absolute())
        d = schema.dataset.c
        with self._change(f"data set {name}") as change:
            row = change.connection.execute(select(d.id, d.kind, d.root).where(d.name == name)).one_or_none()
            if row is None:
                number = next_id(change.connection, d.id)
                change.connection.execute(
                    insert(schema.dataset).values(
                        id=number, name=name, kind=kind, root=place, created_at=schema.utc_now()
                    )
                )
                change.touched = True
                return number
            if row[1:] != (kind, place):
                raise DatasetError(
                    f"the data set {name!r} is a {row[1]} at {row[2]}, not a {kind} at {place}: give the new one"
                    " another name, or run `olrsearch store relocate` if the images moved"
                )
            return int(row[0])

    def add_labels(self, names: Sequence[str]) -> list[int]:
        """Positions of labels in the vocabulary, which grows by those it lacks.

        Raises:
            LabelFileError: an empty name, or the same label twice.
        """
        with self._change("labels") as change:
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
            DatasetError: a hash that is none of sha256.
            UnknownDatasetError: no such data set.
        """
        with self._change(f"import of {len(batch)} images") as change:
            self._dataset(dataset_id)
            positions = ensure_labels(change, label_names)
            return Importer(change, dataset_id, positions, ensure_annotator(change, annotator)).run(batch)

    def known(self, dataset_id: int) -> dict[str, KnownImage]:
        """Living images of a data set by key, for an import to skip what it has."""
        i, s = schema.image.c, schema.source.c
        statement = (
            select(i.key, i.id, s.uri, s.sha256, s.size_bytes, i.width, i.height, s.orientation)
            .join_from(schema.image, schema.source)
            .where(i.dataset_id == dataset_id, i.tombstone_version.is_(None))
        )
        with translated(self._folder), self._connection.begin():
            return {
                row[0]: KnownImage(row[1], row[2], row[3].hex(), *row[4:])
                for row in self._connection.execute(statement)
            }

    def set_override(
        self, image_ids: Iterable[int] | I64, label: str, value: int | None, *, who: str, why: str
    ) -> int:
        """Decides a label of images; the annotation underneath stays.

        Args:
            image_ids: Living images.
            label: A label of the vocabulary, in any spelling.
            value: −1, 0 or +1; None takes earlier decisions back.
            who: Who decided.
            why: For what reason.

        Returns:
            The new label revision.

        Raises:
            UnknownImageError: an id is no living image.
            UnknownLabelError: no such label; carries the nearest names.
            StoreError: another value.
        """
        if value not in {-1, 0, 1, None}:
            raise StoreError(f"a label cannot be set to {value!r}: expected −1, 0, 1 or None")
        ids = np.unique(as_ids(image_ids))
        with self._change(f"decision on {label}") as change:
            self._require_living(ids)
            names = change.connection.scalars(select(schema.label.c.name).order_by(schema.label.c.position))
            position = LabelNames(tuple(names)).position(label)
            if not ids.size:
                return change.label_revision
            change.label_revision += 1
            first = next_id(change.connection, schema.override.c.id)
            row = {
                "position": position,
                "value": value,
                "who": who,
                "why": why,
                "created_at": schema.utc_now(),
                "revision": change.label_revision,
            }
            change.connection.execute(
                insert(schema.override),
                [
                    row | {"id": first + place, "image_id": number}
                    for place, number in enumerate(ids.tolist())
                ],
            )
            change.touched = True
            return change.label_revision

    def delete(self, image_ids: Iterable[int] | I64) -> int:
        """Sets tombstones; every snapshot taken from now on leaves these images out.

        Returns:
            How many died; those already dead are not counted.

        Raises:
            UnknownImageError: an id was never given.
        """
        ids = np.unique(as_ids(image_ids))
        i = schema.image
        with self._change(f"deletion of {ids.size} images") as change:
            living: list[int] = []
            seen = 0
            for some in chunks(ids.tolist()):
                rows = change.connection.execute(
                    select(i.c.id, i.c.tombstone_version).where(i.c.id.in_(some))
                )
                for number, tombstone in rows:
                    seen += 1
                    if tombstone is None:
                        living.append(number)
            if seen != ids.size:
                raise UnknownImageError(
                    f"{ids.size - seen} of the images to delete do not exist in {self._folder}"
                )
            if living:
                change.tombstone_version += 1
                change.touched = True
            for some in chunks(living):
                change.connection.execute(
                    update(i).where(i.c.id.in_(some)).values(tombstone_version=change.tombstone_version)
                )
            return len(living)

    def relocate(self, dataset: str | int, new_root: Path, *, check: SourceCheck | None = None) -> Relocation:
        """Changes the folder a data set's uris are relative to.

        Args:
            dataset: Its name or id.
            new_root: The folder where the images are now.
            check: Whether a uri is found below a root; looks for the file, or the zip or
                idx file that holds it, when None.

        Returns:
            How many of the living images' uris were found there, and how many there are.

        Raises:
            UnknownDatasetError: no such data set.
            ImageMissingError: not one of its images is found there; nothing is changed.
        """
        found_at = check or source_exists
        root = Path(new_root).absolute()
        i, s, d = schema.image.c, schema.source.c, schema.dataset
        with self._change(f"relocation of {dataset}") as change:
            number, before = self._dataset(dataset)
            uris = change.connection.scalars(
                select(s.uri)
                .join_from(schema.image, schema.source)
                .where(i.dataset_id == number, i.tombstone_version.is_(None))
            ).all()
            found = sum(found_at(root, uri) for uri in uris)
            if uris and not found:
                raise ImageMissingError(
                    f"none of the {len(uris)} images of {dataset!r} is below {root} (looked for {uris[0]!r}); it stays"
                    f" at {before}"
                )
            if str(root) != before:
                change.connection.execute(update(d).where(d.c.id == number).values(root=str(root)))
                change.touched = True
            return Relocation(found, len(uris))

    # ---- spaces

    def add_model(self, fingerprint: str, folder: Path) -> Path:
        """Copies a model folder to `models/<fingerprint>`, where the store keeps it.

        Nothing happens when it is there already. Whether the files have this fingerprint
        is for the caller, who can read models, to know.
        """
        final = self._folder / MODELS / fingerprint
        if final.exists():
            return final
        temporary = final.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            shutil.copytree(folder, temporary)
            sync_tree(temporary)
            temporary.rename(final)
            sync_folder(final.parent)
        except BaseException:
            remove_tree(temporary)
            raise
        return final

    def add_space(
        self, *, fingerprint: str, name: str, kind: str, labels: Sequence[str], k: int, config: dict[str, Any]
    ) -> int:
        """A space's id; it is added if the store has none of this encoder.

        Args:
            fingerprint: The encoder's, 64 hexadecimal digits.
            name: What people call it.
            kind: The encoder's kind.
            labels: The encoder's labels, in the order of its embeddings.
            k: Numbers a label.
            config: The encoder's configuration, JSON-ready.

        Raises:
            IncompatibleEncoderError: the fingerprint is known with other labels or another k.
            StoreError: the configuration is not JSON.
        """
        s = schema.space.c
        with self._change(f"space {name}") as change:
            row = change.connection.execute(
                select(s.id, s.labels, s.k).where(s.fingerprint == fingerprint)
            ).one_or_none()
            if row is not None:
                if (list(row[1]), row[2]) != (list(labels), k):
                    raise IncompatibleEncoderError(
                        f"the encoder {fingerprint[:12]} is known with {len(row[1])} labels × {row[2]} numbers; this one has"
                        f" {len(labels)} × {k}, or its labels differ: it is not the same model"
                    )
                return int(row[0])
            number = next_id(change.connection, s.id)
            change.connection.execute(
                insert(schema.space).values(
                    id=number,
                    fingerprint=fingerprint,
                    name=name,
                    kind=kind,
                    labels=list(labels),
                    k=k,
                    config=_json(config, "an encoder's configuration"),
                    created_at=schema.utc_now(),
                    added_in=change.generation,
                )
            )
            change.touched = True
            return number

    def add_segment(self, space_id: int, ids: Iterable[int] | I64, embeddings: F32) -> SegmentInfo:
        """Adds embeddings of images to a space: files first, then the commit.

        Every segment is a folder and a scan of its own: a few thousand images in one are
        better than a few dozen.

        Args:
            space_id: From `add_space`.
            ids: Living images without embedding in this space, in any order; [n].
            embeddings: float32 [L, n, k] in the same order; not changed.

        Raises:
            VectorError: NaN, infinities, wrong shapes, duplicate ids, images that are not
                living or that have an embedding already.
            UnknownSpaceError: no such space.
        """
        fingerprint, labels, k = self._space(space_id)
        numbers, vectors = checked(as_ids(ids), embeddings, labels, k)
        info = write_segment(self._folder / SEGMENTS, numbers, vectors, fingerprint)
        try:
            with self._change(f"segment of {numbers.size} images") as change:
                try:
                    self._require_living(numbers)
                except UnknownImageError as error:
                    raise VectorError(str(error)) from error
                self._require_new(space_id, numbers)
                change.connection.execute(
                    insert(schema.segment).values(
                        uuid=info.uuid,
                        space_id=space_id,
                        count=info.count,
                        manifest_sha256=info.manifest_sha256,
                        added_in=change.generation,
                        removed_in=None,
                    )
                )
                change.touched = True
        except BaseException:
            # An interrupt may come after the commit: files go only when SQL does not know them.
            if not self._registered(info.uuid):
                remove_tree(info.path)
            raise
        return info

    def set_metric(self, space_id: int, payload: dict[str, Any]) -> None:
        """Records the metric of a space's label indexes, in place of an earlier one."""
        self._set_artefact(space_id, "metric", "", payload)

    def set_calibration(
        self, space_id: int, payload: dict[str, Any], *, label_revision: int, split: str
    ) -> None:
        """Records a space's calibration, in place of an earlier one.

        Args:
            space_id: From `add_space`.
            payload: JSON-ready.
            label_revision: Of the labels it was fitted to.
            split: What it was fitted on, in words a reader understands.
        """
        self._set_artefact(
            space_id, "calibration", "", payload | {"label_revision": label_revision, "split": split}
        )

    def add_index(self, space_id: int, name: str, payload: dict[str, Any]) -> None:
        """Records an index built for a space (its files are already durable), by name."""
        self._set_artefact(space_id, "index", name, payload)

    def remove_index(self, space_id: int, name: str) -> bool:
        """Forgets an index; says whether there was one. Its files are the caller's to remove."""
        with self._change(f"index {name} removed") as change:
            return self._end_artefact(change, space_id, "index", name)

    # ---- behind the changes

    @contextmanager
    def _change(self, reason: str) -> Iterator[Change]:
        with translated(self._folder), commit(self._connection, reason) as change:
            yield change

    def _dataset(self, dataset: str | int) -> tuple[int, str]:
        d = schema.dataset.c
        by = d.id == dataset if isinstance(dataset, int) else d.name == dataset
        row = self._connection.execute(select(d.id, d.root).where(by)).one_or_none()
        if row is None:
            known = ", ".join(self._connection.scalars(select(d.name).order_by(d.id))) or "none yet"
            raise UnknownDatasetError(f"no data set {dataset!r} in {self._folder}; it has: {known}")
        return int(row[0]), str(row[1])

    def _space(self, space_id: int) -> tuple[str, int, int]:
        s = schema.space.c
        with translated(self._folder), self._connection.begin():
            row = self._connection.execute(
                select(s.fingerprint, s.labels, s.k).where(s.id == space_id)
            ).one_or_none()
        if row is None:
            raise UnknownSpaceError(f"{self._folder} has no space number {space_id}")
        return row[0], len(row[1]), row[2]

    def _require_living(self, ids: I64) -> None:
        i = schema.image.c
        living: set[int] = set()
        for some in chunks(ids.tolist()):
            living.update(
                self._connection.scalars(select(i.id).where(i.id.in_(some), i.tombstone_version.is_(None)))
            )
        dead = [number for number in ids.tolist() if number not in living]
        if dead:
            raise UnknownImageError(
                f"image {dead[0]} is not a living image of {self._folder} ({len(dead)} such among {ids.size})"
            )

    def _require_new(self, space_id: int, ids: I64) -> None:
        g = schema.segment.c
        for name in self._connection.scalars(
            select(g.uuid).where(g.space_id == space_id, g.removed_in.is_(None))
        ):
            there = np.load(self._folder / SEGMENTS / name / IDS, mmap_mode="r", allow_pickle=False)
            twice = ids[np.isin(ids, there)]
            if twice.size:
                raise VectorError(
                    f"image {twice[0]} has an embedding in this space already ({twice.size} such among {ids.size});"
                    " add those of `missing_embeddings` only"
                )

    def _registered(self, name: str) -> bool:
        g = schema.segment.c
        with translated(self._folder), self._connection.begin():
            return self._connection.scalar(select(g.uuid).where(g.uuid == name)) is not None

    def _set_artefact(self, space_id: int, kind: str, name: str, payload: dict[str, Any]) -> None:
        content = _json(payload, f"a {kind}")
        self._space(space_id)
        with self._change(f"{kind} {name}".rstrip()) as change:
            self._end_artefact(change, space_id, kind, name)
            change.connection.execute(
                insert(schema.artefact).values(
                    id=next_id(change.connection, schema.artefact.c.id),
                    space_id=space_id,
                    kind=kind,
                    name=name,
                    payload=content,
                    created_at=schema.utc_now(),
                    added_in=change.generation,
                    removed_in=None,
                )
            )
            change.touched = True

    def _end_artefact(self, change: Change, space_id: int, kind: str, name: str) -> bool:
        a = schema.artefact
        ended = change.connection.execute(
            update(a)
            .where(
                a.c.space_id == space_id,
                a.c.kind == kind,
                a.c.name == name,
                or_(a.c.removed_in.is_(None), a.c.removed_in > change.generation),
            )
            .values(removed_in=change.generation)
        )
        change.touched |= bool(ended.rowcount)
        return bool(ended.rowcount)


def source_exists(root: Path, uri: str) -> bool:
    """Whether a uri's file, or the zip or idx file that holds it, is below a root."""
    if (root / uri).exists():
        return True
    before_member, _, _ = uri.partition("!")
    before_item, _, _ = uri.rpartition("#")
    return any(part not in {"", uri} and (root / part).is_file() for part in (before_member, before_item))


def _json(payload: dict[str, Any], what: str) -> dict[str, Any]:
    """The payload as it will be read back.

    Raises:
        StoreError: it is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(json.dumps(payload, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{what} must be plain JSON: {error}") from error
    return content
