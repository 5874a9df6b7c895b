"""What lies in a store and belongs to nothing: named by `verify`, removed by `clean`.

Interrupted writes leave it, and so does one that is going on. Files that no program of ours made are named
and never removed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from olrsearch.core.errors import AuditError, OlrsearchError
from olrsearch.core.files import is_leftover, leftovers, remove_tree
from olrsearch.store.audit_runs import AUDIT, RECORD, RunFolder
from olrsearch.store.files import (
    DATABASE,
    HOLDER,
    INDEXES,
    LOCK,
    MODELS,
    RUNS,
    SEGMENTS,
    STORE_JSON,
    SUMS,
)
from olrsearch.store.sql import schema
from olrsearch.store.training_runs import is_finished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo

_TOP: Final = (
    frozenset((STORE_JSON, SEGMENTS, MODELS, INDEXES, RUNS, LOCK, HOLDER, SUMS))
    | {f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")}
    | {"meanings.toml"}
)  # which an owner may put there
_BACKUP: Final = f"{DATABASE}.before-"
_DESCRIPTION: Final = "index.json"
"""What makes a folder among a space's indexes a built one."""
_SEGMENT: Final = re.compile(r"([0-9a-f]{32})(\W|$)")
"""How what is derived from one segment is called."""
_OURS: Final = re.compile(r"[0-9a-f]{32}([0-9a-f]{32})?$")
"""How folders of segments, models and a space's indexes are called."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the metadata know of.

    Attributes:
        segments: Names of folders of segments, those that no generation sees any more included.
        indexes: Fingerprints of spaces, with the names of the indexes built for each.
        audits: Names of finished audits.
    """

    segments: set[str]
    indexes: Mapping[str, set[str]]
    audits: set[str]

    @classmethod
    def read(cls, connection: Connection) -> Registered:
        """Of a store, inside a transaction."""
        s, a = schema.space.c, schema.artefact.c
        built = connection.execute(
            select(s.fingerprint, a.name).join_from(schema.artefact, schema.space).where(a.kind == "index")
        ).all()
        fingerprints = connection.scalars(select(s.fingerprint)).all()
        return cls(
            set(connection.scalars(select(schema.segment.c.uuid))),
            {one: {name for owner, name in built if owner == one} for one in fingerprints},
            set(connection.scalars(select(schema.audit_run.c.name))),
        )


@dataclass(slots=True)
class Found:
    """Paths that belong to nothing.

    Attributes:
        ours: Made by a program of ours: `clean` removes them.
        strange: Others.
        unfinished: Lines about runs that can be gone on with.
    """

    ours: set[Path] = field(default_factory=set)
    strange: set[Path] = field(default_factory=set)
    unfinished: list[str] = field(default_factory=list)

    def names(self, folder: Path) -> list[str]:
        """All of them relative to a store, sorted."""
        return sorted(path.relative_to(folder).as_posix() for path in self.ours | self.strange)


def entries(folder: Path) -> set[Path]:
    """What lies where names are registered, and what is unfinished anywhere.

    Look at it before reading what is registered: what is added meanwhile is not called stray.
    """
    found = set(_inside(folder))
    for name in (SEGMENTS, MODELS, INDEXES, RUNS):
        found.update(_inside(folder / name))
    for space in _inside(folder / INDEXES):
        for built in _inside(space):
            found.update((built, *_inside(built)))
    return found.union(leftovers(folder))


def strays(folder: Path, found: Iterable[Path], registered: Registered) -> Found:
    """Those of the `entries` of a store that belong to nothing."""
    report, known = Found(), {SEGMENTS: registered.segments, MODELS: set(registered.indexes)}
    known[INDEXES] = known[MODELS]
    for path in sorted(found):
        inside = path.relative_to(folder).parts
        if any(is_leftover(part) for part in inside[:-1]):
            continue  # named by what it lies in
        if is_leftover(path.name):
            report.ours.add(path)
        elif inside[0] == RUNS and len(inside) == 2:
            _look_at_run(path, registered, report)
        elif len(inside) == 2 and path.name not in known[inside[0]]:
            (report.ours if _OURS.match(path.name) else report.strange).add(path)
        elif len(inside) > 2 and _is_unregistered(path, inside, registered):
            report.ours.add(path)
        elif len(inside) == 1 and not (path.name in _TOP or path.name.startswith(_BACKUP)):
            report.strange.add(path)
    return report


def clean(store: Backend) -> list[str]:
    """Removes what programs of ours have left in a store; gives the names of what is gone.

    Raises:
        StoreReadOnlyError: the store was opened read-only.
        StoreLockedError: a writer is at work.
    """
    with store.writer() as writer:
        found = entries(store.path)
        with writer.session.reading() as connection:
            registered = Registered.read(connection)
        gone = []
        for path in sorted(strays(store.path, found, registered).ours):
            with suppress(AuditError):  # a run that somebody works on
                _remove(store.path, path)
            if not path.exists():
                gone.append(path.relative_to(store.path).as_posix())
        return gone


def missing_folders(spaces: Iterable[SpaceInfo]) -> list[str]:
    """Indexes that were built and are gone, a line each."""
    return [
        f"{space.index_path / name} is missing: run `olrsearch index build --recipe {name}`"
        for space in spaces
        for name in space.indexes
        if not (space.index_path / name).exists()
    ]


def _inside(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not is_leftover(folder.name):
        yield from folder.iterdir()


def _is_unregistered(path: Path, inside: tuple[str, ...], registered: Registered) -> bool:
    """Whether something below a space's indexes is of a segment, or an index, that nobody knows of."""
    if inside[0] != INDEXES or inside[1] not in registered.indexes:
        return False
    if len(inside) == 3:
        built = (path / _DESCRIPTION).is_file()
        return built and path.name not in registered.indexes[inside[1]]
    of_segment = _SEGMENT.match(path.name)
    return of_segment is not None and of_segment[1] not in registered.segments


def _look_at_run(path: Path, registered: Registered, report: Found) -> None:
    if not (path / RECORD).is_file():
        report.strange.add(path)
    elif path.name.startswith(f"{AUDIT}-"):
        if path.name not in registered.audits:
            report.unfinished.append(
                f"{path} is unfinished: go on with `olrsearch audit run --resume`, or remove it with "
                f"`olrsearch audit delete {path.name}`"
            )
    else:
        with suppress(OlrsearchError):  # which is named as damage
            if not is_finished(path):
                report.unfinished.append(
                    f"{path} is unfinished: go on with `olrsearch train --resume`, or remove the folder"
                )


def _remove(folder: Path, path: Path) -> None:
    inside = path.relative_to(folder).parts
    if inside[0] == RUNS and len(inside) > 2 and inside[1].startswith(f"{AUDIT}-"):
        with RunFolder(folder / RUNS / inside[1], {}).locked():
            _discard(path)
    else:
        _discard(path)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
