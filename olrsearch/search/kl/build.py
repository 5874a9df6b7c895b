"""Building the index of a KL recipe into a store, and proving its recall against the exact search.

Queries are sampled from what a space holds: sets of one to five of the encoder's words, and posteriors of
its images. Some are held out to measure recall on; a posterior that is held out is an image of the gallery
and left out of its own answers. A vocabulary of few words has few sets: those of a size that has only one
are sampled and measured on alike, as single words are.

Notation: N images, W words of d dimensions, F numbers of a KL feature.
"""

from __future__ import annotations

import json
from math import comb
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import EmptyStoreError
from olrsearch.core.files import file_sha256, whole_folder
from olrsearch.maths.kl_features import feature_size, image_features, query_features
from olrsearch.search.index.built import DESCRIPTION, IDS
from olrsearch.search.kl.built import FAISS, KlDescription, KlFile
from olrsearch.search.kl.files import frame_digest
from olrsearch.search.kl.recall import LARGEST_SET, build_kl_recipe, exact_answers, sample_word_queries
from olrsearch.search.kl.torch_flat import check_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.gaussian import Direction, Gaussians
    from olrsearch.search.kl.exact import KlIndex
    from olrsearch.search.kl.recall import HeldOut
    from olrsearch.search.kl.recipes import KlRecipe

DIRECTION: Final[Direction] = "query-to-image"
"""What recipes are built for: the paper's retrieval."""

SAMPLED: Final = 2000
"""Queries of each kind that projections are fitted to."""

HELD_WORDS: Final = 20
"""Sets of each size that recall is measured on."""

HELD_IMAGES: Final = 64

_BLOCK: Final = 1024
"""Posteriors whose features are computed at once."""


def build_kl(
    index: KlIndex,
    vectors: F64,
    shrinkage: float,
    recipe: KlRecipe,
    folder: Path,
    *,
    seed: int = 0,
) -> KlDescription:
    """Build a recipe's index into a folder, and prove its recall.

    Features of several segments are brought together in a file beside the index while it is built.

    Args:
        index: The exact index of the space.
        vectors: float64 [W, d], the encoder's words.
        shrinkage: λ of the priors of words.
        recipe: What to build.
        folder: Where to; replaced when all is built and proven, else left as it was.
        seed: Of drawings.

    Raises:
        RecallError: the index finds less than the recipe promises.
        EmptyStoreError: there are no images.
        IndexBuildError: faiss cannot build it, or kept features are damaged.
        VectorError: a posterior holds NaN or infinity, or is singular.
        GaussianError: a λ or vectors that are none.
        FaissInstallError: no usable faiss.
        DeviceError: the recipe's device is not there, or has too little memory.
    """
    view = index.view
    if not len(view):
        raise EmptyStoreError("there are no posteriors to index: encode images first")
    if recipe.kind == "torch":  # before anything is computed for it
        given = recipe.parameters
        check_device(given.device, len(view), feature_size(view.size), given.dtype)
    with whole_folder(folder, replace=True) as fresh:
        scratch = fresh / "features.npy"
        features = _all_features(index, scratch)
        sampled, held = _queries(index, vectors, shrinkage, features, seed)
        proposer, recall = build_kl_recipe(
            recipe, features, view.ids, sampled, held, _rescorer(index), seed=seed
        )
        del features  # a mapped file that is removed next
        scratch.unlink(missing_ok=True)
        files = [_write_array(fresh / IDS, view.ids)]
        files += [_write_array(fresh / f"{name}.npy", array) for name, array in proposer.arrays().items()]
        if proposer.index is not None:
            proposer.index.save(fresh / FAISS)
            files.append(KlFile(FAISS, (fresh / FAISS).stat().st_size, file_sha256(fresh / FAISS)))
        described = KlDescription(
            recipe,
            DIRECTION,
            frame_digest(index.frame),
            digest(view.ids),
            len(view),
            view.size,
            {kind: len(queries.features) for kind, queries in held.items()},
            recall,
            tuple(files),
        )
        (fresh / DESCRIPTION).write_text(json.dumps(described.to_dict(), indent=1) + "\n", encoding="utf-8")
    return described


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


def _queries(
    index: KlIndex, vectors: F64, shrinkage: float, features: F32, seed: int
) -> tuple[dict[str, F64], dict[str, HeldOut]]:
    """Sampled queries, float64 [q, F] a kind, and held-out ones with their exact answers."""
    rng, view = np.random.default_rng([seed, 0x4B53]), index.view
    sizes = tuple(range(1, min(LARGEST_SET, len(vectors)) + 1))

    def asked(queries: Gaussians) -> F64:
        return query_features(index.frame.apply(queries), DIRECTION)[0]

    held_words, excluded = {}, set()
    for size in sizes:
        # every single word is among the samples: a vocabulary has no others to hold out
        spare = HELD_WORDS if size == 1 else min(HELD_WORDS, comb(len(vectors), size) // 2)
        drawn = sample_word_queries(vectors, shrinkage, max(spare, 1), rng, sizes=(size,))
        held_words[f"words-{size}"] = asked(drawn.gaussians)
        if size > 1 and spare:
            excluded |= set(drawn.sets)
    words = sample_word_queries(vectors, shrinkage, SAMPLED, rng, sizes=sizes, exclude=excluded)
    order = rng.permutation(len(view))
    own = order[: min(HELD_IMAGES, max(1, len(view) // 2))]
    others = order[len(own) : len(own) + SAMPLED]
    images = asked(view.gaussians(others if len(others) else own))
    rescore = _rescorer(index)
    held = {kind: exact_answers(features, queries, rescore) for kind, queries in held_words.items()}
    held["images"] = exact_answers(features, asked(view.gaussians(own)), rescore, own=own)
    return {"words": asked(words.gaussians), "images": images}, held


def _rescorer(index: KlIndex) -> Callable[[F64, I64], F64]:
    """From a query's features and rows to ⟨f, g⟩ in float64, from the stored posteriors."""

    def rescore(query: F64, rows: I64) -> F64:
        out = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            images = index.frame.apply(index.view.gaussians(rows[block]))
            out[block] = image_features(images, DIRECTION) @ query
        return out

    return rescore


def _write_array(path: Path, array: NDArray[Any]) -> KlFile:
    np.save(path, array)
    return KlFile(path.name, path.stat().st_size, digest(array))
