"""Building the index of a KL recipe into a store, and proving its recall against the exact search.

Queries are sampled from what a space holds: sets of one to five of the encoder's words, and posteriors of
its images. Some are held out to measure recall on; a posterior that is held out is an image of the gallery
and left out of its own answers. A vocabulary of few words has few sets: those of a size that has only one
are sampled and measured on alike, as single words are.

Notation: N images, W words of d dimensions, F numbers of a KL feature.
"""

from __future__ import annotations

import logging
from math import comb
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.files import whole_folder
from olrsearch.maths.kl_features import feature_size, image_features, query_features
from olrsearch.search.artefacts import IDS, KeptFile, write_index_json
from olrsearch.search.index.built import Recall
from olrsearch.search.kl.built import FAISS, on_device
from olrsearch.search.kl.description import KlDescription
from olrsearch.search.kl.kept_features import frame_digest
from olrsearch.search.kl.recall import (
    COUNTS,
    LARGEST_SET,
    check_promise,
    exact_answers,
    measure_recall,
    sample_word_queries,
)
from olrsearch.search.kl.recipes import build_proposer, estimate_kl_memory

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.divergences import Direction
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.exact_search import KlIndex
    from olrsearch.search.kl.recall import WordSets
    from olrsearch.search.kl.recipes import KlRecipe

_log = logging.getLogger(__name__)

DIRECTION: Final[Direction] = "query-to-image"
"""What recipes are built for: the paper's retrieval."""

SAMPLED: Final = 2000
"""Queries of each kind that projections are fitted to."""

HELD_WORDS: Final = 20
"""Sets of each size that recall is measured on."""

HELD_IMAGES: Final = 64

_BLOCK: Final = 1024
"""Posteriors whose features are computed at once."""


def build_kl(index: KlIndex, words: WordSets, recipe: KlRecipe, folder: Path) -> KlDescription:
    """Build a recipe's index into a folder, and prove its recall.

    For a recipe of the kind `projected`, features of several segments are brought together in a file beside
    the index while it is built.

    Args:
        index: The exact index of the space.
        words: Sets of the encoder's words.
        recipe: What to build.
        folder: Where to; replaced when all is built and proven, else left as it was.

    Raises:
        RecallError: the index finds less than the recipe promises.
        EmptyStoreError: there are no images.
        IndexBuildError: faiss cannot build it, or kept features are damaged.
        VectorError: a posterior holds NaN or infinity, or is singular.
        GaussianError: a λ that is none.
        FaissInstallError: no usable faiss.
        DeviceError: the recipe's device is not there, or has too little memory.
    """
    view = index.view
    view.check_any()
    memory = estimate_kl_memory(recipe, len(view), feature_size(view.size))
    _log.info("%s: about %.0f MB for %d images", recipe.name, memory / 1e6, len(view))
    with whole_folder(folder, replace=True) as fresh:
        # first of all the device, which may not be there
        device = on_device(index, DIRECTION, recipe.parameters.device) if recipe.kind == "torch" else None
        queries = _Queries.of(index, words)
        recall = (
            _propose(index, recipe, queries, fresh)
            if device is None
            else {kind: _agreement(index, device, queries, kind) for kind in queries.held}
        )
        check_promise(recipe, recall)
        np.save(fresh / IDS, view.ids)
        described = KlDescription(
            recipe,
            DIRECTION,
            frame_digest(index.frame),
            digest(view.ids),
            len(view),
            view.size,
            {kind: len(held) for kind, held in queries.held.items()},
            recall,
            tuple(KeptFile.of(path) for path in sorted(fresh.iterdir())),
        )
        write_index_json(fresh, described.to_dict())
    return described


