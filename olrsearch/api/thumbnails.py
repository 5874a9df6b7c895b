"""Small pictures of an answer's images, for notebooks: read when they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.store.read.snapshot import Snapshot

_EDGE: Final = 96
"""Pixels of the longer side."""


class Thumbnails:
    """Pictures of the images of a generation: of the store, else of the files.

    A copy that is sent elsewhere (pickled) has none: it would need the store.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot

    def __call__(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The JPEGs of images by their ids, as far as there are any."""
        if self._snapshot is None:
            return {}
        from olrsearch.api.pictures import picture_of_row

        found = dict(self._snapshot.thumbnails(ids))
        for row in self._snapshot.images([number for number in ids if number not in found]):
            picture = picture_of_row(self._snapshot, row, _EDGE)
            if picture is not None:
                found[row.id] = picture
        return found

    def __reduce__(self) -> tuple[type[Thumbnails], tuple[None]]:
        return Thumbnails, (None,)
