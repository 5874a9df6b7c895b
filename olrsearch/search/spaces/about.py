"""What is asked of spaces of every kind: what they hold, their calibration, the labels of their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.counted import counted
from olrsearch.core.errors import EmptyStoreError, IncompatibleEncoderError, IndexBuildError
from olrsearch.core.shown import shown
from olrsearch.maths.calibration import Calibration
from olrsearch.store.vectors.layout import FIT, HELD, POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, I8, I64, Bool, Layout
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo


def check_layout(info: SpaceInfo, layout: Layout, command: str) -> None:
    """Refuse a space of another layout, and one that holds nothing.

    Args:
        info: The space.
        layout: Expected.
        command: What asks spaces of the layout it has.

    Raises:
        EmptyStoreError: nothing has been encoded into the space.
        IncompatibleEncoderError: the space is of another layout.
    """
    if info.layout != layout:
        raise IncompatibleEncoderError(
            f"the space {info.name} holds {HELD[info.layout]}, no {HELD[layout]}: ask it with `{command}`, "
            "or name another space"
        )
    if not info.segments:
        held = HELD[layout].rpartition(" ")[2]
        raise EmptyStoreError(f"the space {info.name!r} holds no {held} yet: run olrsearch encode")


def stored_calibration(info: SpaceInfo) -> Calibration:
    """The stored calibration; the identity where there is none."""
    if info.calibration is None:
        return Calibration.identity(len(info.labels))
    return Calibration.from_dict(info.calibration)


def check_built(info: SpaceInfo, recipe: str) -> None:
    """Refuse a recipe that has built nothing for a space.

    Raises:
        IndexBuildError: it has not.
    """
    if recipe in info.indexes:
        return
    from olrsearch.search.index.recipe import recipe_names
    from olrsearch.search.kl.recipes import kl_recipe_names

    built = ", ".join(sorted(info.indexes)) or "none"
    recipes = kl_recipe_names() if info.layout == POSTERIOR else recipe_names()
    advice = (
        f"run olrsearch index build --recipe {recipe} --space {info.name}"
        if recipe in recipes
        else f"recipes for {HELD[info.layout]} are {', '.join(recipes)}, or a file for olrsearch index build"
    )
    raise IndexBuildError(f"no index {shown(recipe)} in {info.name}, built are: {built}; {advice}")


def check_any(info: SpaceInfo, count: int, purpose: str) -> None:
    """Refuse a space whose images are all deleted.

    Raises:
        EmptyStoreError: `count`, of those that live, is 0.
    """
    if not count:
        raise EmptyStoreError(f"every image of {info.name} is deleted: there is nothing to {purpose}")


def coverage_notes(snapshot: Snapshot, info: SpaceInfo, count: int, held: str) -> tuple[str, ...]:
    """Says so where living images have nothing in a space and are not in the answer.

    Args:
        snapshot: The generation.
        info: The space.
        count: Living images in it.
        held: What an image has there.
    """
    missing = snapshot.image_count - count
    if missing <= 0:
        return ()
    return (
        f"{counted(missing, 'image has', 'images have')} no {held} in {info.name} yet: run olrsearch encode",
    )


def calibration_notes(snapshot: Snapshot, info: SpaceInfo, calibration: Calibration) -> tuple[str, ...]:
    """What a reader of a space's probabilities must know of their calibration: none, stale or shipped.

    Args:
        snapshot: The generation.
        info: The space, of either layout.
        calibration: What it has, or the identity.
    """
    labelled = known_labels(snapshot, info)
    fitted, now = calibration.label_revision, snapshot.label_revision
    if info.calibration is None:
        return (
            "probabilities are not calibrated: run olrsearch calibrate"
            if labelled
            else "probabilities are not calibrated, and no label is stored to fit them to",
        )
    if fitted is None:
        advice = ": run olrsearch calibrate to fit them to the labels of this store" if labelled else ""
        return (f"probabilities are calibrated on {calibration.split}{advice}",)
    if calibration_is_stale(info, snapshot):
        note = f"the calibration is of label revision {fitted}, the labels are at {now}"
        return (f"{note}: run olrsearch calibrate to bring it up to date",)
    return ()


def calibration_is_stale(info: SpaceInfo, snapshot: Snapshot) -> bool:
    """Whether stored labels changed since a space was calibrated to them.

    One that came with the encoder was fitted to other labels, which do not change.
    """
    fitted = None if info.calibration is None else info.calibration["label_revision"]
    return fitted is not None and fitted != snapshot.label_revision


def known_labels(snapshot: Snapshot, info: SpaceInfo) -> tuple[str, ...]:
    """The labels of a space's encoder that the store has too."""
    return tuple(name for name in info.labels if name in snapshot.label_names)


def stored_labels(snapshot: Snapshot, ids: I64, names: Sequence[str]) -> I8:
    """Effective stored labels, int8 [n, len(names)]; 0, unknown, for labels the store has never heard of.

    An encoder from elsewhere may know labels that no data set of this store has.
    """
    known = [column for column, name in enumerate(names) if name in snapshot.label_names]
    found = np.zeros((len(ids), len(names)), np.int8)
    if known:
        found[:, known] = snapshot.labels(ids, [names[column] for column in known])
    return found


def matching(snapshot: Snapshot, ids: I64, where: str, info: SpaceInfo | None = None) -> Bool:
    """Which of some images a condition selects.

    Args:
        snapshot: The generation.
        ids: int64 [n], images of it.
        where: `partition = 'test' and Smiling = present`; columns of images, stored labels, and `fit`.
        info: The space whose fits are meant; the newest that has any when None.

    Returns:
        bool [n].

    Raises:
        QuerySyntaxError: it does not parse, or names another column.
        QueryError: it names a partition or a data set that the store does not have, or fits where none are
            known and it does not ask for such images.
    """
    from olrsearch.search.filter_values import check_named_parts, parse_condition
    from olrsearch.search.filters import allowed_rows, tests_column, tests_labels
    from olrsearch.search.query.where import IsNull, tests_of
    from olrsearch.search.spaces.fits import known_fits
    from olrsearch.store.read.columns import FILTER_COLUMNS

    node = parse_condition(where, snapshot)
    check_named_parts(node, snapshot)
    measured: dict[str, F32] = {}
    if tests_column(node, FIT):
        may_lack = any(isinstance(test, IsNull) and test.column == FIT for test in tests_of(node))
        measured[FIT] = known_fits(snapshot, ids, info, may_lack=may_lack)
    return allowed_rows(
        node,
        ids,
        columns=FILTER_COLUMNS,
        select_ids=snapshot.image_ids,
        texts=lambda column: snapshot.columns(ids, [column])[column],
        stored=snapshot.labels(ids) if tests_labels(node) else None,
        label_names=snapshot.label_names,
        measured=measured,
    )
