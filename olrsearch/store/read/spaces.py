"""Spaces as one generation sees them.

Apart from the writer, which a cold query need not import.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, and_, or_, select

from olrsearch.core.errors import (
    EmptyStoreError,
    IncompatibleEncoderError,
    StoreCorruptError,
    UnknownSpaceError,
)
from olrsearch.core.shown import shown
from olrsearch.store.files import INDEXES, MODELS, SEGMENTS
from olrsearch.store.read.stored_json import RESTORE, Place
from olrsearch.store.sql import schema
from olrsearch.store.values import SpaceInfo
from olrsearch.store.vectors.layout import HELD, LABELS, as_layout
from olrsearch.store.vectors.values import SegmentInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import Layout
    from olrsearch.store.read.stored_json import Form

Value = TypeVar("Value")

_FIELDS: Final[Mapping[str, Mapping[str, Form]]] = {
    "calibration": {"label_revision": (int, type(None)), "split": str}
}
"""What the store itself puts into an artefact, by its kind."""


def read_spaces(
    connection: Connection,
    folder: Path,
    generation: int,
    damaged: Callable[[StoreCorruptError], None] | None = None,
) -> Iterator[SpaceInfo]:
    """Yields the spaces one generation sees, oldest first, with their segments and artefacts.

    Args:
        connection: Inside a transaction.
        folder: The store's.
        generation: Its number.
        damaged: Takes note of what cannot be read, which is then left out; raised when None, but for indexes:
            of those nothing is then known but the name.

    Raises:
        StoreCorruptError: a stored text is not what it should be; names table and row.
        StoreVersionError: a space has a layout that this program does not know.
    """

    def read(value: Callable[[], Value]) -> Value | None:
        try:
            return value()
        except StoreCorruptError as error:
            if damaged is None:
                raise
            damaged(error)
            return None

    def seen(added: Column[int], removed: Column[int | None]) -> ColumnElement[bool]:
        return and_(added <= generation, or_(removed.is_(None), removed > generation))

    s, g, a = schema.space.c, schema.segment.c, schema.artefact.c
    segments: defaultdict[int, list[tuple[str, int, str]]] = defaultdict(list)
    for space_id, item, count, manifest in connection.execute(
        select(g.space_id, g.uuid, g.count, g.manifest_sha256)
        .where(seen(g.added_in, g.removed_in))
        .order_by(g.added_in, g.uuid)
    ):
        segments[space_id].append((item, count, manifest))
    payloads: defaultdict[tuple[int, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for number, space_id, kind, name, payload in connection.execute(
        select(a.id, a.space_id, a.kind, a.name, a.payload)
        .where(seen(a.added_in, a.removed_in))
        .order_by(a.id)
    ):
        place = Place("artefact", f"{number} ({kind} {name}".rstrip() + ")", "payload", _made_by(kind, name))
        content = read(partial(_payload, place, payload, kind, strict=damaged is not None))
        if content is not None:
            payloads[space_id, kind][name] = content
    for number, fingerprint, name, kind, stored, labels, k, config in connection.execute(
        select(s.id, s.fingerprint, s.name, s.kind, s.layout, s.labels, s.k, s.config)
        .where(s.added_in <= generation)
        .order_by(s.id)
    ):
        layout = as_layout(stored, where=f"the space {name} in {folder}")
        row = f"{number} ({name})"
        names = read(partial(Place("space", row, "labels", RESTORE).texts, labels))
        about = read(partial(Place("space", row, "config", RESTORE).record, config))
        if names is None or about is None:
            continue
        of_space = (fingerprint, layout, len(names), k)
        yield SpaceInfo(
            id=number,
            fingerprint=fingerprint,
            name=name,
            kind=kind,
            layout=layout,
            labels=names,
            k=k,
            config=about,
            segments=tuple(
                SegmentInfo(item, count, folder / SEGMENTS / item, *of_space, manifest)
                for item, count, manifest in segments[number]
            ),
            model_path=folder / MODELS / fingerprint,
            index_path=folder / INDEXES / fingerprint,
            metric=payloads[number, "metric"].get(""),
            calibration=payloads[number, "calibration"].get(""),
            indexes=payloads[number, "index"],
        )


def _payload(place: Place, stored: object, kind: str, *, strict: bool) -> dict[str, Any]:
    """What an artefact says; of an index that cannot be read nothing, where that is no error."""
    try:
        return place.record(stored, _FIELDS.get(kind))
    except StoreCorruptError:
        if strict or kind != "index":
            raise
        return {}  # derived: what asks for this index refuses it by name, and all else goes on


def _made_by(kind: str, name: str) -> str:
    """What makes an artefact anew, or gives it back."""
    if kind == "index":
        return f"run `olrsearch index build --recipe {name}`, or {RESTORE}"
    return f"run `olrsearch calibrate`, or {RESTORE}"


def choose_space(
    spaces: Sequence[SpaceInfo], ref: str | None, layout: Layout | None, folder: Path
) -> SpaceInfo:
    """One of a store's spaces; arguments and errors as of `Snapshot.space`.

    Args:
        spaces: All of them, oldest first.
        ref: A name, its short name (`olr` of `olr-46a681fc`) where one space alone has it, or the beginning
            of a fingerprint; None for the newest space.
        layout: What the space must hold; either when None.
        folder: The store's, for messages.
    """
    if not spaces:
        raise EmptyStoreError(
            f"{folder} has no embeddings yet: run `olrsearch encode` (after `olrsearch train`, for "
            "an encoder of your own)"
        )
    if ref is None:
        fitting = [space for space in spaces if layout in {None, space.layout}]
        if layout is not None and not fitting:
            advice = (
                "name an encoder that makes them (`olrsearch encode --encoder NAME`), or ask the posteriors "
                "that are here (`olrsearch words`)"
                if layout == LABELS
                else "run `olrsearch encode --encoder faces-words` where the images are aligned face crops, "
                "or train an encoder that makes them (`olrsearch train --help`) and run `olrsearch encode`"
            )
            raise EmptyStoreError(f"{folder} has no {HELD[layout]} yet: {advice}")
        return fitting[-1]
    named = [space for space in spaces if space.name == ref]
    short = [space for space in spaces if space.name.rpartition("-")[0] == ref] if ref else []
    begun = short or [space for space in spaces if ref and space.fingerprint.startswith(ref.lower())]
    if not named and len(begun) != 1:
        known = ", ".join(f"{space.name} ({space.fingerprint[:12]})" for space in spaces)
        found = "several spaces have" if begun else "no space has"
        raise UnknownSpaceError(f"{found} the name or fingerprint {shown(ref)}; the store has {known}")
    meant = named or begun
    space = ([space for space in meant if layout in {None, space.layout}] or meant)[-1]
    if layout is not None and space.layout != layout:
        asked_by = "search" if space.layout == LABELS else "words"
        raise IncompatibleEncoderError(
            f"the space {space.name} holds {HELD[space.layout]}, and this needs {HELD[layout]}: ask it with "
            f"`olrsearch {asked_by}`, or name another space"
        )
    return space
