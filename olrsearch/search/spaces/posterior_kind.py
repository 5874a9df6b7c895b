"""What is built, estimated and checked for a space of posteriors: KL features, word scores, KL recipes.

All of it is derived. Queries answer the same without features and scores: later, because they compute
them then. What a recipe builds is used where a query names it.

The functions are those of `protocol.SpaceKind`, which says what they do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import IndexBuildError, ModelFileError, StoreCorruptError, StoreVersionError
from olrsearch.core.shown import shown
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.maths.divergences import DIRECTIONS
from olrsearch.maths.kl_features import feature_size
from olrsearch.search.kl.kept_features import FRAME, KlFeatures, estimate_memory, read_frame
from olrsearch.search.kl.recall import WordSets
from olrsearch.search.kl.word_scores import compute_ratios, read_ratios
from olrsearch.search.spaces.posteriors import KL, WORDS, OpenPosteriors
from olrsearch.store.vectors.segments import open_segment, verify_segment

if TYPE_CHECKING:
    from olrsearch.core.progress import Track
    from olrsearch.search.kl.recipes import KlRecipe
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch.store.write.writer import Writer

EXACT: Final = "exact"
"""The recipe that adds nothing to the exact search."""

_TOLERANCE: Final = 1e-4
"""How far kept word scores may be from those computed now: another processor may round otherwise."""


def open_space(snapshot: Snapshot, info: SpaceInfo) -> OpenPosteriors:
    """A space opened for queries."""
    return OpenPosteriors(snapshot, info)


def build(writer: Writer, snapshot: Snapshot, info: SpaceInfo, recipe: str, track: Track) -> list[str]:
    """Build the KL features of both directions and the word scores, or the index of a KL recipe.

    Features and scores take the place of what there is; a recipe keeps those it needs and that are not kept.
    """
    opened, name, folder = OpenPosteriors(snapshot, info), info.name, info.index_path
    found = _kl_recipe(recipe, info)
    if found is None:
        opened.keep(DIRECTIONS, again=True, track=track)
        size, count = _bytes(folder / KL, folder / WORDS) / 1e6, len(opened.view)
        return [f"{name}: KL features of both directions and word scores of {count:,} images, {size:,.1f} MB"]
    from olrsearch.search.kl.build import DIRECTION, build_kl

    opened.keep((DIRECTION,), track=track)
    built = build_kl(opened.index, _word_sets(opened), found, folder / found.name)
    writer.spaces.add_index(info.id, found.name, built.to_dict())
    size = sum(file.bytes for file in built.files) / 1e6
    return [
        f"{name}: {found.name} of {built.count:,} images ({built.direction}), {size:,.1f} MB",
        *(
            f"{name}: {kind}, {built.queries[kind]} held out: recall@10 {recall.at_10:.3f}, "
            f"recall@100 {recall.at_100:.3f}"
            for kind, recall in built.recall.items()
        ),
    ]


def _word_sets(opened: OpenPosteriors) -> WordSets:
    """What a recipe is fitted to and measured on."""
    vocabulary, shrinkage = opened.vocabulary, opened.shrinkage
    return WordSets(len(vocabulary), vocabulary.size, lambda chosen: vocabulary.prior_of(chosen, shrinkage))


def estimate(info: SpaceInfo, recipe: str) -> tuple[int, int]:
    """Bytes that `build` takes on disk and, once scanned, as mapped memory; and on a device.

    A recipe's index lies in memory, or on its device, once it is searched; the features it needs are counted
    as well.
    """
    found = _kl_recipe(recipe, info)
    if found is None:
        return estimate_memory(info.count, info.k) + info.count * (4 * len(info.labels) + 8), 0
    from olrsearch.search.kl.build import DIRECTION
    from olrsearch.search.kl.recipes import estimate_kl_memory

    features = estimate_memory(info.count, info.k, (DIRECTION,)) + 8 * info.count
    taken = estimate_kl_memory(found, info.count, feature_size(info.k))
    return (features, taken) if found.kind == "torch" else (features + taken, 0)


def keep_new(snapshot: Snapshot, info: SpaceInfo) -> None:
    """Keep what a first query for words needs of segments that are new.

    That is word scores and query-to-image features; those of the other direction are left to `build`, because
    only likeness and image-to-query searches ask for them.
    """
    opened = OpenPosteriors(snapshot, info)
    if len(opened.view):
        opened.keep(("query-to-image",))


def kept(info: SpaceInfo) -> str:
    """What is kept of a space, for people."""
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


def unused(info: SpaceInfo) -> dict[str, str]:
    """Indexes of kinds that are no longer searched."""
    from olrsearch.search.kl.description import check_registered, retired_note

    notes = {}
    for name, registered in sorted(info.indexes.items()):
        if (note := retired_note(name, registered)) is not None:
            notes[name] = note
        else:
            check_registered(info.index_path / name, registered)
    return notes


def check(info: SpaceInfo) -> None:
    """Whether model, features, word scores and recipes' indexes of a space are what they should be.

    Kept KL features are compared with their checksums, word scores with what is computed now.
    """
    _check_model(info)
    _check_kept(info)
    from olrsearch.search.kl.built import verify

    for name in sorted(info.indexes.keys() - unused(info).keys()):
        if (info.index_path / name).exists():  # what is gone is named as such
            verify(info.index_path / name, info.indexes[name])


def _check_model(info: SpaceInfo) -> None:
    """Posteriors are of as many dimensions as the words' vectors, or no word could be compared with them."""
    try:
        config = model_config.read_config(info.model_path)
    except ModelFileError:
        return  # which is reported as what it is
    if model_config.layout_of(config) != info.layout or config["k"] != info.k:
        raise StoreCorruptError(
            f"{info.model_path} is no encoder of posteriors of {info.k} dimensions: copy the model again"
        )


def _check_kept(info: SpaceInfo) -> None:
    try:
        vocabulary = model_files.read_vocabulary(info.model_path)
        segments = [open_segment(segment) for segment in info.segments]
    except (ModelFileError, StoreCorruptError, StoreVersionError):
        return  # which is reported as what it is, as other faults are
    words = vocabulary.scored
    if vocabulary.size != info.k or any(list(verify_segment(segment)) for segment in info.segments):
        return
    folder = info.index_path / KL
    frame = read_frame(folder / FRAME, info.k)
    for segment in segments:
        uuid = segment.info.uuid
        for direction in DIRECTIONS:
            if frame is None:
                continue
            features = KlFeatures.open(folder, segment, frame, direction, segment=uuid)
            if features is not None:
                features.verify()
        ratios = read_ratios(info.index_path / WORDS, segment, words, segment=uuid)
        if ratios is None:
            continue
        now = compute_ratios(segment, words)
        pairs = ((ratios.own, now.own), (ratios.background, now.background))
        if not all(np.allclose(one, other, _TOLERANCE, _TOLERANCE) for one, other in pairs):
            raise IndexBuildError(
                f"{info.index_path / WORDS / uuid}.npy does not hold its segment's word scores: run "
                "olrsearch index build"
            )


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
            f"the recipe {shown(recipe)} is not for {info.name}, which holds posteriors: expected {EXACT}, "
            f"{', '.join(kl_recipe_names())}, or a file"
        )
    return load_kl_recipe(recipe)


def _bytes(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
