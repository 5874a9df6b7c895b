"""Building the indexes of a recipe, and proving their recall against the exact scan."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import IndexBuildError, RecallError, VectorError
from olrsearch.core.files import file_sha256, whole_folder
from olrsearch.core.progress import Track, silent
from olrsearch.search.artefacts import IDS, write_index_json
from olrsearch.search.index.built import (
    BuiltFile,
    BuiltIndex,
    DeviceVectors,
    IndexDescription,
    Recall,
    exact_scorer,
    metric_digest,
    plain_vectors,
)
from olrsearch.search.index.faiss_index import FaissIndex
from olrsearch.search.index.label import LabelIndexes

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import I64
    from olrsearch.maths.metric import Metric
    from olrsearch.search.index.built import Searched
    from olrsearch.search.index.recipe import Recipe
    from olrsearch.search.index.view import EmbeddingView

_log = logging.getLogger(__name__)

SAMPLED_QUERIES = 64


def build_recipe(
    view: EmbeddingView, metric: Metric, recipe: Recipe, folder: Path, *, track: Track = silent
) -> IndexDescription:
    """Build a recipe's indexes into a folder, and prove their recall.

    It is measured on images of the view that are drawn, each left out of its own answers.

    Args:
        view: The images.
        metric: Of the space.
        recipe: What to build.
        folder: Where to; replaced when all is built and proven, else left as it was.
        track: Shows progress.

    Raises:
        RecallError: an index finds less than the recipe promises.
        VectorError: there are no images, or bad vectors.
        IndexBuildError: faiss cannot build it.
        FaissInstallError: no usable faiss.
        DeviceError: the recipe's device is not there, or has too little memory.
    """
    if not len(view):
        raise VectorError("there are no embeddings to index: encode images first")
    tests = np.random.default_rng(0).permutation(len(view))[:SAMPLED_QUERIES]
    with whole_folder(folder, replace=True) as fresh:
        np.save(fresh / IDS, view.ids)
        indexes = LabelIndexes(view, metric)
        wanted: list[int | None] = [] if recipe.label is None else list(range(view.labels))
        wanted += [] if recipe.whole is None else [None]
        tracked = track(wanted, total=len(wanted), what=recipe.name, unit="indexes")
        files = tuple(_build_one(indexes, recipe, fresh, label, tests) for label in tracked)
        described = IndexDescription(
            recipe, metric_digest(metric), digest(view.ids), len(view), len(tests), files
        )
        write_index_json(fresh, described.to_dict())
    return described


def _build_one(
    indexes: LabelIndexes, recipe: Recipe, folder: Path, label: int | None, tests: I64
) -> BuiltFile:
    """Build, write and measure one file; `tests` are the rows it is measured on.

    Raises:
        RecallError: its recall is below the promise.
    """
    part = recipe.part(label)
    if part is None:
        raise IndexBuildError(f"the recipe {recipe.name} does not say how to index this part")
    view, metric = indexes.view, indexes.metric
    longest, size, checksum = None, 0, ""
    if part.device is not None:
        index: Searched = DeviceVectors(indexes, label, view.ids, part.device)
    else:
        vectors = plain_vectors(view, metric, label)
        if metric.kind != "l2":
            squares = np.einsum("nk,nk->n", vectors, vectors, dtype=np.float64)
            longest = float(np.sqrt(squares.max()))
            extra = np.sqrt(np.maximum(longest**2 - squares, 0)).astype(np.float32)
            vectors = np.concatenate([vectors, extra[:, None]], axis=1)
        made = FaissIndex.build(view.ids, vectors, part.factory, ef_construction=part.ef_construction)
        path = folder / BuiltFile(label, None, 0, Recall(0.0, 0.0)).name
        made.save(path)
        size, checksum, index = path.stat().st_size, file_sha256(path), made
    file = BuiltFile(label, longest, size, Recall(0.0, 0.0), checksum)
    file = replace(file, recall=_measure(indexes, recipe, file, index, tests))
    _log.info("%s: recall@10 %.3f, recall@100 %.3f", file.name, file.recall.at_10, file.recall.at_100)
    if file.recall.at_10 < recipe.recall_at_10:
        raise RecallError(
            f"{file.name} of the recipe {recipe.name} finds {file.recall.at_10:.3f} of the true ten nearest, "
            f"promised are {recipe.recall_at_10}: raise its proposals or effort, or use the recipe exact"
        )
    return file


def _measure(indexes: LabelIndexes, recipe: Recipe, file: BuiltFile, index: Searched, tests: I64) -> Recall:
    """Recall by distance: among equally near images it does not matter which are returned."""
    described = IndexDescription(recipe, "", "", len(indexes.view), 0, (file,))
    found = BuiltIndex(described, indexes.view.ids, indexes, lambda _: index)
    scorer = exact_scorer(indexes, file.label)
    shares: dict[int, list[float]] = {10: [], 100: []}
    for own in indexes.view.ids[tests].tolist():
        embedding = indexes.view.embedding(own)
        query = embedding if file.label is None else embedding[file.label]
        truth = np.sort(scorer.distances(query)[indexes.view.ids != own])
        for count, share in shares.items():
            wanted = min(count, len(truth))
            if not wanted:
                continue
            limit = truth[wanted - 1]
            limit += 1e-5 * abs(limit) + 1e-9  # rounding differs between a scan and a few rows
            _, distances = found.search(file.label, query, wanted, exclude=[own])
            share.append(min(1.0, float((distances <= limit).sum()) / wanted))
    return Recall(*(float(np.mean(share)) if share else 1.0 for share in shares.values()))
