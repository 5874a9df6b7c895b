"""The store: sources, images, labels and embeddings on disk, one writer, many readers."""

from __future__ import annotations

from olrsearch.store.backend import Backend
from olrsearch.store.decisions import Decision, DecisionRequest
from olrsearch.store.read.columns import FILTER_COLUMNS, SqlFilter
from olrsearch.store.read.snapshot import Snapshot
from olrsearch.store.values import (
    DatasetInfo,
    ImageRow,
    ImportCounts,
    KnownImage,
    NewImage,
    Relocation,
    SpaceInfo,
)
from olrsearch.store.vectors.values import Segment, SegmentInfo

__all__ = [
    "FILTER_COLUMNS",
    "Backend",
    "DatasetInfo",
    "Decision",
    "DecisionRequest",
    "ImageRow",
    "ImportCounts",
    "KnownImage",
    "NewImage",
    "Relocation",
    "Segment",
    "SegmentInfo",
    "Snapshot",
    "SpaceInfo",
    "SqlFilter",
]
