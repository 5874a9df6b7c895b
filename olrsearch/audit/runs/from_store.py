"""From a store to what an audit stands on: its material and scorers, when it begins and opened again.

Notation: N images, L labels, k numbers a label, F folds, D = numbers of the whole embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.audit.scorers.contradictions import Contradictions
from olrsearch.audit.scorers.material import FOLDS, Material, identity_folds
from olrsearch.audit.scorers.registry import make_scorers
from olrsearch.audit.scorers.retired import RETIRED
from olrsearch.audit.scorers.rules import Rule
from olrsearch.core.arrays import blocks_of
from olrsearch.core.errors import AuditError, UnknownImageError
from olrsearch.core.names import LabelNames
from olrsearch.encoders.folder.card import read_card
from olrsearch.search.index.view import EmbeddingView
from olrsearch.search.spaces.about import matching
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.training_runs import run_array, run_behind
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.audit.scorers.protocol import Scorer
    from olrsearch.core.arrays import F32, I8, I64, Bool
    from olrsearch.store.audit_runs import RunFolder
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot

_SAMPLE = 20_000
"""Images that principal coordinates are found on."""
_BLOCK = 8192
"""Images whose whole embeddings are in memory together."""


class SpaceViews:
    """How images look to the encoder of a space; it is the same for every fold.

    Args:
        opened: The space.
        view: Its embeddings, memory-mapped.
        ids: int64 [N], images of the view, in the material's order.
        names: The material's L labels, whether the encoder knows them or not.

    Raises:
        AuditError: an image has no embedding in the view.
    """

    def __init__(self, opened: OpenSpace, view: EmbeddingView, ids: I64, names: Sequence[str]) -> None:
        self._view = view
        known = {name: column for column, name in enumerate(opened.info.labels)}
        self._columns = [known.get(name) for name in names]
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
        for rows in blocks_of(np.arange(count), _BLOCK):
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


def material_of_space(
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
        views=SpaceViews(opened, opened.view, ids, names),
        seed=seed,
    )
    return StoreMaterial(ids, found, seen, (*seen_notes(opened, seen), *opened.coverage_notes()))


def run_material(opened: OpenSpace, folder: RunFolder) -> Material:
    """The material of a run as it was begun.

    Raises:
        StoreCorruptError: an array is damaged.
        AuditError: embeddings of its images are gone.
    """
    config = folder.record["config"]
    names = tuple(config["labels"])
    return Material(
        names=names,
        given=np.asarray(folder.load("given")),
        fold=np.asarray(folder.load("fold")),
        identity=np.asarray(folder.load("identity")),
        views=reopened_views(opened, np.asarray(folder.load("ids")), names),
        twins=np.asarray(folder.load("twins")) if folder.has("twins") else None,
        seed=config["seed"],
    )


def reopened_views(opened: OpenSpace, ids: I64, names: Sequence[str]) -> SpaceViews:
    """The views of a run that was begun earlier; images that were deleted since are still there.

    Args:
        opened: The space.
        ids: int64 [N], the run's images.
        names: The run's labels.

    Raises:
        AuditError: an image has no embedding any more.
    """
    return SpaceViews(opened, EmbeddingView(opened.segments), ids, names)


def run_space(snapshot: Snapshot, folder: RunFolder) -> OpenSpace:
    """The space that a run looks at.

    Raises:
        UnknownSpaceError: it is gone.
    """
    return OpenSpace(snapshot, snapshot.space(folder.record["config"]["fingerprint"], LABELS))


def run_scorers(config: Mapping[str, Any]) -> tuple[Scorer, ...]:
    """The scorers of a run, in its order, with the rules it was given; without those no longer asked.

    Raises:
        AuditError: a scorer that this program does not know.
    """
    own = tuple(
        Rule(tuple(rule["labels"]), tuple(rule["names"]), tuple(rule["values"]), source="file")
        for rule in config["rules"]
    )
    made = make_scorers([name for name in config["scorers"] if name not in RETIRED])
    return tuple(Contradictions(own) if own and item.name == Contradictions.name else item for item in made)


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
    trained: I64 = run_array(run, "ids")
    held_back: Bool = run_array(run, "selection")
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
