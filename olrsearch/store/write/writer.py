"""The one writer of a store: each method is one change that ends in one generation.

Everything a method does becomes visible at once, or not at all when it raises, is
interrupted, or the machine stops.
"""

from __future__ import annotations

from olrsearch.store.write.audits import AuditWriter
from olrsearch.store.write.deciding import DecisionWriter
from olrsearch.store.write.gallery import GalleryWriter
from olrsearch.store.write.spaces import SpaceWriter


class Writer(GalleryWriter, DecisionWriter, SpaceWriter, AuditWriter):
    """Changes a store; comes from `Backend.writer()`, which holds the lock."""
