"""What is built, estimated and checked for a space of label embeddings: label scores and label indexes.

The functions are those of `protocol.SpaceKind`, which says what they do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import (
    IncompatibleEncoderError,
    IndexBuildError,
    ModelFileError,
    StoreCorruptError,
    StoreVersionError,
)
from olrsearch.encoders.folder import model_files
from olrsearch.search.index.recipe import estimate_memory, load_recipe
from olrsearch.search.index.scores import read_scores, write_scores
from olrsearch.search.spaces.about import check_any
from olrsearch.search.spaces.labels import SCORES, OpenSpace, scores_path
from olrsearch.store.vectors.segments import open_segment

if TYPE_CHECKING:
    from olrsearch.core.progress import Track
    from olrsearch.search.index.recipe import Recipe
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.write.writer import Writer


def open_space(snapshot: Snapshot, info: SpaceInfo) -> OpenSpace:
    """A space opened for queries."""
    return OpenSpace(snapshot, info)


def build(writer: Writer, snapshot: Snapshot, info: SpaceInfo, recipe: str, track: Track) -> list[str]:
    """Build the label scores of every segment, and what a recipe adds to the exact scan."""
    from olrsearch.search.index.build import build_recipe

    found, opened = _recipe(recipe), OpenSpace(snapshot, info)
    check_any(info, len(opened.view), "index")
    segments = opened.segments
    for segment in track(segments, total=len(segments), what="label scores", unit="segments"):
        write_scores(scores_path(segment, info), segment, opened.readout, segment=segment.info.uuid)
    lines = [f"{info.name}: label scores of {len(opened.view):,} images"]
    built = build_recipe(opened.view, opened.metric, found, info.index_path / found.name, track=track)
    for what, files in (
        ("label indexes", [file for file in built.files if file.label is not None]),
        ("whole index", [file for file in built.files if file.label is None]),
    ):
        if files:
            size = sum(file.bytes for file in files) / 1e6
            at_10 = min(file.recall.at_10 for file in files)
            at_100 = min(file.recall.at_100 for file in files)
            lines.append(
                f"{info.name}: {len(files)} {what}, {size:.1f} MB, "
                f"recall@10 ≥ {at_10:.3f}, recall@100 ≥ {at_100:.3f}"
            )
    writer.spaces.add_index(info.id, found.name, built.to_dict())
    return lines


def estimate(info: SpaceInfo, recipe: str) -> tuple[int, int]:
    """Bytes that a recipe's indexes take."""
    return estimate_memory(_recipe(recipe), info.count, len(info.labels), info.k)


def keep_new(snapshot: Snapshot, info: SpaceInfo) -> None:
    """Nothing: label scores are computed in no time."""


def kept(info: SpaceInfo) -> str:  # noqa: ARG001 - as of other kinds
    """How the space is scanned."""
    return "exact, over the segments"


def unused(info: SpaceInfo) -> dict[str, str]:
    """None: every index that was ever built is searched."""
    from olrsearch.search.index.built import check_registered

    for name, registered in sorted(info.indexes.items()):
        check_registered(info.index_path / name, registered)
    return {}


def check(info: SpaceInfo) -> None:
    """Whether kept scores and built indexes are what they should be.

    Scores of older programs have no checksum: all are computed again.
    """
    from olrsearch.search.index.built import verify

    for name, registered in sorted(info.indexes.items()):
        if (info.index_path / name).exists():  # what is gone is named as such
            verify(info.index_path / name, registered)
    try:
        readout = model_files.read_readout(info.model_path)
        segments = [open_segment(segment) for segment in info.segments]
        computed = [readout.logits(segment.embeddings) for segment in segments]
    except (IncompatibleEncoderError, ModelFileError, StoreCorruptError, StoreVersionError):
        return  # which is reported as what it is
    for segment, expected in zip(segments, computed, strict=True):
        path = scores_path(segment, info)
        found = read_scores(path, segment, readout, segment=segment.info.uuid)
        # Another processor may round otherwise.
        if found is not None and not np.allclose(found, expected, 1e-4, 1e-4):
            raise IndexBuildError(f"{path} does not hold its segment's scores: run olrsearch index build")


def _recipe(name: str) -> Recipe:
    recipe = load_recipe(Path(name) if name.endswith(".toml") else name)
    if recipe.name == SCORES:  # building it would replace what it is named after
        raise IndexBuildError(
            f"a recipe cannot be called {SCORES!r}, which the label scores are: rename {name}"
        )
    return recipe
