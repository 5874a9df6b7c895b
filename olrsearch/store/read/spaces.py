"""Spaces as one generation sees them.

Apart from the writer, which a cold query need not import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ColumnElement, Connection, and_, or_, select

from olrsearch.store.files import INDEXES, MODELS, SEGMENTS
from olrsearch.store.sql import schema
from olrsearch.store.values import SegmentInfo, SpaceInfo
from olrsearch.store.vectors.layout import as_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_spaces(connection: Connection, folder: Path, generation: int) -> Iterator[SpaceInfo]:
    """Yields the spaces one generation sees, oldest first, with their segments and artefacts.

    Raises:
        StoreVersionError: a space has a layout that this program does not know.
    """

    def seen(added: Column[int], removed: Column[int | None]) -> ColumnElement[bool]:
        return and_(added <= generation, or_(removed.is_(None), removed > generation))

    s, g, a = schema.space.c, schema.segment.c, schema.artefact.c
    segments: dict[int, list[tuple[str, int, str]]] = {}
    for space_id, folder_name, count, manifest in connection.execute(
        select(g.space_id, g.uuid, g.count, g.manifest_sha256)
        .where(seen(g.added_in, g.removed_in))
        .order_by(g.added_in, g.uuid)
    ):
        segments.setdefault(space_id, []).append((folder_name, count, manifest))
    payloads: dict[int, dict[str, dict[str, dict[str, Any]]]] = {}
    for space_id, kind, name, payload in connection.execute(
        select(a.space_id, a.kind, a.name, a.payload).where(seen(a.added_in, a.removed_in)).order_by(a.id)
    ):
        payloads.setdefault(space_id, {}).setdefault(kind, {})[name] = payload
    for row in connection.execute(
        select(s.id, s.fingerprint, s.name, s.kind, s.layout, s.labels, s.k, s.config)
        .where(s.added_in <= generation)
        .order_by(s.id)
    ):
        number, fingerprint, name, kind, stored, labels, k, config = row
        layout = as_layout(stored, where=f"the space {name} in {folder}")
        mine = payloads.get(number, {})
        yield SpaceInfo(
            id=number,
            fingerprint=fingerprint,
            name=name,
            kind=kind,
            layout=layout,
            labels=tuple(labels),
            k=k,
            config=config,
            segments=tuple(
                SegmentInfo(
                    item, count, folder / SEGMENTS / item, fingerprint, layout, len(labels), k, manifest
                )
                for item, count, manifest in segments.get(number, ())
            ),
            model_path=folder / MODELS / fingerprint,
            index_path=folder / INDEXES / fingerprint,
            metric=mine.get("metric", {}).get(""),
            calibration=mine.get("calibration", {}).get(""),
            indexes=mine.get("index", {}),
        )
