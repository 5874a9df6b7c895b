"""Checks a whole store: every block of every segment, the metadata against the files.

Nothing is changed. Files that belong to nothing are named and are no damage: an interrupted
write leaves them, and so does one that is going on while the store is checked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from sqlalchemy import Connection, func, select, text

from olrsearch.core.errors import DatasetError, IndexBuildError, OlrsearchError
from olrsearch.core.files import leftovers, sha256_hex
from olrsearch.store.audit_runs import RunFolder, audit_folders
from olrsearch.store.files import DATABASE, HOLDER, INDEXES, LOCK, MODELS, RUNS, SEGMENTS, STORE_JSON
from olrsearch.store.sql import schema
from olrsearch.store.sql.commit import current
from olrsearch.store.sql.database import translated
from olrsearch.store.vectors.segments import open_segment, verify_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

ReadSource: TypeAlias = "Callable[[Path, str], bytes]"
"""Bytes of a source by root and uri; raises `DatasetError` where there are none."""

EXAMPLES: Final = 5
_KNOWN: Final = frozenset((STORE_JSON, SEGMENTS, MODELS, INDEXES, RUNS, LOCK, HOLDER)) | {
    f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")
}
_BACKUP: Final = f"{DATABASE}.before-"
_ROWS: Final = 10_000
_PACKED_VALUES: Final = b"\x00\x01\xff"
"""The bytes of 0, +1 and −1 as int8."""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage.

    Attributes:
        code: Stable name for programs: `segment`, `metadata`, `model`, `index`, `embeddings`,
            `labels`, `audit`, `source-changed`.
        message: One line for people.
    """

    code: str
    message: str


