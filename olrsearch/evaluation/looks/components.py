"""Principal components of one label's embeddings: how many directions they fill, and what one means.

Source: paper 001, section 4.3, figure 5.

Notation: L labels, n images, k numbers a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import BenchmarkError, QueryError
from olrsearch.evaluation.metrics import pearson_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64, I64, Floats

MOST_LABELS = 5
_FLAT = 1e-12
"""Of the vectors' own squared size: rounding leaves about 1e-16 where nothing varies."""


@dataclass(frozen=True, slots=True)
class ComponentLabel:
    """What a component says of a label.

    Attributes:
        label: Its name.
        correlation: Of the projections with the label's calibrated logit.
    """

    label: str
    correlation: float


@dataclass(frozen=True, slots=True)
class ComponentImage:
    """One image along a component.

    Attributes:
        rank: Its place when all images are ordered by their projection, 1 for the smallest.
        image_id: The image's stable id.
        key: The key its data set gave it.
        projection: Along the component, 0 for the mean embedding.
        probability: Calibrated probability of the label.
    """

    rank: int
    image_id: int
    key: str
    projection: float
    probability: float


@dataclass(frozen=True, slots=True)
class Components:
    """The principal components of one label's embeddings, and one of them in particular.

    Attributes:
        label: Whose embeddings.
        images: Of how many images.
        shares: k shares of variance, largest first; they add up to 1.
        effective_rank: exp(entropy of `shares`), 1 to k.
        component: Which component the rest is about, 1 for the first.
        own: Correlation of its projections with the label's own calibrated logit, ≥ 0: the
            component points to where the label is likelier.
        others: The labels whose logits correlate with it most, either way, strongest first.
        shown: Images evenly spaced in the order of their projections, smallest first.
        notes: What a reader must know.
    """

    label: str
    images: int
    shares: tuple[float, ...]
    effective_rank: float
    component: int
    own: float
    others: tuple[ComponentLabel, ...]
    shown: tuple[ComponentImage, ...] = ()
    notes: tuple[str, ...] = ()


def label_components(
    vectors: Floats, logits: Floats, label_names: Sequence[str], label: int, *, component: int = 1
) -> tuple[Components, F64]:
    """Principal components of a label's embeddings, and every image's projection along one of them.

    Args:
        vectors: float [n, k], the label's embeddings.
        logits: float [L, n], calibrated logits of all labels for the same images.
        label_names: L names.
        label: Position of the label.
        component: Which component, from 1.

    Returns:
        The components, without images, and float64 [n] projections of the centred vectors. The
        component's sign is such that the label's logit rises along it.

    Raises:
        QueryError: there is no such component.
        BenchmarkError: the vectors do not vary, or not along this component.

    Source: paper 001, section 4.3.
    """
    count, size = vectors.shape
    if not 1 <= component <= size:
        raise QueryError(f"no component {component}: {label_names[label]} has {size}, from 1 to {size}")
    shares, axes = principal_axes(vectors)
    if not np.isfinite(shares).all():
        raise BenchmarkError(
            f"the embeddings of {label_names[label]} do not vary over {count} images, so they have no "
            "principal components: select more images"
        )
    if shares[component - 1] <= _FLAT:
        filled = int((shares > _FLAT).sum())
        raise BenchmarkError(
            f"the embeddings of {label_names[label]} do not vary along component {component}: "
            f"they fill {filled} of {size}, choose one up to {filled}"
        )
    axis = axes[component - 1]
    projections: F64 = (vectors - vectors.mean(axis=0, dtype=np.float64)) @ axis
    # Calibrated logits rise with raw ones, so that both orient alike; a label that says nothing
    # of the component leaves the sign to the axis' largest number.
    found = _correlations(projections, logits)
    if found[label] < 0 or (found[label] == 0 and axis[np.argmax(np.abs(axis))] < 0):
        projections, found = -projections, -found
    ranked = [row for row in np.argsort(-np.abs(found), kind="stable").tolist() if row != label]
    return Components(
        label=label_names[label],
        images=count,
        shares=tuple(shares.tolist()),
        effective_rank=effective_rank(shares),
        component=component,
        own=float(found[label]),
        others=tuple(ComponentLabel(label_names[row], float(found[row])) for row in ranked[:MOST_LABELS]),
    ), projections


def evenly_spaced(projections: F64, count: int) -> tuple[I64, I64]:
    """Images at equal steps in the order of their projections, the ends included.

    A place between two images goes to the nearer one, and to the later one of two equally near.

    Args:
        projections: float64 [n]; equal ones stay in their order.
        count: How many images; all when there are fewer.

    Returns:
        Ranks int64 [m] from 1, rising, and the rows int64 [m] that have them.
    """
    order = np.argsort(projections, kind="stable")
    last, steps = len(order) - 1, min(count, len(order)) - 1
    # In whole numbers: a place halfway would hang on how a float was rounded.
    places = (2 * np.arange(steps + 1, dtype=np.int64) * last + steps) // max(1, 2 * steps)
    return places + 1, order[places]


def principal_axes(vectors: Floats) -> tuple[F64, F64]:
    """Shares of variance and directions of the principal components, largest share first.

    Args:
        vectors: float [n, k].

    Returns:
        float64 [k] summing to 1, NaN when nothing varies; and orthonormal rows, float64 [k, k].
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    values = np.maximum(values[::-1], 0.0)
    total = float(values.sum())
    floor = _FLAT * float(np.square(vectors, dtype=np.float64).sum())
    shares = values / total if total > floor else np.full(len(values), np.nan)
    return shares, axes.T[::-1]


def effective_rank(shares: F64) -> float:
    """exp(−Σ s·log s) of variance shares; 1 when all variance lies on a line.

    Source: Roy and Vetterli, "The effective rank" (2007), on eigenvalues of the covariance.
    """
    if not np.isfinite(shares).all():
        return float("nan")
    positive = shares[shares > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def _correlations(projections: F64, logits: Floats) -> F64:
    """Of one row with each of L others, float64 [L]; 0 for a constant one."""
    return np.array([pearson_rows(np.stack([projections, row]))[0, 1] for row in logits])
