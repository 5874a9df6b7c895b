"""The one writer of a store: each method of its parts is one change that ends in one generation.

Everything a method does becomes visible at once, or not at all when it raises, is
interrupted, or the machine stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.store.write.audits import AuditWriter
from olrsearch.store.write.decisions import DecisionWriter
from olrsearch.store.write.gallery import GalleryWriter
from olrsearch.store.write.session import WriteSession
from olrsearch.store.write.spaces import SpaceWriter

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


class Writer:
    """Changes a store; comes from `Backend.writer()`, which holds the lock.

    Attributes:
        session: What its parts share.
        gallery: Changes data sets, images and their labels.
        spaces: Changes encoders, segments and what derives from them.
        decisions: Decides labels.
        audits: Registers audits.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.session = WriteSession(connection, folder)
        self.gallery = GalleryWriter(self.session)
        self.spaces = SpaceWriter(self.session)
        self.decisions = DecisionWriter(self.session)
        self.audits = AuditWriter(self.session)
