"""Ranking metrics, one row a query or label.

Notation: Q queries (or labels), G images of the gallery. Everything takes *scores*, where larger
is better; equal scores are ordered by position, which is the order of image ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64, I8, I64, Bool, Floats


def ranked(scores: Floats) -> I64:
    """Positions from best to worst, ties by position.

    Args:
        scores: float [Q, G]; −inf sends an image to the end.

    Returns:
        int64 [Q, G].
    """
    return np.argsort(-scores, axis=-1, kind="stable")


def average_precision(relevant: Bool) -> F64:
    """Average precision of rankings: the mean, over relevant images, of the precision at their rank.

    Args:
        relevant: bool [Q, G], in ranking order.

    Returns:
        float64 [Q]; NaN where nothing is relevant.
    """
    hits = np.cumsum(relevant, axis=1, dtype=np.int64)
    ranks = np.arange(1, relevant.shape[1] + 1, dtype=np.float64)
    total = np.einsum("qg,qg->q", relevant, hits / ranks)
    return ratio(total, relevant.sum(axis=1))


def precision_at(relevant: Bool, cut: int) -> F64:
    """Share of relevant images among the first `cut`; missing images count as not relevant.

    Args:
        relevant: bool [Q, G], in ranking order.
        cut: The number of images looked at.

    Returns:
        float64 [Q].
    """
    first: F64 = relevant[:, :cut].sum(axis=1) / float(cut)
    return first


def r_precision(relevant: Bool) -> F64:
    """Precision at R, the number of relevant images; float64 [Q], NaN where nothing is relevant."""
    count = relevant.sum(axis=1)
    within = np.arange(relevant.shape[1]) < count[:, None]
    return ratio((relevant & within).sum(axis=1), count)


def ndcg_at(gains: Floats, cut: int, ideal: Floats | None = None) -> F64:
    """Discounted cumulative gain at `cut` over that of the best order; linear gain, log2 discount.

    Args:
        gains: float [Q, G] ≥ 0, in ranking order.
        cut: The number of images looked at.
        ideal: float [Q, G'], the gains that could have been ranked, in any order; `gains` when None.

    Returns:
        float64 [Q]; NaN where no gain is possible.
    """
    possible = gains if ideal is None else ideal
    top = min(cut, possible.shape[1])
    best = -np.sort(
        -np.partition(possible, possible.shape[1] - top, axis=1)[:, possible.shape[1] - top :], axis=1
    )
    return ratio(_dcg(gains[:, :cut]), _dcg(best))


def label_average_precision(scores: Floats, truth: I8) -> F64:
    """Average precision of each label over the images whose label is known.

    Args:
        scores: float [L, G], larger where the label is likelier.
        truth: int8 [L, G]; −1, 0 unknown, +1.

    Returns:
        float64 [L]; NaN where a label has no positive.
    """
    # Unknown entries are sent to the end: there they change no rank of a known one.
    order = ranked(np.where(truth == 0, -np.inf, scores))
    return average_precision(np.take_along_axis(truth, order, axis=1) > 0)


def weighted_average_precision(scores: Floats, truth: I8, weights: F32) -> F64:
    """Average precision of one ranking under many re-weightings of its images.

    An image of weight w counts as w equal images at one rank, as in
    `sklearn.metrics.average_precision_score(sample_weight=…)`. The order is sorted once, and only
    the weights *between* positives are summed, so a bootstrap costs one pass over `weights`.

    Args:
        scores: float [G].
        truth: int8 [G]; images with 0 (unknown) are left out.
        weights: float32 [G, R], R re-weightings.

    Returns:
        float64 [R]; NaN where the positives weigh nothing.
    """
    known = np.flatnonzero(truth)
    order = known[ranked(scores[known])]
    positions = np.flatnonzero(truth[order] > 0)
    if not len(positions):
        return np.full(weights.shape[1], np.nan)
    until = order[: positions[-1] + 1]
    starts = np.concatenate([[0], positions[:-1] + 1])
    everything = np.cumsum(np.add.reduceat(weights[until], starts, axis=0), axis=0, dtype=np.float64)
    weight = weights[order[positions]]
    found = np.cumsum(weight, axis=0, dtype=np.float64)
    # A positive of weight 0 before any weight has 0/0: it counts nothing either way.
    precision = np.divide(found, everything, out=np.zeros_like(found), where=everything > 0)
    return ratio(np.einsum("pr,pr->r", precision, weight), found[-1])


def influence_by_steps(relevant: Bool, ends: I64, hits: I64) -> F64:
    """Derivative of average precision by each entry's weight, at weights of 1, in ranking order.

    AP(w) ≈ AP(1) + Σ (w − 1)·influence to first order, so that a thousand resamples of thousands of
    rankings are one matrix product. Equal scores are one step, whose precision is that at its end. With r
    the relevance, g an entry's step, F and n the cumulative counts of relevant and of all entries at the end
    of a step, ΔF what a step adds and T the number of relevant ones,
    ∂AP/∂w_k = (r_k·F_g/n_g + Σ_{h ≥ g} ΔF_h·(r_k/n_h − F_h/n_h²) − r_k·AP) / T.

    Args:
        relevant: bool [E], in ranking order, some True.
        ends: int64 [H], entries up to the end of each step, ascending.
        hits: int64 [H], relevant ones among them.

    Returns:
        float64 [E].
    """
    gained, size = np.diff(hits, prepend=0).astype(np.float64), ends.astype(np.float64)
    precision = hits / size
    step = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    own = relevant * precision[step] - relevant * float(gained @ precision) / float(hits[-1])
    helped = relevant * np.cumsum((gained / size)[::-1])[::-1][step]
    hurt = np.cumsum((gained * precision / size)[::-1])[::-1][step]
    return (own + helped - hurt) / float(hits[-1])


def roc_auc(positive: Floats, negative: Floats) -> float:
    """Probability that a positive scores above a negative, ties counting half.

    Args:
        positive: float [P] scores.
        negative: float [M] scores.

    Returns:
        A number in 0 to 1; NaN when either is empty.
    """
    if not len(positive) or not len(negative):
        return float("nan")
    order = np.sort(negative)
    below = np.searchsorted(order, positive, side="left")
    not_above = np.searchsorted(order, positive, side="right")
    return float((below + not_above).mean() / (2 * len(order)))


def pearson_rows(values: Floats) -> F64:
    """Pearson correlations between rows; float64 [L, L], 0 for a constant row, 1 on the diagonal."""
    centred = values - values.mean(axis=1, keepdims=True, dtype=np.float64)
    scale = np.sqrt(np.einsum("ln,ln->l", centred, centred))
    centred /= np.where(scale > 0, scale, 1.0)[:, None]
    out: F64 = centred @ centred.T
    np.fill_diagonal(out, 1.0)
    return out


def _dcg(gains: Floats) -> F64:
    discount = 1.0 / np.log2(np.arange(2, gains.shape[1] + 2))
    return gains.astype(np.float64) @ discount


def finite_mean(values: Iterable[float]) -> float:
    """Mean of what is finite; NaN where nothing is."""
    usable = [value for value in values if np.isfinite(value)]
    return float(np.mean(usable)) if usable else float("nan")


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> F64:
    """A quotient element by element, float64; NaN where the denominator is not above 0."""
    out = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)
    return out