def _propose(index: KlIndex, recipe: KlRecipe, queries: _Queries, folder: Path) -> dict[str, Recall]:
    """Write what proposes images; its recall. Features are brought together in the folder meanwhile."""
    scratch = folder / "features.npy"

    def asked(some: Gaussians) -> F64:
        return query_features(index.frame.apply(some), DIRECTION)[0]

    def rescore(query: F64, rows: I64) -> F64:
        out = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            images = index.frame.apply(index.view.gaussians(rows[block]))
            out[block] = image_features(images, DIRECTION) @ query
        return out

    features = _all_features(index, scratch)
    held = {
        kind: exact_answers(features, asked(some), rescore, own=queries.own if kind == "images" else None)
        for kind, some in queries.held.items()
    }
    samples = {kind: asked(some) for kind, some in queries.sampled.items()}
    proposer = build_proposer(recipe, features, samples)
    del features  # a mapped file that is removed next
    scratch.unlink(missing_ok=True)
    for name, array in proposer.arrays().items():
        np.save(folder / f"{name}.npy", array)
    proposer.index.save(folder / FAISS)
    return measure_recall(proposer, recipe, index.view.ids, held, rescore)


def _agreement(exact: KlIndex, device: KlIndex, queries: _Queries, kind: str) -> Recall:
    """How much of the exact answers a device finds: what it computes wrongly is found here."""
    shares: list[list[float]] = [[] for _ in COUNTS]
    for number in range(len(queries.held[kind])):
        own = exact.view.ids[queries.own[number : number + 1]] if kind == "images" else ()
        query = queries.held[kind][number]
        truth = exact.search(query, max(COUNTS), direction=DIRECTION, exclude=own).ids
        found = device.search(query, max(COUNTS), direction=DIRECTION, exclude=own).ids
        for count, share in zip(COUNTS, shares, strict=True):
            if len(truth):
                share.append(float(np.isin(truth[:count], found[:count]).mean()))
    return Recall(*(float(np.mean(share)) if share else 1.0 for share in shares))


def _all_features(index: KlIndex, scratch: Path) -> F32:
    """Features of all living images in the view's rows, float32 [N, F], mapped."""
    view, kept = index.view, index.features(DIRECTION)
    layout = list(view.layout())
    if len(layout) == 1 and layout[0][2] is None and layout[0][1] == slice(0, len(view)):
        return kept[0].features
    out: Any = np.lib.format.open_memmap(
        scratch, mode="w+", dtype=np.float32, shape=(len(view), feature_size(view.size))
    )
    for number, rows, alive in layout:
        places = np.arange(len(kept[number].features)) if alive is None else alive
        targets = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        for start in range(0, len(places), _BLOCK):
            block = slice(start, start + _BLOCK)
            out[targets[block]] = kept[number].features[places[block]]
    found: F32 = np.asarray(out)
    return found


class _Queries(NamedTuple):
    """Queries of what a space holds.

    Attributes:
        sampled: `words` and `images` → what projections are fitted to.
        held: `words-1` …, `images` → what recall is measured on.
        own: int64, the rows that the images held out are.
    """

    sampled: dict[str, Gaussians]
    held: dict[str, Gaussians]
    own: I64

    @classmethod
    def of(cls, index: KlIndex, sets: WordSets) -> _Queries:
        rng, view = np.random.default_rng([0, 0x4B53]), index.view
        sizes = tuple(range(1, min(LARGEST_SET, sets.words) + 1))
        held, excluded = {}, set()
        for size in sizes:
            # every single word is among the samples: a vocabulary has no others to hold out
            spare = HELD_WORDS if size == 1 else min(HELD_WORDS, comb(sets.words, size) // 2)
            drawn = sample_word_queries(sets, max(spare, 1), rng, sizes=(size,))
            held[f"words-{size}"] = drawn.gaussians
            if size > 1 and spare:
                excluded |= set(drawn.sets)
        words = sample_word_queries(sets, SAMPLED, rng, sizes=sizes, exclude=excluded)
        order = rng.permutation(len(view))
        own = order[: min(HELD_IMAGES, max(1, len(view) // 2))]
        others = order[len(own) : len(own) + SAMPLED]
        held["images"] = view.gaussians(own)
        images = view.gaussians(others) if len(others) else held["images"]
        return cls({"words": words.gaussians, "images": images}, held, own)
