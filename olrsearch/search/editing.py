"""Edits of an image's embedding, with what a space's images say of labels.

Notation: N images of a space, L labels, k numbers a label.

Source: paper 000, section 4.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.maths.editing import replaced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, F64
    from olrsearch.search.query.edits import Edit
    from olrsearch.search.spaces.labels import OpenSpace

Way: TypeAlias = Literal["directions", "paper"]
"""How an embedding is changed: along directions through the vectors of all labels, or by replacing one."""


def check_way(way: str) -> None:
    """Refuse a way of editing that there is not.

    Raises:
        QueryError: it is none.
    """
    if way not in get_args(Way):
        raise QueryError(f"unknown way to edit {shown(way)}: expected one of {', '.join(get_args(Way))}")


def edited(
    opened: OpenSpace,
    embedding: F32,
    edits: Sequence[Edit],
    *,
    way: Way = "directions",
    seed: int | None = None,
) -> F32:
    """An embedding with some labels added and others removed.

    Args:
        opened: The space that it is of.
        embedding: float32 [L, k]; not changed.
        edits: Each label once, by its own name.
        way: `directions` moves all labels' vectors together, only as far as the asked labels need, and holds
            the logits of the others. `paper` replaces each asked label's vector: to add it, by the mean of
            the images that have it, or a sample; to remove it, by zero.
        seed: Of the samples of `paper`; the mean when None.

    Returns:
        float32 [L, k].

    Raises:
        QueryError: no such way, or a seed where nothing is drawn.
        FitError: too few images to fit to; for `paper`, images that have the label by their stored labels.
    """
    check_way(way)
    if seed is not None and way != "paper":
        raise QueryError("a seed is of samples, which --way paper takes: leave it out, or edit that way")
    labels = opened.info.labels
    if way == "directions":
        return _moved(opened, embedding, [(labels.index(edit.label), edit) for edit in edits])
    out = embedding
    for edit in edits:
        label = labels.index(edit.label)
        # Removed altogether, a label needs no Gaussian.
        needed = edit.added or edit.strength < 1
        vector = _vector(opened, label, seed) if needed else np.zeros(opened.view.size)
        out = replaced(out, label, vector, added=edit.added, strength=edit.strength)
    return out


def logits_of(opened: OpenSpace, embedding: F32) -> F64:
    """Calibrated logits of one embedding float32 [L, k], float64 [L]."""
    raw = opened.readout.logits(embedding[:, None, :])
    return opened.calibration.logits(raw, range(len(opened.info.labels)))[:, 0]


def _moved(opened: OpenSpace, embedding: F32, edits: Sequence[tuple[int, Edit]]) -> F32:
    directions, now = opened.directions, logits_of(opened, embedding)
    nats: dict[int, float] = {}
    for label, edit in edits:
        far = directions.target(label, added=edit.added, strength=edit.strength) - float(now[label])
        # What shows the label as strongly already stays: an edit never takes it the other way.
        nats[label] = max(far, 0.0) if edit.added else min(far, 0.0)
    return directions.moved(embedding, nats)


def _vector(opened: OpenSpace, label: int, seed: int | None) -> F64:
    """The mean of a label's Gaussian, or a sample of it, float64 [k]."""
    gaussian = opened.label_gaussian(label)
    drawn: F64 = (
        gaussian.mean[0] if seed is None else gaussian.sample(1, np.random.default_rng([seed, label]))[0, 0]
    )
    return drawn
