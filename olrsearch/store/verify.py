"""Checks a whole store: every block of every segment, the metadata against the files.

Nothing is changed. Files that belong to nothing are named and are no damage: an interrupted
write leaves them, and so does one that is going on while the store is checked.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from sqlalchemy import select

from olrsearch.core.errors import DatasetError, IndexBuildError, OlrsearchError, StoreCorruptError
from olrsearch.core.files import sha256_hex
from olrsearch.store.audit_runs import RunFolder, audit_folders
from olrsearch.store.files import RUNS
from olrsearch.store.leftovers import Registered, entries, missing_folders, strays
from olrsearch.store.problems import Problem
from olrsearch.store.read.audits import read_audits
from olrsearch.store.read.snapshot import Snapshot
from olrsearch.store.sql import schema
from olrsearch.store.sql.database import translated
from olrsearch.store.sql.seal import unsealed
from olrsearch.store.training_runs import damaged_runs
from olrsearch.store.vectors.segments import open_segment, verify_segment
from olrsearch.store.verify_metadata import check_database, check_labels, check_numbers
from olrsearch.store.verify_sets import check_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo

ReadSource: TypeAlias = "Callable[[Path, str], bytes]"
"""Bytes of a source by root and uri; raises `DatasetError` where there are none."""

EXAMPLES: Final = 5
_ROWS: Final = 10_000


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
        notes: What is no damage either: runs that are unfinished, metadata without checksums.
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
    notes: list[str] = field(default_factory=list)
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
        lines += [f"belongs to nothing: {name}" for name in self.unreferenced]
        if self.unreferenced:
            lines.append("what interrupted writes have left is removed by `olrsearch store clean`")
        lines += [f"note: {message}" for message in self.notes]
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
    found = entries(store.path)  # before SQL: what is registered meanwhile is not called stray
    report = VerifyReport(0, 0)
    try:
        _check_all(store, found, report, check_model, check_artefacts)
        if read_source is not None:
            snapshot = Snapshot(store.engine, store.path, lambda _: None)
            report.problems += _check_sources(snapshot, read_source, report)
    except OlrsearchError as error:  # nothing behind it can be looked at
        report.problems.append(Problem("metadata", str(error)))
    return report


def _check_all(
    store: Backend,
    found: Collection[Path],
    report: VerifyReport,
    check_model: Callable[[Path], str] | None,
    check_artefacts: Callable[[SpaceInfo], None] | None,
) -> None:
    """Checks everything but sources into a report, the metadata first: the rest is named by them."""

    def note(error: StoreCorruptError) -> None:
        report.problems.append(Problem("metadata", str(error)))

    with translated(store.path), store.engine.begin() as connection:
        report.problems += check_database(connection, store.path)
    snapshot = Snapshot(store.engine, store.path, note)
    report.generation, report.images = snapshot.generation, snapshot.image_count
    with translated(store.path), store.engine.begin() as connection:
        report.problems += check_numbers(connection, store.path, store.about)
        report.problems += check_labels(connection, len(snapshot.label_names))
        report.problems += check_sets(connection)
        ids = np.array(connection.scalars(select(schema.image.c.id)).all(), np.int64)
        registered = Registered.read(connection)
    if store.about.backend == "sqlite" and (why := unsealed(store.path, snapshot.generation)) is not None:
        report.notes.append(why)
    read_audits(snapshot, note)
    report.to_rebuild += missing_folders(snapshot.spaces())
    for space in snapshot.spaces():
        report.segments += len(space.segments)
        report.problems += _check_space(space, ids, check_model)
        if check_artefacts is not None:
            report.problems += _check_derived(space, check_artefacts)
    report.problems += _check_audits(store.path / RUNS, registered.audits, report.to_rebuild)
    report.problems += (Problem("run", message) for message in damaged_runs(store.path))
    left = strays(store.path, found, registered)
    report.unreferenced += left.names(store.path)
    report.notes += left.unfinished


def _check_derived(space: SpaceInfo, check_artefacts: Callable[[SpaceInfo], None]) -> Iterator[Problem]:
    try:
        check_artefacts(space)
    except OlrsearchError as error:
        # Word scores are a space's indexes too, and their damage is a StoreCorruptError that names the file.
        derived = isinstance(error, IndexBuildError) or str(space.index_path) in str(error)
        code = "index" if derived else "metadata"
        yield Problem(code, f"{space.name}: {error}")


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
