"""What an audit stands against: chance, cleanlab, and a vote of the images that look most alike.

Two more baselines are scorers alone: *labels only* (`other-labels`) and *self-confidence* (`probability`).
cleanlab's three ranking scores of a binary task, `self_confidence`, `normalized_margin` and
`confidence_weighted_entropy`, all fall with p of the other value, so they rank as self-confidence does; what
differs is the same with its class thresholds taken off (`adjust_pred_probs`). Of its filters, pruning by
class, by noise rate and by both flag the same entries of a binary task.

Source: Northcutt, Jiang and Chuang, "Confident Learning", JAIR 70, 2021; cleanlab's `rank` and `filter`.

Notation: N images, L labels, D numbers an image.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from olrsearch.core.errors import BenchmarkError, OptionalDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, F64, I8, I64, Bool
    from olrsearch.core.progress import Track

Ranking: TypeAlias = Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
Filter: TypeAlias = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
]
FILTERS: Final[tuple[Filter, ...]] = (
    "prune_by_noise_rate",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
)
"""cleanlab's ways to say which entries are wrong, its default first; those that differ in a binary task."""

NEIGHBOURS: Final = 50
"""How many images vote in the whole embedding."""
_BLOCK = 512


def has_cleanlab() -> bool:
    """Whether cleanlab is installed; what needs it imports it then."""
    return find_spec("cleanlab") is not None


def random_scores(given: I8, *, seed: int) -> F32:
    """Chance, float32 [L, N]; NaN for unknown entries.

    Args:
        given: int8 [N, L].
        seed: Another seed, another order.
    """
    out = np.random.default_rng([seed, 0x0BA5]).random(given.T.shape, np.float32)
    out[given.T == 0] = np.nan
    return out


def cleanlab_scores(
    given: I8, probability: F32, *, method: Ranking = "self_confidence", adjusted: bool = False
) -> F32:
    """Label quality by cleanlab, each label a binary task, float32 [L, N]; NaN where there is no probability.

    Args:
        given: int8 [N, L].
        probability: float32 [L, N], that the label is present, out of fold.
        method: How quality follows from probabilities.
        adjusted: Whether class thresholds are taken off first (not for `confidence_weighted_entropy`).

    Raises:
        OptionalDependencyError: cleanlab is not installed.
        BenchmarkError: probabilities of another shape.
    """
    _require_cleanlab()
    from cleanlab.rank import get_label_quality_scores

    out = np.full(probability.shape, np.nan, np.float32)
    for label, rows, values, both in _tasks(given, probability):
        out[label, rows] = get_label_quality_scores(values, both, method=method, adjust_pred_probs=adjusted)
    return out


def cleanlab_filter(given: I8, probability: F32, *, by: Filter = "prune_by_noise_rate") -> Bool:
    """Entries that cleanlab calls wrong, each label a binary task, bool [L, N].

    Args:
        given: int8 [N, L].
        probability: float32 [L, N], that the label is present, out of fold.
        by: Its method (`filter_by`).

    Raises:
        OptionalDependencyError: cleanlab is not installed.
        BenchmarkError: probabilities of another shape.
    """
    _require_cleanlab()
    from cleanlab.filter import find_label_issues

    out = np.zeros(probability.shape, np.bool_)
    for label, rows, values, both in _tasks(given, probability):
        with warnings.catch_warnings():
            # It warns of classes of one example, of which it flags none.
            warnings.filterwarnings("ignore", message="May not flag all label issues")
            out[label, rows] = find_label_issues(values, both, filter_by=by, n_jobs=1)
    return out


def _require_cleanlab() -> None:
    if not has_cleanlab():
        raise OptionalDependencyError(
            "this needs the package cleanlab, which is not installed; run pip install 'olrsearch[audit]'"
        )


def whole_votes(material: Material, *, neighbours: int = NEIGHBOURS, track: Track) -> F32:
    """How many of the images that look most alike have each label: evidence, float32 [L, N].

    Neighbours are of other folds, by the Euclidean distance of features divided by their spread. The vote is
    the share of present ones among those whose label is known, with one vote more for the label's share in
    the other folds, so that equal votes are ordered by what is rare. NaN for a label with one class in the
    other folds.

    Args:
        material: Given labels, folds and features.
        neighbours: How many vote.
        track: Told of images.
    """
    out = np.full((material.labels, material.images), np.nan, np.float32)
    for fold in track(range(material.folds), total=material.folds, what="whole-vote", unit="folds"):
        outside, inside = material.outside(fold), material.inside(fold)
        given = material.given[outside]
        present, known = (given > 0).astype(np.float32), (given != 0).astype(np.float32)
        positives, all_known = present.sum(axis=0), known.sum(axis=0)
        share = positives / np.maximum(all_known, 1)
        reference, queries = material.views.features(fold, outside), material.views.features(fold, inside)
        for start, near in _nearest(reference, queries, min(neighbours, len(outside))):
            votes = (present[near].sum(axis=1) + share) / (known[near].sum(axis=1) + 1)
            votes[:, (positives == 0) | (positives == all_known)] = np.nan
            out[:, inside[start : start + len(near)]] = votes.T
    return out


def _nearest(reference: F32, queries: F32, count: int) -> Iterator[tuple[int, I64]]:
    """Rows of the `count` nearest, unordered: (first query, int64 [b, count]) a block of queries."""
    centre = reference.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = reference.std(axis=0, dtype=np.float64).astype(np.float32)
    spread[spread == 0] = 1
    reference = (reference - centre) / spread
    half = 0.5 * np.einsum("nd,nd->n", reference, reference)
    for start in range(0, len(queries), _BLOCK):
        block = (queries[start : start + _BLOCK] - centre) / spread
        distance = half - block @ reference.T  # less a constant of each query
        yield start, np.argpartition(distance, count - 1, axis=1)[:, :count]


def _tasks(given: I8, probability: F32) -> Iterator[tuple[int, I64, I64, F64]]:
    """Labels as cleanlab takes them: position, rows, values 0 and 1, and probabilities of both [n, 2].

    Labels without both values are left out: no method says anything about them.
    """
    if probability.shape != given.T.shape:
        raise BenchmarkError(
            f"probabilities {probability.shape} of labels {given.shape}: expected [L, N] of [N, L]"
        )
    for label in range(given.shape[1]):
        rows = np.flatnonzero((given[:, label] != 0) & np.isfinite(probability[label]))
        values = (given[rows, label] > 0).astype(np.int64)
        if 0 < values.sum() < len(values):
            present = probability[label, rows].astype(np.float64)
            yield label, rows, values, np.stack([1.0 - present, present], axis=1)
