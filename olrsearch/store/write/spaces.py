"""Changes to spaces: encoders, segments and what derives from them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import insert, or_, select, update

from olrsearch.core.errors import IncompatibleEncoderError, UnknownImageError, UnknownSpaceError, VectorError
from olrsearch.core.files import remove_tree, whole_folder
from olrsearch.store.files import MODELS, SEGMENTS
from olrsearch.store.sql import schema
from olrsearch.store.sql.ids import as_ids
from olrsearch.store.vectors.layout import LABELS
from olrsearch.store.vectors.segments import checked, open_segment, write_segment
from olrsearch.store.write.session import plain_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, Layout
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.values import SegmentInfo
    from olrsearch.store.write.session import WriteSession


class SpaceWriter:
    """The part of `Writer` that changes spaces."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def add_model(self, fingerprint: str, folder: Path, *, replace: bool = False) -> Path:
        """Copies a model folder to `models/<fingerprint>`, where the store keeps it.

        Nothing happens when it is there already, unless it is to be replaced. Whether the
        files have this fingerprint is for the caller, who can read models, to know.
        """
        final = self._session.folder / MODELS / fingerprint
        if final.exists() and not replace:
            return final
        with whole_folder(final, replace=replace) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
        return final

    def add(
        self,
        *,
        fingerprint: str,
        name: str,
        kind: str,
        labels: Sequence[str],
        k: int,
        config: dict[str, Any],
        layout: Layout = LABELS,
    ) -> int:
        """A space's id; it is added if the store has none of this encoder.

        Args:
            fingerprint: The encoder's, 64 hexadecimal digits.
            name: What people call it.
            kind: The encoder's kind.
            labels: The encoder's labels, in the order of its embeddings; its words, if it makes
                posteriors.
            k: Numbers a label; dimensions of posteriors.
            config: The encoder's configuration, JSON-ready.
            layout: What it makes of an image: `labels` or `posterior`.

        Raises:
            IncompatibleEncoderError: the fingerprint is known with other labels, another k or layout.
            StoreError: the configuration is not JSON.
        """
        s = schema.space.c
        with self._session.change(f"space {name}") as change:
            row = change.connection.execute(
                select(s.id, s.labels, s.k, s.layout).where(s.fingerprint == fingerprint)
            ).one_or_none()
            if row is not None:
                if (list(row[1]), row[2], row[3]) != (list(labels), k, layout):
                    raise IncompatibleEncoderError(
                        f"the encoder {fingerprint[:12]} is known with {len(row[1])} labels × {row[2]}"
                        f" numbers in the layout {row[3]}; this one has {len(labels)} × {k} in the layout"
                        f" {layout}, or its labels differ: it is not the same model"
                    )
                return int(row[0])
            return change.add(
                schema.space,
                fingerprint=fingerprint,
                name=name,
                kind=kind,
                layout=layout,
                labels=list(labels),
                k=k,
                config=plain_json(config, "an encoder's configuration"),
                created_at=schema.utc_now(),
                added_in=change.now.generation,
            )

    def add_segment(
        self, space_id: int, ids: Iterable[int] | I64, arrays: F32 | Mapping[str, F32]
    ) -> SegmentInfo:
        """Adds embeddings or posteriors of images to a space: files first, then the commit.

        Every segment is a folder and a scan of its own: a few thousand images in one are
        better than a few dozen.

        Args:
            space_id: From `add`.
            ids: Living images that this space has nothing of, in any order; [n].
            arrays: In the same order, not changed: label embeddings float32 [L, n, k]; posteriors by
                name, `mean` float32 [n, d] and `factor` float32 [n, T], packed Cholesky factors. Of either
                layout by name, `fit` float32 [n] may stand beside them.

        Raises:
            VectorError: NaN, infinities, wrong shapes, arrays of another layout, duplicate ids, images
                that are not living or that the space has already, posteriors with an eigenvalue
                below σ₀².
            UnknownSpaceError: no such space.
        """
        space = self._space(space_id)
        numbers, ordered = checked(as_ids(ids), arrays, space)
        info = write_segment(self._session.folder / SEGMENTS, numbers, ordered, space)
        try:
            with self._session.change(f"segment of {numbers.size} images") as change:
                try:
                    self._session.require_living(numbers)
                except UnknownImageError as error:
                    raise VectorError(str(error)) from error
                _require_new(space, numbers)
                change.write(
                    insert(schema.segment).values(
                        uuid=info.uuid,
                        space_id=space_id,
                        count=info.count,
                        manifest_sha256=info.manifest_sha256,
                        added_in=change.now.generation,
                        removed_in=None,
                    )
                )
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
        self, space_id: int, payload: dict[str, Any], *, label_revision: int | None, split: str
    ) -> None:
        """Records a space's calibration, in place of an earlier one.

        Args:
            space_id: From `add`.
            payload: JSON-ready.
            label_revision: Of the labels it was fitted to; None where these are not of this store.
            split: What it was fitted on, in words a reader understands.
        """
        self._set_artefact(
            space_id, "calibration", "", payload | {"label_revision": label_revision, "split": split}
        )

    def add_index(self, space_id: int, name: str, payload: dict[str, Any]) -> None:
        """Records an index built for a space (its files are already durable), by name."""
        self._set_artefact(space_id, "index", name, payload)

    def _space(self, space_id: int) -> SpaceInfo:
        for space in self._session.snapshot().spaces():
            if space.id == space_id:
                return space
        raise UnknownSpaceError(f"{self._session.folder} has no space number {space_id}")

    def _registered(self, name: str) -> bool:
        g = schema.segment.c
        with self._session.reading() as connection:
            return connection.scalar(select(g.uuid).where(g.uuid == name)) is not None

    def _set_artefact(self, space_id: int, kind: str, name: str, payload: dict[str, Any]) -> None:
        content = plain_json(payload, f"a {kind}")
        self._space(space_id)
        a = schema.artefact
        with self._session.change(f"{kind} {name}".rstrip()) as change:
            now = change.now.generation
            of_this_name = (a.c.space_id == space_id, a.c.kind == kind, a.c.name == name)
            in_force = or_(a.c.removed_in.is_(None), a.c.removed_in > now)
            change.write(update(a).where(*of_this_name, in_force).values(removed_in=now))
            change.add(
                a,
                space_id=space_id,
                kind=kind,
                name=name,
                payload=content,
                created_at=schema.utc_now(),
                added_in=now,
                removed_in=None,
            )


def _require_new(space: SpaceInfo, ids: I64) -> None:
    for segment in space.segments:
        there = open_segment(segment).ids
        twice = ids[np.isin(ids, there)]
        if twice.size:
            raise VectorError(
                f"image {twice[0]} has an embedding in this space already ({twice.size} such among"
                f" {ids.size}); add those of `missing_embeddings` only"
            )
