"""P6: is a label embedding more than a probability?

OLR's loss is minimised exactly by e(x) = p(x)·v with ‖v‖ = 1, which holds the probability and nothing
else. So every question is asked of that surrogate too, and "richer" is claimed only where an interval
of the difference excludes 0.

Source: paper 001, sections 4.2 (correlations of norms) and 4.3 (principal components).

Notation: L labels, k numbers a label, G images of the gallery, R resamples.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.attributes import nan_mean
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, cluster_weights, interval, paired_difference
from olrsearch.evaluation.data import image_major
from olrsearch.evaluation.looks.components import effective_rank, principal_axes
from olrsearch.evaluation.looks.correlations import gallery_correlations
from olrsearch.evaluation.metrics import (
    average_precision,
    influence_by_steps,
    label_average_precision,
    pearson_rows,
    ranked,
)
from olrsearch.evaluation.probe import fit_on_selection
from olrsearch.evaluation.queries import conjunction_scores, judge
from olrsearch.evaluation.query_set import generate_queries
from olrsearch.evaluation.report import Report, Table
from olrsearch.evaluation.similar import run_similar
from olrsearch.maths.linear import LinearProblem

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8, I64, Floats
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.looks.correlations import NormCorrelation
    from olrsearch.evaluation.query_set import QuerySet
    from olrsearch.maths.metric import Metric

_log = logging.getLogger(__name__)

TRAIN_ROWS = 6000
OTHERS_STRENGTH = 0.01
PROBE_STRENGTHS = (1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, slots=True)
class LabelRichness:
    """One label's embedding.

    Attributes:
        label: Its name.
        pc1_share: Share of variance along the first principal component.
        pc2_share: Along the second.
        effective_rank: exp(entropy of the covariance's normalised eigenvalues), 1 to k.
        surrogate_effective_rank: The same of p·v: 1.
        norm_r2: R² of ‖e‖ on p, linear.
        norm_r2_monotone: R² of the best increasing function of p.
        others_map: mAP of predicting the other labels from e^l.
        others_map_probability: The same from p^l and its logit.
        others_gain: Their difference, resampled by identity.
    """

    label: str
    pc1_share: float
    pc2_share: float
    effective_rank: float
    surrogate_effective_rank: float
    norm_r2: float
    norm_r2_monotone: float
    others_map: float
    others_map_probability: float
    others_gain: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RichnessReport(Report):
    """P6.

    Attributes:
        labels: One entry a label.
        mean: Mean over labels of every number in `labels`, by its name.
        others_gain: Interval of the mean over labels of what e^l adds over p^l for other labels.
        against_surrogate: What P2 and P3 gain over the surrogate p·v: `queries AP (linear probe)`,
            `similar nDCG@20`, `triplet accuracy`, `exemplar AP` → interval.
        richer: Names in `against_surrogate` (and `other labels mAP`) whose interval lies above 0.
        correlations: The paper's pairs that this data set has.
        correlation_agreement: Correlation, over all pairs of labels, of norm with label correlations.
    """

    labels: tuple[LabelRichness, ...]
    mean: dict[str, float]
    others_gain: Interval
    against_surrogate: dict[str, Interval]
    richer: tuple[str, ...]
    correlations: tuple[NormCorrelation, ...]
    correlation_agreement: float

    def tables(self) -> tuple[Table, ...]:
        """Against the surrogate, labels, correlations."""
        gains = {"other labels mAP": self.others_gain, **self.against_surrogate}
        surrogate = Table(
            "Embedding − surrogate p·v, 95 % intervals",
            ("question", "difference", "richer"),
            tuple((name, value, name in self.richer) for name, value in gains.items()),
        )
        columns = tuple(_NUMBERS.values())
        labels = Table(
            "Labels",
            ("label", *columns, "gain"),
            (
                *(
                    (row.label, *(getattr(row, key) for key in _NUMBERS), row.others_gain)
                    for row in self.labels
                ),
                ("mean", *(self.mean[key] for key in _NUMBERS), self.others_gain),
            ),
        )
        correlations = Table(
            "Correlations of norms, beside the paper's and the labels'",
            ("pair", "paper", "norms", "labels", "reached"),
            tuple(
                (f"{row.first} / {row.second}", row.paper, row.norms, row.labels, row.reached)
                for row in self.correlations
            ),
            note=f"Over all pairs of labels, norm and label correlations correlate at "
            f"{self.correlation_agreement:.3f}.",
        )
        return tuple(table for table in (surrogate, labels, correlations) if table.rows)


_NUMBERS = {
    "pc1_share": "PC1",
    "pc2_share": "PC2",
    "effective_rank": "eff. rank",
    "norm_r2": "R² norm on p",
    "norm_r2_monotone": "monotone R²",
    "others_map": "others from e",
    "others_map_probability": "others from p",
}


def run_richness(
    data: BenchData,
    *,
    metric: Metric | None = None,
    queries: QuerySet | None = None,
    seed: int = 0,
    train_rows: int = TRAIN_ROWS,
    resamples: int = RESAMPLES,
    command: str = "olrsearch bench richness",
) -> RichnessReport:
    """Measure P6.

    Args:
        data: Gallery, truth and embeddings.
        metric: The space's metric, for P3; chosen on the selection images when None.
        queries: Published queries of P2; drawn from this gallery when None.
        seed: Of every draw.
        train_rows: Training images the small models are fitted on, drawn once; all when fewer.
        resamples: Bootstrap resamples.
        command: What the report says to run.

    Raises:
        BenchmarkError: no training or selection images.
    """
    if not len(data.train) or not len(data.selection):
        raise BenchmarkError(
            f"{len(data.train)} training and {len(data.selection)} selection images: P6 fits models on both"
        )
    rng = np.random.default_rng([seed, 0x41C4])
    fitted = np.sort(rng.permutation(data.train)[:train_rows])
    embedding_ap, probability_ap, gains = _others(data, fitted, seed=seed, resamples=resamples)
    estimate = embedding_ap - probability_ap
    labels = tuple(
        _label(data, row, embedding_ap[row], probability_ap[row], interval(gains[row], float(estimate[row])))
        for row in range(len(data.label_names))
    )
    overall = interval(nan_mean(gains), float(nan_mean(estimate)))
    asked = generate_queries(data, seed=seed) if queries is None else queries
    similar = run_similar(data, metric=metric, queries=asked, seed=seed, resamples=resamples)
    against = {
        "queries AP (linear probe)": _probe_queries(data, asked, fitted, seed=seed, resamples=resamples),
        "similar nDCG@20": similar.ndcg20_differences["ours - surrogate"],
        "triplet accuracy": similar.triplet_differences["ours - surrogate"],
    }
    if similar.exemplar_differences:
        against["exemplar AP"] = similar.exemplar_differences["ours - surrogate"]
    correlations = gallery_correlations(data)
    return RichnessReport(
        protocol="P6",
        title="is the embedding more than a probability?",
        command=command,
        seed=seed,
        baseline="the surrogate p·v, which holds the probability and nothing else",
        data=data.summary(),
        notes=(
            *data.caveats(),
            f"Models of this report are fitted on {len(fitted)} of {len(data.train)} training images.",
            f"Others from e and from p are fitted with one C = {OTHERS_STRENGTH:g}; p comes with its logit.",
            "Intervals of `others` resample identities in the first-order expansion of average precision.",
            "Attribute queries by Σ log p need nothing but p: there the two are equal by construction.",
            "`queries AP` is that of a linear probe on everything, from E against from all p and logit p.",
        ),
        labels=labels,
        mean={key: float(np.nanmean([getattr(row, key) for row in labels])) for key in _NUMBERS},
        others_gain=overall,
        against_surrogate=against,
        richer=tuple(
            name for name, value in {"other labels mAP": overall, **against}.items() if value.low > 0
        ),
        correlations=correlations.paper,
        correlation_agreement=correlations.agreement,
    )


def norm_r2(norm: F64, probability: F64) -> tuple[float, float]:
    """R² of ‖e‖ on p: of the best line, and of the best increasing function.

    Args:
        norm: float64 [G].
        probability: float64 [G].

    Returns:
        Two numbers in 0 to 1; NaN when the norms are all alike.
    """
    variance = float(np.square(norm - norm.mean()).sum())
    if variance <= 1e-12 * float(np.square(norm).sum()):
        return float("nan"), float("nan")
    linear = float(pearson_rows(np.stack([norm, probability]))[0, 1]) ** 2
    # Equal probabilities get one value: their mean norm, weighted by how many they are.
    levels, member, count = np.unique(probability, return_inverse=True, return_counts=True)
    means = np.bincount(member, norm) / count
    fitted = (
        isotonic_regression(means, weights=count.astype(np.float64)).x[member]
        if len(levels) > 1
        else means[member]
    )
    return linear, 1 - float(np.square(norm - fitted).sum()) / variance


def _label(data: BenchData, row: int, from_e: float, from_p: float, gain: Interval) -> LabelRichness:
    vectors = data.embeddings[row][data.gallery].astype(np.float64)
    probability = np.exp(data.log_p[row][data.gallery].astype(np.float64))
    shares, _ = principal_axes(vectors)
    # The surrogate in the same k dimensions: any unit vector will do.
    direction = np.full(vectors.shape[1], vectors.shape[1] ** -0.5)
    linear, monotone = norm_r2(np.linalg.norm(vectors, axis=1), probability)
    return LabelRichness(
        label=data.label_names[row],
        pc1_share=float(shares[0]),
        pc2_share=float(shares[1]) if len(shares) > 1 else 0.0,
        effective_rank=effective_rank(shares),
        surrogate_effective_rank=effective_rank(principal_axes(probability[:, None] * direction)[0]),
        norm_r2=linear,
        norm_r2_monotone=monotone,
        others_map=from_e,
        others_map_probability=from_p,
        others_gain=gain,
    )


def _probability_features(data: BenchData, labels: slice, rows: I64) -> F32:
    """P and logit p of some labels, float32 [n, 2·labels]."""
    log_p, log_not_p = data.log_p[labels][:, rows], data.log_not_p[labels][:, rows]
    return np.concatenate([np.exp(log_p), log_p - log_not_p]).T.astype(np.float32)


def _others(data: BenchData, fitted: I64, *, seed: int, resamples: int) -> tuple[F64, F64, F64]:
    """MAP of the other labels from e^l and from p^l, float64 [L] twice, and resampled gains [L, R]."""
    truth = data.truth
    count = len(truth)
    results = np.full((2, count), np.nan)
    targets = data.labels[fitted]
    influence = np.zeros((count, truth.shape[1]))
    for label in range(count):
        others = np.arange(count) != label
        part = slice(label, label + 1)
        sources = (
            (data.embeddings[label][fitted], data.embeddings[label][data.gallery]),
            (_probability_features(data, part, fitted), _probability_features(data, part, data.gallery)),
        )
        for method, (train, gallery) in enumerate(sources):
            model = LinearProblem(train, targets[:, others]).solve(OTHERS_STRENGTH)
            scores = np.ascontiguousarray(model.decision(gallery).T)
            results[method, label] = nan_mean(label_average_precision(scores, truth[others]))
            each = [
                average_precision_influence(row, known)
                for row, known in zip(scores, truth[others], strict=True)
            ]
            influence[label] += (1 - 2 * method) * nan_mean(np.stack(each))
        _log.info(
            "P6: %s tells of the others %.4f, its probability %.4f",
            data.label_names[label],
            *results[:, label],
        )
    blocks = [
        influence @ (weights.astype(np.float64) - 1)
        for weights in cluster_weights(data.identity[data.gallery], seed=seed, resamples=resamples)
    ]
    return results[0], results[1], (results[0] - results[1])[:, None] + np.concatenate(blocks, axis=1)


def _probe_queries(data: BenchData, queries: QuerySet, fitted: I64, *, seed: int, resamples: int) -> Interval:
    """AP of P2's queries by Σ log p of a linear probe on E, minus that of one on all p and logit p."""
    signs = queries.signs(data.label_names)
    relevant, judged, _ = judge(signs, data.truth)
    everything = slice(0, len(data.label_names))
    precision = []
    for embedded in (True, False):
        train, held, gallery = (
            image_major(data.embeddings, rows) if embedded else _probability_features(data, everything, rows)
            for rows in (fitted, data.selection, data.gallery)
        )
        model = fit_on_selection(
            train, data.labels[fitted], held, data.labels[data.selection], strengths=PROBE_STRENGTHS
        )
        logits = model.decision(gallery).T.astype(np.float64)
        scores = conjunction_scores(signs, -np.logaddexp(0.0, -logits), -np.logaddexp(0.0, logits))
        order = ranked(np.where(judged, scores, -np.inf))
        precision.append(average_precision(np.take_along_axis(relevant, order, axis=1)))
    return paired_difference(precision[0], precision[1], seed=seed, resamples=resamples)


def average_precision_influence(scores: Floats, truth: I8) -> F64:
    """Derivative of a ranking's average precision by each image's weight, as `influence_by_steps`.

    Args:
        scores: float [G].
        truth: int8 [G]; images with 0 (unknown) have no influence.

    Returns:
        float64 [G]; NaN throughout without a positive.
    """
    known = np.flatnonzero(truth)
    order = known[ranked(scores[known])]
    relevant = truth[order] > 0
    if not relevant.any():
        return np.full(len(truth), np.nan)
    out = np.zeros(len(truth))
    out[order] = influence_by_steps(relevant, np.arange(1, len(order) + 1), np.cumsum(relevant))
    return out
