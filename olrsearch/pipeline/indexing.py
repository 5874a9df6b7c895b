"""Indexes of a space: built by a recipe, and what that takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from olrsearch.core.errors import IndexBuildError
from olrsearch.core.progress import Track, silent
from olrsearch.search.spaces.registry import RECIPE_PREFIXES, kind_of, space_of
from olrsearch.store.vectors.layout import HELD

if TYPE_CHECKING:
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo


def build_index(backend: Backend, recipe: str, ref: str | None, *, track: Track = silent) -> list[str]:
    """Build what queries of a space would compute, and what a recipe adds to the exact scan.

    Args:
        backend: The store, writable.
        recipe: A recipe of the program, or the path of a `.toml` file.
        ref: Name or fingerprint of the space; see `space_of` when None, and for a KL recipe the newest of
            posteriors.
        track: Shows progress.

    Returns:
        What was built, a line each.

    Raises:
        IndexBuildError: there is no such recipe, it has the name of what is built without one, or it is
            for another layout than the space has.
        RecallError: the recipe does not reach the recall it promises on this space.
    """
    with backend.writer() as writer:
        snapshot = backend.snapshot()
        info = _recipe_space(snapshot, recipe, ref)
        return kind_of(info).build(writer, snapshot, info, recipe, track)


def estimate_index(backend: Backend, recipe: str, ref: str | None) -> tuple[int, int]:
    """Bytes that a recipe's indexes take for a space, roughly: in memory and on disk, and on a device."""
    info = _recipe_space(backend.snapshot(), recipe, ref)
    return kind_of(info).estimate(info, recipe)


def keep_new(backend: Backend, ref: str) -> None:
    """Keep what a first query needs of segments that are new; see `SpaceKind.keep_new`.

    Args:
        backend: The store, writable.
        ref: Name or fingerprint of the space.
    """
    with backend.writer():
        snapshot = backend.snapshot()
        info = snapshot.space(ref)
        kind_of(info).keep_new(snapshot, info)


def _recipe_space(snapshot: Snapshot, recipe: str, ref: str | None) -> SpaceInfo:
    """The space a recipe is built for.

    Raises:
        IndexBuildError: the recipe is for spaces of another layout.
    """
    name = Path(recipe).name
    layout = next((one for prefix, one in RECIPE_PREFIXES.items() if name.startswith(prefix)), None)
    info = space_of(snapshot, ref) if layout is None or ref is not None else snapshot.space(layout=layout)
    if layout not in {None, info.layout}:
        raise IndexBuildError(
            f"the recipe {recipe!r} is for {HELD[layout]}, and {info.name} holds {HELD[info.layout]}: name a "
            f"space of {HELD[layout]}, or another recipe"
        )
    return info
