"""From a store to the material of an audit: given labels, folds, and how images look to one encoder.

Notation: N images, L labels, k numbers a label, F folds, D = numbers of the whole embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.audit.scorers.material import FOLDS, Material, identity_folds
from olrsearch.core.errors import AuditError, UnknownImageError
from olrsearch.core.names import LabelNames
from olrsearch.encoders.folder.card import read_card
from olrsearch.pipeline.measuring import teacher_probabilities
from olrsearch.search.index.view import EmbeddingView
from olrsearch.search.spaces.about import matching
from olrsearch.store.training_runs import run_behind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.audit.scorers.material import Views
    from olrsearch.core.arrays import F32, I8, I64, Bool
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot

_SAMPLE = 20_000
"""Images that principal coordinates are found on."""
_BLOCK = 8192
"""Images whose whole embeddings are in memory together."""


class SpaceViews:
    """How images look to the encoder of a space; it is the same for every fold.

    Args:
        view: Embeddings, memory-mapped.
        ids: int64 [N], images of the view, in the material's order.
        columns: L positions of the material's labels among the encoder's; None for a label that the
            encoder does not know.

    Raises:
        AuditError: an image has no embedding in the view.
    """

    def __init__(self, view: EmbeddingView, ids: I64, columns: Sequence[int | None]) -> None:
        self._view = view
        self._columns = tuple(columns)
        try:
            self._rows = view.rows(ids)
        except UnknownImageError as error:
            raise AuditError(f"the embeddings of this audit are gone ({error}): audit again") from error
        self._in_order = len(view) == len(ids) and bool((self._rows == np.arange(len(ids))).all())

    def features(self, fold: int, rows: I64) -> F32:
        """The whole embedding of some images, float32 [n, L·k], gathered label by label."""
        del fold
        size = self._view.size
        out = np.empty((len(rows), self._view.labels * size), np.float32)
        wanted = self._rows[rows]
        for label in range(self._view.labels):
            out[:, label * size : (label + 1) * size] = self._view.gather(label, wanted)
        return out

    def embeddings(self, fold: int, label: int) -> F32:
        """e^l of all images, float32 [N, k]; a memory map where the store has it in this order.

        A label that the encoder does not know has the first k principal coordinates of the whole
        embedding instead: what images look like at large.
        """
        del fold
        column = self._columns[label]
        if column is None:
            return self._principal
        if self._in_order:
            return self._view.vectors(column)
        return self._view.gather(column, self._rows)

    @cached_property
    def _principal(self) -> F32:
        """Coordinates along the k axes of largest variance, float32 [N, k]."""
        count, size = len(self._rows), self._view.size
        sample = np.unique(np.linspace(0, count - 1, min(_SAMPLE, count)).astype(np.int64))
        features = self.features(0, sample)
        mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        features -= mean
        _, vectors = np.linalg.eigh(features.T @ features)
        axes = np.ascontiguousarray(vectors[:, ::-1][:, :size])
        out = np.empty((count, size), np.float32)
        for start in range(0, count, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, count))
            out[rows] = (self.features(0, rows) - mean) @ axes
        return out


@dataclass(frozen=True, slots=True, eq=False)
class StoreMaterial:
    """The material of an audit, and what a store knows of it.

    Attributes:
        ids: int64 [N], image ids, ascending.
        found: What scorers get.
        seen: bool [N], images whose labels the encoder learnt from; all False where that is not known.
        notes: What the reader of an audit must know of them.
    """

    ids: I64
    found: Material
    seen: Bool
    notes: tuple[str, ...] = ()


class _Part:
    """The views of some rows of a material."""

    def __init__(self, views: Views, rows: I64) -> None:
        self._views = views
        self._rows = rows

    def features(self, fold: int, rows: I64) -> F32:
        return self._views.features(fold, self._rows[rows])

    def embeddings(self, fold: int, label: int) -> F32:
        return self._views.embeddings(fold, label)[self._rows]


def material(
    backend: Backend,
    opened: OpenSpace,
    *,
    labels: Sequence[str] | None = None,
    where: str | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> StoreMaterial:
    """What an audit of a store's labels looks at: the images of a space, by id, with their effective labels.

    Args:
        backend: The store.
        opened: The space.
        labels: Which labels, in any spelling; when None all that are known of any of the images,
            whether the encoder knows them or not.
        where: Only images this selects.
        folds: F; no identity is in two.
        seed: Of everything random.

    Raises:
        AuditError: no label is known of these images, or they show fewer people than there are folds.
        UnknownLabelError: the store has no such label; carries the nearest names.
        QuerySyntaxError: a condition that does not parse.
    """
    snapshot = opened.snapshot
    ids = np.sort(opened.view.ids)
    if where is not None:
        ids = ids[matching(snapshot, ids, where)]
    names, given = _given(snapshot, ids, labels)
    identity = snapshot.columns(ids, ("identity",))["identity"]
    seen = _seen(backend, opened, ids)
    found = Material(
        names=names,
        given=given,
        fold=identity_folds(identity, folds=folds, seed=seed),
        identity=identity,
        views=_views(opened, opened.view, ids, names),
        seed=seed,
    )
    return StoreMaterial(ids, found, seen, (*seen_notes(opened, seen), *opened.coverage_notes()))


def reopened_views(opened: OpenSpace, ids: I64, names: Sequence[str]) -> SpaceViews:
    """The views of a run that was begun earlier; images that were deleted since are still there.

    Args:
        opened: The space.
        ids: int64 [N], the run's images.
        names: The run's labels.

    Raises:
        AuditError: an image has no embedding any more.
    """
    info = opened.info
    everything = EmbeddingView(opened.segments, labels=len(info.labels), size=info.k)
    return _views(opened, everything, ids, names)


def part_of(whole: Material, rows: I64, given: I8) -> Material:
    """Some images of a material, with other labels given; folds stay as they are.

    Args:
        whole: Not changed.
        rows: int64 [n], ascending.
        given: int8 [n, L].
    """
    twins = whole.twins
    if twins is not None:
        place = np.full(whole.images, -1, np.int64)
        place[rows] = np.arange(len(rows))
        moved = place[twins]
        twins = moved[(moved >= 0).all(axis=1)]
    return replace(
        whole,
        given=given,
        fold=whole.fold[rows],
        identity=whole.identity[rows],
        views=_Part(whole.views, rows),
        teacher=None if whole.teacher is None else whole.teacher[:, rows],
        twins=twins,
    )


def teacher_of(backend: Backend, opened: OpenSpace, ids: I64, names: Sequence[str]) -> F32:
    """Probabilities of the teacher of a space's encoder, float32 [L, N]; NaN where it cannot be asked.

    Args:
        backend: The store; one that can be written keeps the answers beside the teacher.
        opened: The space.
        ids: int64 [N].
        names: L labels; the teacher need not know them.
    """
    out = np.full((len(names), len(ids)), np.nan, np.float32)
    everything = np.sort(opened.view.ids)
    answers = teacher_probabilities(backend, opened, everything)
    if answers is not None:
        place = np.minimum(np.searchsorted(everything, ids), len(everything) - 1)
        there = everything[place] == ids
        column = {name: position for position, name in enumerate(opened.info.labels)}
        for label, name in enumerate(names):
            if name in column:
                out[label, there] = answers[column[name], place[there]]
    return out


def _views(opened: OpenSpace, view: EmbeddingView, ids: I64, names: Sequence[str]) -> SpaceViews:
    known = {name: column for column, name in enumerate(opened.info.labels)}
    return SpaceViews(view, ids, [known.get(name) for name in names])


def _given(snapshot: Snapshot, ids: I64, labels: Sequence[str] | None) -> tuple[tuple[str, ...], I8]:
    """Names of the labels to audit, in the order of the vocabulary, and their values int8 [N, L]."""
    everything = snapshot.label_names
    given = snapshot.labels(ids)
    known = (given != 0).any(axis=0)
    if labels is None:
        positions = np.flatnonzero(known).tolist()
    else:
        table = LabelNames(everything)
        positions = sorted({table.position(name) for name in labels})
        nothing = [everything[position] for position in positions if not known[position]]
        if nothing:
            raise AuditError(
                f"no image of these has a known value of {', '.join(nothing)}: leave such labels out"
            )
    if not positions:
        raise AuditError(
            f"no label is stored for any of {len(ids):,} images, so there is nothing to audit: import a "
            "data set with labels, or select images that have some"
        )
    return tuple(everything[position] for position in positions), np.ascontiguousarray(given[:, positions])


def _seen(backend: Backend, opened: OpenSpace, ids: I64) -> Bool:
    """Which images the encoder of a space was trained on, as far as this store can tell; bool [N]."""
    run = run_behind(backend.path, opened.info)
    if run is None:
        return np.zeros(len(ids), np.bool_)
    trained: I64 = np.load(run / "ids.npy")
    held_back: Bool = np.load(run / "selection.npy")
    return np.isin(ids, trained[~held_back])


def seen_notes(opened: OpenSpace, seen: Bool) -> tuple[str, ...]:
    """What the encoder's training means for the audit."""
    name, learnt = opened.info.name, "errors in what it learnt are found less often"
    if seen.any():
        count = f"{int(seen.sum()):,} of these {len(seen):,} images"
        return (f"the encoder of {name} was trained on the labels of {count}: {learnt}",)
    card = read_card(opened.info.model_path)
    if card is None or card.get("training") is None:
        return ()
    data = ", ".join(card["data"])
    return (f"the encoder of {name} was trained on {data}: where these images are among them, {learnt}",)