@dataclass(slots=True)
class VerifyReport:
    """What a check found.

    Attributes:
        generation: The generation checked.
        images: Living images.
        segments: Segments read in full.
        problems: Damage; none means the store is whole.
        to_rebuild: Indexes that are gone. They are derived from the segments, queries answer
            exactly without them, so this is no damage.
        unreferenced: Files and folders, relative to the store, that belong to nothing.
        sources_checked: How many source files were read; None when they were not asked for.
        sources_missing: How many of them are not where the store knows them. Images may be
            elsewhere while the store is whole, so this is no damage.
        missing_examples: The first few of those uris.
    """

    generation: int
    images: int
    segments: int = 0
    problems: list[Problem] = field(default_factory=list)
    to_rebuild: list[str] = field(default_factory=list)
    unreferenced: list[str] = field(default_factory=list)
    sources_checked: int | None = None
    sources_missing: int = 0
    missing_examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems

    def lines(self) -> list[str]:
        """The report for people, a line each."""
        lines = [f"damaged: {problem.message}" for problem in self.problems]
        lines += [f"to rebuild: {message}" for message in self.to_rebuild]
        lines += [f"belongs to nothing: {name} (left by an interrupted write)" for name in self.unreferenced]
        if self.sources_checked is not None:
            lines.append(f"sources: {self.sources_checked:,} read, {self.sources_missing:,} missing")
            lines += [f"missing: {uri}" for uri in self.missing_examples]
        state = "whole" if self.ok else _count(len(self.problems), "problem")
        held = f"{_count(self.images, 'image')}, {_count(self.segments, 'segment')}"
        lines.append(f"generation {self.generation}: {held}: {state}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {"ok": self.ok, **asdict(self)}


def verify(
    store: Backend,
    *,
    read_source: ReadSource | None = None,
    check_model: Callable[[Path], str] | None = None,
    check_artefacts: Callable[[SpaceInfo], None] | None = None,
) -> VerifyReport:
    """Checks a store.

    Args:
        store: An open store; read-only will do.
        read_source: When given, every living image's source is read and its hash compared.
        check_model: When given, computes a model folder's fingerprint from its files.
        check_artefacts: When given, raises where a space's calibration, metric or scores are not
            what they should be.

    Returns:
        What was found; look at `ok`.
    """
    found = _entries(store.path)  # before SQL: what is registered meanwhile is not called stray
    snapshot = store.snapshot()
    report = VerifyReport(snapshot.generation, snapshot.image_count)
    with translated(store.path), store.engine.begin() as connection:
        report.problems += _check_metadata(connection, snapshot)
        report.problems += _check_labels(connection, len(snapshot.label_names))
        ids = np.array(connection.scalars(select(schema.image.c.id)).all(), np.int64)
        registered = set(connection.scalars(select(schema.segment.c.uuid)))
        fingerprints = set(connection.scalars(select(schema.space.c.fingerprint)))
        audits = set(connection.scalars(select(schema.audit_run.c.name)))
    for space in snapshot.spaces():
        report.segments += len(space.segments)
        report.to_rebuild += [
            f"{space.index_path / name} is missing: run `olrsearch index build --recipe {name}`"
            for name in space.indexes
            if not (space.index_path / name).exists()
        ]
        report.problems += _check_space(space, ids, check_model)
        if check_artefacts is not None:
            try:
                check_artefacts(space)
            except OlrsearchError as error:
                code = "index" if isinstance(error, IndexBuildError) else "metadata"
                report.problems.append(Problem(code, f"{space.name}: {error}"))
    report.problems += _check_audits(store.path / RUNS, audits, report.to_rebuild)
    if read_source is not None:
        report.problems += _check_sources(snapshot, read_source, report)
    known = {".": _KNOWN, SEGMENTS: registered, MODELS: fingerprints, INDEXES: fingerprints}
    report.unreferenced += sorted(_strays(found, known))
    return report


def _entries(folder: Path) -> set[Path]:
    """What lies in a store, relative to it: at the top, in its folders, and unfinished anywhere below."""
    places = (folder, *(folder / name for name in (SEGMENTS, MODELS, INDEXES)))
    found = {entry for place in places if place.is_dir() for entry in place.iterdir()}
    return {entry.relative_to(folder) for entry in found.union(leftovers(folder))}


def _strays(found: Iterable[Path], known: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Entries that are not among the known names of their folder."""
    for path in found:
        place = path.parent.as_posix()
        if path.name in known.get(place, ()) or (place == "." and path.name.startswith(_BACKUP)):
            continue
        yield path.as_posix()


def _check_metadata(connection: Connection, snapshot: Snapshot) -> Iterator[Problem]:
    damaged = partial(Problem, "metadata")
    if connection.dialect.name == "sqlite":
        for (said,) in connection.execute(text("PRAGMA integrity_check(10)")):
            if said != "ok":
                yield damaged(f"{DATABASE}: {said}; restore it from a backup")
        for table, row, other, _ in connection.execute(text("PRAGMA foreign_key_check")):
            yield damaged(f"{DATABASE}: row {row} of {table} points to no row of {other}")
    highest = connection.scalar(select(func.max(schema.image.c.id))) or 0
    if highest > snapshot.last_image_id:
        yield damaged(f"image {highest} lies beyond the last id given, {snapshot.last_image_id}")
    labels = connection.scalar(select(func.count()).select_from(schema.label)) or 0
    expected = current(connection).label_count
    if labels != expected:
        yield damaged(f"the vocabulary has {labels} labels; expected {expected}")
    for folder in (SEGMENTS, MODELS):
        if not (snapshot.folder / folder).is_dir():
            yield damaged(f"{snapshot.folder / folder} is missing")


def _check_labels(connection: Connection, count: int) -> Iterator[Problem]:
    a = schema.annotation.c
    rows = connection.execution_options(yield_per=_ROWS).execute(select(a.image_id, a.packed))
    for image, packed in rows:
        if len(packed) > count or packed.strip(_PACKED_VALUES):
            yield Problem(
                "labels", f"the labels of image {image} are no row of at most {count} values −1, 0, 1"
            )


def _check_space(
    space: SpaceInfo, images: I64, check_model: Callable[[Path], str] | None
) -> Iterator[Problem]:
    yield from _check_model(space, check_model)
    seen = np.empty(0, np.int64)
    for info in space.segments:
        faults = [Problem("segment", message) for message in verify_segment(info)]
        yield from faults
        if faults:
            continue
        ids = open_segment(info).ids
        strange = ids[~np.isin(ids, images)]
        if strange.size:
            yield Problem("embeddings", f"{info.path}: image {strange[0]} is no image of this store")
        twice = ids[np.isin(ids, seen)]
        if twice.size:
            yield Problem(
                "embeddings", f"{info.path}: image {twice[0]} has an embedding in another segment too"
            )
        seen = np.concatenate([seen, ids])


def _check_model(space: SpaceInfo, check_model: Callable[[Path], str] | None) -> Iterator[Problem]:
    if not space.model_path.is_dir():
        yield Problem(
            "model", f"{space.model_path} is missing: new images cannot be encoded for the space {space.name}"
        )
    elif check_model is not None:
        try:
            fingerprint = check_model(space.model_path)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a model is what is reported
            yield Problem("model", f"{space.model_path}: {error}")
            return
        if fingerprint != space.fingerprint:
            yield Problem(
                "model", f"{space.model_path} has the fingerprint {fingerprint}: files were swapped"
            )


def _check_audits(runs: Path, registered: set[str], to_rebuild: list[str]) -> Iterator[Problem]:
    """Damage to finished audits; what an unfinished one has lost it computes again."""
    damaged = partial(Problem, "audit")
    folders = {path.name: path for path in audit_folders(runs)}
    for name in sorted(registered - set(folders)):
        yield damaged(f"{runs / name} is missing: `olrsearch audit delete {name}` and audit again")
    for name, path in folders.items():
        try:
            lost = list(RunFolder.open(path).damaged())
        except OlrsearchError as error:
            yield damaged(str(error))
            continue
        if name in registered:
            for file in lost:
                yield damaged(
                    f"{file} is damaged: restore it from a backup, or `olrsearch audit delete {name}` and "
                    "audit again"
                )
        else:
            to_rebuild.extend(
                f"{file} is damaged: `olrsearch audit run --resume` computes it again" for file in lost
            )


def _check_sources(snapshot: Snapshot, read_source: ReadSource, report: VerifyReport) -> Iterator[Problem]:
    ids = snapshot.image_ids()
    report.sources_checked = ids.size
    for start in range(0, ids.size, _ROWS):
        for row in snapshot.images(ids[start : start + _ROWS]):
            try:
                data = read_source(row.root, row.uri)
            except (DatasetError, OSError):
                report.sources_missing += 1
                if len(report.missing_examples) < EXAMPLES:
                    report.missing_examples.append(str(row.root / row.uri))
                continue
            if sha256_hex(data) != row.sha256:
                yield Problem(
                    "source-changed",
                    f"{row.root / row.uri} has other bytes than were imported: import {row.dataset!r} again",
                )
