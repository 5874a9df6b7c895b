"""The kinds of space, by layout. A further kind is a module, see `protocol.SpaceKind`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.search.index.recipe import KL_PREFIX
from olrsearch.store.vectors.layout import LABELS, POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from olrsearch.core.arrays import Layout
    from olrsearch.search.spaces.protocol import OpenedSpace, SpaceKind
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo


def _labels() -> SpaceKind:
    from olrsearch.search.spaces import label_kind

    return label_kind


def _posteriors() -> SpaceKind:
    from olrsearch.search.spaces import posterior_kind

    return posterior_kind


_KINDS: Final[Mapping[Layout, Callable[[], SpaceKind]]] = {LABELS: _labels, POSTERIOR: _posteriors}
"""Where no space is named, one of the earliest layout is meant. A kind is imported when it is used."""

RECIPE_PREFIXES: Final[Mapping[str, Layout]] = {KL_PREFIX: POSTERIOR}
"""What the names of recipes for one layout alone begin with."""


def kind_of(info: SpaceInfo) -> SpaceKind:
    """The kind of a space."""
    return _KINDS[info.layout]()


def open_space(snapshot: Snapshot, info: SpaceInfo) -> OpenedSpace:
    """A space of any kind opened for queries; see `SpaceKind.open_space`."""
    return kind_of(info).open_space(snapshot, info)


def space_of(snapshot: Snapshot, ref: str | None) -> SpaceInfo:
    """The space that is calibrated, or whose indexes are built or shown.

    Args:
        snapshot: The generation.
        ref: Name or fingerprint; when None the newest of label embeddings, and in a store without any
            the newest of posteriors.

    Raises:
        EmptyStoreError: nothing is encoded.
        UnknownSpaceError: no space has this name or fingerprint, or several have.
    """
    if ref is not None:
        return snapshot.space(ref)
    held = {info.layout for info in snapshot.spaces()}
    return snapshot.space(layout=next((layout for layout in _KINDS if layout in held), None))
