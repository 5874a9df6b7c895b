"""Similarity queries: images like this one, by labels, and by vectors from anywhere.

Notation: N images (rows of a view), L labels, k numbers a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np

from olrsearch.core.errors import QueryError, VectorError
from olrsearch.core.names import LabelNames
from olrsearch.core.shown import shown
from olrsearch.search.index.label import combine
from olrsearch.search.index.view import without
from olrsearch.search.page import Page, by_hit, length_notes, ranked
from olrsearch.search.query.ast import MAX_WEIGHT, quote_name, spell_weight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from olrsearch.core.arrays import F32, F64, I8, I64, Bool
    from olrsearch.search.index.built import BuiltIndex
    from olrsearch.search.index.label import LabelIndexes
    from olrsearch.search.index.view import EmbeddingView
    from olrsearch.search.page import Share

_T = TypeVar("_T")

_NO_SPREAD = 1e-12
"""Distances that vary less are all alike, and there is nothing to balance."""

By: TypeAlias = "str | Sequence[str] | Mapping[str, float] | None"
"""Labels that count: one, several, several with weights, or all (None)."""

Source: TypeAlias = "int | F32"
"""Where a label's vector comes from: an image of the view by id, a whole embedding
float32 [L, k] (of a file that is in no store), or a vector float32 [k]."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What one label is compared with.

    Attributes:
        label: The label's position.
        vector: float32 [k].
        weight: Factor on its scaled distance, > 0.
    """

    label: int
    vector: F32
    weight: float = 1.0


def compose(
    view: EmbeddingView,
    label_names: Sequence[str],
    *,
    like: Source | None = None,
    by: By = None,
    with_: Mapping[str, Source] | None = None,
) -> tuple[Target, ...]:
    """The vectors a similarity query compares with, label by label.

    `like` gives the vectors of the labels in `by`. `with_` replaces single labels' vectors,
    or adds labels: "this face, but with that one's hair" is `like=this, with_={"Wavy_Hair": that}`,
    and without `like` the labels in `with_` are all that count.

    Args:
        view: The images.
        label_names: The L names; those given match them as in queries.
        like: An image's id, or an embedding float32 [L, k].
        by: The labels that count, with weights > 0 if wished; all when None.
        with_: For single labels, an image's id, an embedding [L, k] or a vector [k].

    Returns:
        One target a label, by position.

    Raises:
        QueryError: nothing to compare with, an unknown or ambiguous label, a label given twice,
            or a weight that is not above 0.
        UnknownImageError: an id is not in the view.
        VectorError: a vector has another shape or holds NaN or infinities.
    """
    names = LabelNames(label_names)
    weights = _weights(by, names)
    sources = _by_position(with_ or {}, names)
    vectors: dict[int, F32] = {}
    if like is None:
        if not sources:
            raise QueryError("a similarity query needs an image, or a vector for at least one label")
        left = sorted(set(weights) - set(sources)) if by is not None else []
        if left:
            raise QueryError(
                f"no image to take {names.names[left[0]]} from: name an image, or give it one with its label"
            )
    else:
        base = view.embedding(like) if isinstance(like, int | np.integer) else like
        if base.shape != (view.labels, view.size):
            raise VectorError(f"an embedding has shape {base.shape}, expected ({view.labels}, {view.size})")
        vectors = {label: base[label] for label in weights}
    vectors |= {label: _vector(source, label, view) for label, source in sources.items()}
    targets = []
    for label in sorted(vectors):
        vector = vectors[label]
        if not np.isfinite(vector).all():
            raise VectorError(f"the vector for {names.names[label]} holds NaN or infinities")
        targets.append(Target(label, np.array(vector, np.float32), weights.get(label, 1.0)))
    return tuple(targets)


def similar(
    indexes: LabelIndexes,
    label_names: Sequence[str],
    targets: Sequence[Target],
    *,
    built: BuiltIndex | None = None,
    exclude: Collection[int] = (),
    count: int = 20,
    offset: int = 0,
    min_score: float | None = None,
    allowed: Bool | None = None,
) -> Page:
    """Rank all images by the sum of scaled label distances from the targets.

    The answer is exact unless `built` is given and covers the query: one label, or all
    labels equally, without filter or cut-off.

    Args:
        indexes: The label indexes of the view.
        label_names: The L names, for the contributions.
        targets: What to compare with, from `compose`.
        built: Indexes of a recipe over the same label indexes.
        exclude: Ids left out, such as the query image's own.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        min_score: Cut-off on the score (minus the distance).
        allowed: bool [N] in the view's rows, the images that count; all when None.

    Returns:
        Hits by rising distance. The contributions, one a label in the labels' order, add up
        to the score (to float32 precision).

    Raises:
        VectorError: no targets, a label twice, or a bad vector or weight.
        QueryError: the cut-off is NaN.
    """
    view = indexes.view
    if min_score is not None and np.isnan(min_score):
        raise QueryError("the cut-off is not a number, expected a distance such as 3")
    if len({target.label for target in targets}) != len(targets):
        raise VectorError("a label occurs twice among the targets of a similarity query")
    if built is not None and allowed is None and min_score is None:
        page = _from_built(built, label_names, targets, exclude, count, offset)
        if page is not None:
            return page
    distances, factors = _combined(indexes, targets)
    return ranked(
        spell_targets(targets, label_names),
        view.ids,
        distances,
        lambda rows: _shares(indexes, label_names, targets, factors, rows),
        count=count,
        offset=offset,
        max_distance=None if min_score is None else -min_score,
        allowed=without(view, exclude, allowed),
    )


def _from_built(
    built: BuiltIndex,
    label_names: Sequence[str],
    targets: Sequence[Target],
    exclude: Collection[int],
    count: int,
    offset: int,
) -> Page | None:
    """The page that a recipe's index finds; None where it does not cover the query."""
    view, metric = built.indexes.view, built.indexes.metric
    if len(targets) == 1 and built.covers(targets[0].label):
        label: int | None = targets[0].label
        query = targets[0].vector
        factor = targets[0].weight / metric.scale[targets[0].label]
    elif len(targets) == view.labels and len({t.weight for t in targets}) == 1 and built.covers(None):
        label, factor = None, targets[0].weight
        query = np.stack([target.vector for target in sorted(targets, key=lambda target: target.label)])
    else:
        return None
    ids, found = built.search(label, query, offset + count, exclude=exclude)
    ids, distances = ids[offset:], found[offset:] * factor
    kept = without(view, exclude)
    candidates = len(view) if kept is None else int(kept.sum())
    return Page(
        query=spell_targets(targets, label_names),
        ids=ids,
        distances=distances,
        contributions=by_hit(
            _shares(built.indexes, label_names, targets, _scaled(built.indexes, targets), view.rows(ids)),
            len(ids),
        ),
        first_rank=offset + 1,
        candidates=candidates,
        total=candidates,
        exact=False,
        notes=length_notes(count, candidates, offset, candidates),
    )


