"""How labels go together: in the norms of their embeddings, and as they are stored.

Source: paper 001, section 4.2, figure 4.

Notation: L labels, n images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.data import find_label
from olrsearch.evaluation.metrics import pearson_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64, I8, Bool, Floats
    from olrsearch.evaluation.data import BenchData

PAPER_CORRELATIONS = (
    ("Male", "Heavy_Makeup", -0.8),
    ("Wearing_Lipstick", "Attractive", 0.7),
    ("Big_Nose", "Male", 0.6),
    ("Double_Chin", "Gray_Hair", 0.5),
    ("Bald", "Young", -0.3),
    ("Big_Lips", "Attractive", 0.3),
    ("High_Cheekbones", "Attractive", 0.3),
    ("Bald", "Attractive", -0.2),
    ("Smiling", "Attractive", 0.2),
)
"""Correlations of norms that paper 001 names in section 4.2, the strongest first."""

COUNTED = 7
"""Of these, the first so many (|r| ≥ .3) are judged by their distance, the others by their sign."""

TOLERANCE = 0.15
STRONGEST = 10
"""Pairs listed in each direction."""
_LEAST_IMAGES = 3


@dataclass(frozen=True, slots=True)
class LabelPair:
    """Two labels.

    Attributes:
        first: A label.
        second: Another.
        norms: Correlation of the norms of their embeddings.
        labels: Correlation of the stored labels; NaN where too few are known.
    """

    first: str
    second: str
    norms: float
    labels: float


@dataclass(frozen=True, slots=True)
class NormCorrelation:
    """One pair of labels of the paper.

    Attributes:
        first: A label.
        second: Another.
        paper: The correlation of norms it reports.
        norms: Here.
        labels: Correlation of the stored labels; NaN where too few are known.
        reached: The sign of the paper, and at most .15 away.
    """

    first: str
    second: str
    paper: float
    norms: float
    labels: float
    reached: bool


@dataclass(frozen=True, slots=True, eq=False)
class NormCorrelations:
    """Figure 4 of the paper: correlations of ‖e^l‖ between labels, beside those of the labels.

    Attributes:
        images: How many images it was measured on.
        label_names: L names.
        order: Positions of the labels such that those whose norms go together stand together.
        norms: float64 [L, L], Pearson correlations of norms, in the order of `label_names`.
        labels: float64 [L, L], those of the stored labels over images where both are known; NaN
            where none can be measured.
        agreement: Correlation of the two over all pairs; NaN where there are too few.
        together: The pairs whose norms correlate most, strongest first.
        apart: The pairs whose norms correlate most negatively, strongest first.
        paper: The pairs the paper names that are among the labels.
        notes: What a reader must know.
    """

    images: int
    label_names: tuple[str, ...]
    order: tuple[int, ...]
    norms: F64
    labels: F64
    agreement: float
    together: tuple[LabelPair, ...]
    apart: tuple[LabelPair, ...]
    paper: tuple[NormCorrelation, ...]
    notes: tuple[str, ...] = ()


def correlate_norms(
    norms: Floats, labels: I8, label_names: Sequence[str], *, notes: tuple[str, ...] = ()
) -> NormCorrelations:
    """Correlate norms of label embeddings between labels, and the stored labels alike.

    Args:
        norms: float [L, n], ‖e^l‖ of every image.
        labels: int8 [L, n], the stored labels of the same images; −1, 0 unknown, +1.
        label_names: L names.
        notes: Handed through.

    Raises:
        BenchmarkError: fewer than three images, or shapes that do not fit each other.

    Source: paper 001, section 4.2.
    """
    if norms.shape != labels.shape or len(norms) != len(label_names):
        raise BenchmarkError(
            f"norms {norms.shape}, labels {labels.shape} and {len(label_names)} names do not fit each other"
        )
    images = norms.shape[1]
    if images < _LEAST_IMAGES:
        raise BenchmarkError(
            f"{images} images, expected at least {_LEAST_IMAGES} to correlate on: select more"
        )
    names = tuple(label_names)
    of_norms, of_labels = pearson_rows(norms), label_correlations(labels)
    together, apart = _strongest(names, of_norms, of_labels)
    return NormCorrelations(
        images=images,
        label_names=names,
        order=cluster_order(of_norms),
        norms=of_norms,
        labels=of_labels,
        agreement=_agreement(of_norms, of_labels),
        together=together,
        apart=apart,
        paper=_paper(names, of_norms, of_labels),
        notes=notes,
    )


def gallery_correlations(data: BenchData) -> NormCorrelations:
    """The correlations on the gallery, as reports state them."""
    norms = np.stack([np.linalg.norm(block[data.gallery], axis=1) for block in data.embeddings])
    return correlate_norms(norms, data.truth, data.label_names)


def label_correlations(labels: I8) -> F64:
    """Pearson correlations of stored labels, each over the images where both are known.

    Args:
        labels: int8 [L, n]; −1, 0 unknown, +1.

    Returns:
        float64 [L, L]; NaN where one of the two never varies on those images.
    """
    values = labels.astype(np.float64)
    known = np.abs(values)
    number = known @ known.T
    with np.errstate(invalid="ignore", divide="ignore"):
        # An unknown entry is 0: it adds nothing to a sum, and squares of known ones are 1.
        mean = (values @ known.T) / number
        spread = (1.0 - mean**2) * (1.0 - mean.T**2)
        out: F64 = ((values @ values.T) / number - mean * mean.T) / np.sqrt(spread)
    out[~(spread > 0)] = np.nan
    return np.clip(out, -1.0, 1.0)


def cluster_order(correlations: F64) -> tuple[int, ...]:
    """An order of labels in which those that correlate stand together, so that blocks show.

    Average linkage on the distance 1 − r, leaves turned so that neighbours are as near as the
    tree allows.

    Args:
        correlations: float64 [L, L], finite.

    Returns:
        L positions.

    Source: Bar-Joseph, Gifford and Jaakkola, "Fast optimal leaf ordering for hierarchical
        clustering" (2001).
    """
    if len(correlations) < 3:  # two leaves have one order, and no tree has fewer
        return tuple(range(len(correlations)))
    distance = np.maximum(1.0 - (correlations + correlations.T) / 2, 0.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return tuple(leaves_list(tree).tolist())


def _strongest(
    names: tuple[str, ...], norms: F64, labels: F64
) -> tuple[tuple[LabelPair, ...], tuple[LabelPair, ...]]:
    first, second = np.triu_indices(len(names), 1)
    values = norms[first, second]

    def listed(signed: F64, which: Bool) -> tuple[LabelPair, ...]:
        ranked = np.argsort(-signed, kind="stable")
        return tuple(
            LabelPair(names[a], names[b], float(norms[a, b]), float(labels[a, b]))
            for a, b in ((first[pair], second[pair]) for pair in ranked[which[ranked]][:STRONGEST])
        )

    return listed(values, values > 0), listed(-values, values < 0)


def _agreement(norms: F64, labels: F64) -> float:
    upper = np.triu_indices(len(norms), 1)
    both = np.stack([norms[upper], labels[upper]])
    both = both[:, np.isfinite(both).all(axis=0)]
    return float(pearson_rows(both)[0, 1]) if both.shape[1] > 1 else float("nan")


def _paper(names: tuple[str, ...], norms: F64, labels: F64) -> tuple[NormCorrelation, ...]:
    pairs = []
    for first, second, paper in PAPER_CORRELATIONS:
        a, b = find_label(names, first), find_label(names, second)
        if a is not None and b is not None:
            found = float(norms[a, b])
            reached = found * paper > 0 and abs(found - paper) <= TOLERANCE
            pairs.append(NormCorrelation(first, second, paper, found, float(labels[a, b]), reached))
    return tuple(pairs)
