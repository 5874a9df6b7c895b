"""What is built from a space of posteriors: KL features of both directions, word scores, KL recipes.

All of it is derived. Queries answer the same without features and scores: later, because they compute
them then. What a recipe builds is used where a query names it.

Notation: n images of a segment, W own words, d dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import IndexBuildError, ModelFileError, StoreCorruptError, StoreVersionError
from olrsearch.encoders.folder import model_files
from olrsearch.maths.gaussian import DIRECTIONS
from olrsearch.maths.kl_features import feature_size
from olrsearch.search.kl.exact import estimate_memory
from olrsearch.search.kl.files import FRAME, KlFeatures, read_frame
from olrsearch.search.kl.word_scores import compute_ratios, read_ratios
from olrsearch.search.spaces.posteriors import KL, WORDS, OpenPosteriors
from olrsearch.store.vectors.layout import POSTERIOR
from olrsearch.store.vectors.segments import open_segment, verify_segment

if TYPE_CHECKING:
    from olrsearch.maths.kl_features import Frame
    from olrsearch.search.kl.recipes import KlRecipe
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.vectors.values import Segment
    from olrsearch.store.write.writer import Writer

EXACT: Final = "exact"
"""The recipe that adds nothing to the exact search."""

_TOLERANCE: Final = 1e-4
"""How far kept word scores may be from those computed now: another processor may round otherwise."""


def build_word_index(writer: Writer, opened: OpenPosteriors, recipe: str = EXACT) -> list[str]:
    """Build the KL features of both directions and the word scores, or the index of a KL recipe.

    Features and scores take the place of what there is; a recipe keeps those it needs and that are not kept.

    Args:
        writer: Of the store, which takes note of a recipe's index.
        opened: The space.
        recipe: `exact`, a KL recipe of the program, or the path of a `.toml` file.

    Returns:
        What was built, a line each.

    Raises:
        EmptyStoreError: every image is deleted.
        IndexBuildError: no such recipe, or a posterior lies too far from the others for float32.
        RecallError: the recipe does not reach the recall it promises on this space.
        VectorError: a posterior holds NaN or infinity, or is singular.
        FaissInstallError: no usable faiss.
        DeviceError: the recipe's device is not there, or has too little memory.
    """
    name, folder = opened.info.name, opened.info.index_path
    found = _kl_recipe(recipe, opened.info)
    if found is not None:
        from olrsearch.search.kl.build import DIRECTION, build_kl

        opened.keep((DIRECTION,))
        built = build_kl(
            opened.index, opened.vocabulary.vectors, opened.shrinkage, found, folder / found.name
        )
        writer.spaces.add_index(opened.info.id, found.name, built.to_dict())
        size = sum(file.bytes for file in built.files) / 1e6
        return [
            f"{name}: {found.name} of {built.count:,} images ({built.direction}), {size:,.1f} MB",
            *(
                f"{name}: {kind}, {built.queries[kind]} held out: recall@10 {recall.at_10:.3f}, "
                f"recall@100 {recall.at_100:.3f}"
                for kind, recall in built.recall.items()
            ),
        ]
    opened.keep(DIRECTIONS, again=True)
    size, count = _bytes(folder / KL, folder / WORDS) / 1e6, len(opened.view)
    return [f"{name}: KL features of both directions and word scores of {count:,} images, {size:,.1f} MB"]


def keep_new(backend: Backend, ref: str) -> None:
    """Keep what a first query for words needs of segments that are new.

    That is word scores and query-to-image features; those of the other direction are left to
    `build_word_index`, because only likeness and image-to-query searches ask for them.

    Args:
        backend: The store, writable.
        ref: Name or fingerprint of a space of posteriors.

    Raises:
        IndexBuildError: what is kept is damaged, or a posterior lies too far from the others for float32.
        OSError: the folder of indexes cannot be written to.
    """
    with backend.writer():
        snapshot = backend.snapshot()
        opened = OpenPosteriors(snapshot, snapshot.space(ref, POSTERIOR))
        if len(opened.view):
            opened.keep(("query-to-image",))


def estimate_word_index(info: SpaceInfo, recipe: str = EXACT) -> int:
    """Bytes that `build_word_index` takes on disk and, once scanned, as mapped memory.

    A recipe's index lies in memory once it is searched; the features it needs are counted as well, and what
    lies on a device is not.

    Raises:
        IndexBuildError: no such recipe.
    """
    found = _kl_recipe(recipe, info)
    if found is not None:
        from olrsearch.search.kl.build import DIRECTION

        features = estimate_memory(info.count, info.k, (DIRECTION,))
        inside, _ = _recipe_memory(found, info)
        return features + inside + 8 * info.count
    return estimate_memory(info.count, info.k) + info.count * (4 * len(info.labels) + 8)


def estimate_device(info: SpaceInfo, recipe: str) -> int:
    """Bytes on a device that building takes, and every process that asks what was built; 0 without one.

    Raises:
        IndexBuildError: no such recipe.
    """
    found = _kl_recipe(recipe, info)
    return 0 if found is None else _recipe_memory(found, info)[1]


def word_index_said(info: SpaceInfo) -> str:
    """What is kept of a space of posteriors, for people."""
    folder, total = info.index_path, len(info.segments)
    uuids = [segment.uuid for segment in info.segments]
    parts = [
        f"{direction} {sum((folder / KL / f'{uuid}.{direction}').is_dir() for uuid in uuids)}"
        for direction in DIRECTIONS
    ]
    scored = sum((folder / WORDS / f"{uuid}.json").is_file() for uuid in uuids)
    size = _bytes(folder / KL, folder / WORDS) / 1e6
    return (
        f"exact, by KL features; kept, of {total} segments: {', '.join(parts)}, word scores {scored} "
        f"({size:,.1f} MB)"
    )


def check_word_scores(info: SpaceInfo) -> None:
    """Whether what is kept of a space of posteriors is what it should be.

    Kept KL features are compared with their checksums, word scores with what is computed now.

    Raises:
        IndexBuildError: they are damaged, or not those of their segment.
        StoreCorruptError: kept word scores are damaged.
        VectorError: a posterior holds NaN or infinity, or is singular.
    """
    try:
        words = model_files.read_vocabulary(info.model_path).vectors
        segments = [open_segment(segment) for segment in info.segments]
    except (ModelFileError, StoreCorruptError, StoreVersionError):
        return  # which is reported as what it is, as other faults are
    if words.shape[1] != info.k or any(list(verify_segment(segment)) for segment in info.segments):
        return
    folder = info.index_path / KL
    frame = read_frame(folder / FRAME, info.k)
    for segment in segments:
        uuid = segment.info.uuid
        if frame is not None:
            _check_features(folder, segment, frame, uuid)
        kept = read_ratios(info.index_path / WORDS, segment, words, segment=uuid)
        if kept is None:
            continue
        now = compute_ratios(segment, words)
        pairs = ((kept.own, now.own), (kept.background, now.background))
        if not all(np.allclose(one, other, _TOLERANCE, _TOLERANCE) for one, other in pairs):
            raise IndexBuildError(
                f"{info.index_path / WORDS / uuid}.npy does not hold its segment's word scores: run "
                "olrsearch index build"
            )


def _check_features(folder: Path, segment: Segment, frame: Frame, uuid: str) -> None:
    for direction in DIRECTIONS:
        features = KlFeatures.open(folder, segment, frame, direction, segment=uuid)
        if features is not None and (faults := features.verify()):
            raise IndexBuildError(faults[0])


def check_kl_indexes(info: SpaceInfo) -> None:
    """Whether what recipes built of a space of posteriors is what was written.

    Raises:
        IndexBuildError: a file is missing or damaged.
    """
    from olrsearch.search.kl.built import faults

    for name in sorted(info.indexes):
        found = faults(info.index_path / name)
        if found:
            raise IndexBuildError(found[0])


def _kl_recipe(recipe: str, info: SpaceInfo) -> KlRecipe | None:
    """The KL recipe of a name or a file; None for `exact`."""
    from olrsearch.search.kl.recipes import kl_recipe_names, load_kl_recipe

    if recipe == EXACT:
        return None
    if recipe.endswith(".toml"):
        found = load_kl_recipe(Path(recipe))
        if found.name in {KL, WORDS, EXACT}:  # building it would replace what it is named after
            raise IndexBuildError(
                f"a recipe cannot be called {found.name!r}, which names what is built without one: rename it"
            )
        return found
    if recipe not in kl_recipe_names():
        raise IndexBuildError(
            f"the recipe {recipe!r} is not for {info.name}, which holds posteriors: expected {EXACT}, "
            f"{', '.join(kl_recipe_names())}, or a file"
        )
    return load_kl_recipe(recipe)


def _recipe_memory(recipe: KlRecipe, info: SpaceInfo) -> tuple[int, int]:
    """Bytes that a recipe's index takes in memory and on disk, and on a device."""
    from olrsearch.search.kl.recipes import estimate_kl_memory

    taken = estimate_kl_memory(recipe, info.count, feature_size(info.k))
    if recipe.kind == "torch":
        return 0, taken
    return taken, taken if recipe.parameters.device == "cuda" else 0


def _bytes(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
