"""What keeps a store in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from olrsearch.api.session import Session
    from olrsearch.store.values import Relocation


class Maintenance:
    """What keeps a store in order: `Store.maintenance`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def relocate(self, dataset: str, root: Path | str) -> Relocation:
        """Tell the store that a data set's images now lie below `root`.

        Args:
            dataset: Its name in the store.
            root: The folder.

        Returns:
            How many of its images were found there, and how many it has.

        Raises:
            ImageMissingError: none was found there; nothing is changed.
            UnknownDatasetError: there is no such data set.
        """
        with self._session.backend.writer() as writer:
            return writer.gallery.relocate(dataset, Path(root))