def spell_targets(targets: Sequence[Target], label_names: Sequence[str]) -> str:
    """The labels that count, with their weights: `Smiling, Wavy_Hair^2`, or `all labels`."""
    if len(targets) == len(label_names) and all(target.weight == 1.0 for target in targets):
        return "all labels"
    return ", ".join(
        quote_name(label_names[target.label]) + spell_weight(target.weight) for target in targets
    )


def prototype(view: EmbeddingView, labels: I8, label: int) -> F32:
    """The mean vector μ_l of the images that have a label, float32 [k].

    Args:
        view: The images.
        labels: Stored labels int8 [N, L] in the view's rows.
        label: l.

    Raises:
        QueryError: no image has the label.

    Source: paper 001, equation 4.
    """
    rows = np.flatnonzero(labels[:, label] > 0)
    if not len(rows):
        raise QueryError(
            f"no image has the stored label number {label}: there is no mean to take; "
            "import labels, or compare with an image"
        )
    mean = view.gather(label, rows).mean(axis=0, dtype=np.float64)
    return np.asarray(mean, np.float32)


def _weights(by: By, names: LabelNames) -> dict[int, float]:
    """Weights of the labels in `by`, all 1 when it is None."""
    if by is None:
        return dict.fromkeys(range(len(names.names)), 1.0)
    if isinstance(by, str):
        by = [by]
    if not by:
        raise QueryError("no label to compare by: name at least one, or leave `by` out for all")
    if not isinstance(by, Mapping):
        if len(set(by)) != len(by):
            raise QueryError("a label is named twice: give it a weight instead")
        by = dict.fromkeys(by, 1.0)
    weights = _by_position(by, names)
    for label, weight in weights.items():
        if not 0 < weight <= MAX_WEIGHT:
            raise QueryError(
                f"the weight of {names.names[label]} must be a finite number above 0 "
                f"(up to {MAX_WEIGHT:g}), found {shown(weight)}"
            )
    return weights


def _by_position(given: Mapping[str, _T], names: LabelNames) -> dict[int, _T]:
    found: dict[int, _T] = {}
    for name, value in given.items():
        label = names.position(name)
        if label in found:
            raise QueryError(f"the label {names.names[label]} is named twice")
        found[label] = value
    return found


def _vector(source: Source, label: int, view: EmbeddingView) -> F32:
    if isinstance(source, int | np.integer):
        return np.asarray(view.gather(label, view.rows([int(source)]))[0])
    vector = source[label] if source.shape == (view.labels, view.size) else source
    if vector.shape != (view.size,):
        raise VectorError(
            f"a label's vector has shape {vector.shape}, expected ({view.size},) or a whole embedding "
            f"({view.labels}, {view.size})"
        )
    return vector


def _scaled(indexes: LabelIndexes, targets: Sequence[Target]) -> dict[int, float]:
    """What each label's distance is multiplied by where scales alone count."""
    scale = indexes.metric.scale
    return {target.label: float(target.weight / scale[target.label]) for target in targets}


def _combined(indexes: LabelIndexes, targets: Sequence[Target]) -> tuple[F64, dict[int, float]]:
    """Distances of all images, and the factor that each label's distance was multiplied by.

    Over the whole embedding each label's distance is divided by its scale, the same for every
    query: labels that say little of an image say little in the sum. Where some labels are
    named, each is to count as much as its weight says, however strong its exemplar is (inner
    products with a long vector spread far): their distances are divided by the standard
    deviation they have over all images in this very query.
    """
    factors = _scaled(indexes, targets)
    if not 1 < len(targets) < indexes.view.labels:
        queries = {target.label: target.vector for target in targets}
        weights = {target.label: target.weight for target in targets}
        return combine(indexes, queries, weights), factors
    total = np.zeros(len(indexes.view))
    for target in targets:
        found = indexes.of(target.label).distances(target.vector)
        spread = float(found.std(dtype=np.float64)) if len(found) else 0.0
        if spread > _NO_SPREAD:
            factors[target.label] = target.weight / spread
        total += found * factors[target.label]
    return total, factors


def _shares(
    indexes: LabelIndexes,
    label_names: Sequence[str],
    targets: Sequence[Target],
    factors: Mapping[int, float],
    rows: I64,
) -> list[Share]:
    shares: list[Share] = []
    for target in targets:
        index = indexes.of(target.label)
        found = index.distances_of(target.vector, rows).astype(np.float64) * factors[target.label]
        shares.append((label_names[target.label] + spell_weight(target.weight), -found, None))
    return shares
