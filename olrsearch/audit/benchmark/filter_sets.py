"""How a set of entries that a method calls wrong compares with the first entries of a ranking, as many.

Notation: N images, L labels, E known entries, T of them wrong, C clusters (identities).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.benchmark.entry_ranking import EntryRanking

if TYPE_CHECKING:
    from olrsearch.audit.benchmark.entry_ranking import Entries
    from olrsearch.core.arrays import F64, I64, Bool, Floats

_AROUND: Final = 0.05
"""Share of a cut, on either side, that the precision *at* it is taken from."""


@dataclass(frozen=True, slots=True)
class SetFigures:
    """A set of entries that a method calls wrong, beside the first entries of a ranking, as many.

    Attributes:
        size: How many.
        precision: Share of wrong ones; NaN for an empty set.
        recall: Share of all wrong ones that are in it.
        ranked_precision: Of the first `size` entries of the ranking.
        ranked_recall: Likewise.
        more: Wrong entries that the ranking finds and the set does not, less those that only the set has.
    """

    size: int
    precision: float
    recall: float
    ranked_precision: float
    ranked_recall: float
    more: float


def set_figures(chosen: Bool, scores: Floats, entries: Entries) -> SetFigures:
    """A set beside a ranking.

    Args:
        chosen: bool [L, N], the set.
        scores: float [L, N] of the ranking, smaller = more suspicious.
        entries: What is wrong.

    Raises:
        BenchmarkError: another shape.
    """
    inside = entries.of_labels(chosen)
    size, found = int(inside.sum()), int((inside & entries.wrong).sum())
    ranking = EntryRanking.of(entries.of_labels(scores), entries.wrong)
    ranked = ranking.found(size)
    whole, part = max(1, ranking.errors), max(1, size)
    return SetFigures(
        size=size,
        precision=found / part if size else float("nan"),
        recall=found / whole,
        ranked_precision=ranked / part if size else float("nan"),
        ranked_recall=ranked / whole,
        more=ranked - found,
    )


def set_influence(chosen: Bool, scores: Floats, entries: Entries, cluster: I64) -> F64:
    """What each cluster adds to the ranking's recall less the set's, at the set's own size, float64 [C].

    The cut moves with the size of the set: with s and t whether an entry is in the set and among the first,
    h the ranking's precision at the cut and D the difference of found ones,
    ∂(D/T)/∂w_k = ((t_k − s_k)·(r_k − h) − r_k·D/T) / T.

    Args:
        chosen: bool [L, N].
        scores: float [L, N].
        entries: What is wrong.
        cluster: int64 [N].
    """
    inside = entries.of_labels(chosen).astype(np.float64)
    ranking = EntryRanking.of(entries.of_labels(scores), entries.wrong)
    size, errors = int(inside.sum()), max(1, ranking.errors)
    first = _membership(ranking, size)
    low, high = int(size * (1 - _AROUND)), min(ranking.flagged, int(np.ceil(size * (1 + _AROUND))))
    at_cut = (ranking.found(high) - ranking.found(low)) / max(1, high - low)
    difference = ranking.found(size) - float(inside @ entries.wrong)
    each = (first - inside) * (entries.wrong - at_cut) - entries.wrong * (difference / errors)
    count = int(cluster.max(initial=-1)) + 1
    added = np.bincount(cluster[entries.image], weights=each / errors, minlength=count)
    return added.astype(np.float64, copy=False)


def _membership(ranking: EntryRanking, cut: int) -> F64:
    """Whether each entry is among the first `cut`, float64 [E]; a share for those of the step that is cut."""
    cut = min(cut, ranking.flagged)
    out = np.zeros(len(ranking.order))
    if cut:
        step = int(np.searchsorted(ranking.ends, cut))
        before = int(ranking.ends[step - 1]) if step else 0
        out[ranking.order[:before]] = 1.0
        end = int(ranking.ends[step])
        out[ranking.order[before:end]] = (cut - before) / (end - before)
    return out
