"""The store: sources, images, labels and embeddings on disk, one writer, many readers."""

from __future__ import annotations

from olrsearch.store.backend import Backend
from olrsearch.store.decision_rules import Decision, DecisionRequest
from olrsearch.store.read.columns import FILTER_COLUMNS
from olrsearch.store.read.snapshot import Snapshot
from olrsearch.store.values import ImportCounts, NewImage

__all__ = [
    "FILTER_COLUMNS",
    "Backend",
    "Decision",
    "DecisionRequest",
    "ImportCounts",
    "NewImage",
    "Snapshot",
]
