"""P3: faces like this one, this one's smile with that one's hair, and what identity leaks.

Methods:
* `ours`: the space's metric, each label's distance divided by its scale and summed;
* `whole`: squared L2 over all L·k numbers as they are;
* `probabilities`: squared L2 over the L calibrated probabilities;
* `surrogate`: the embedding p·v that holds the probability and nothing else, under the metric
  that suits *it* best;
* `random`.

Notation: L labels, G images of the gallery, Q query images or queries.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.arrays import blocks_of
from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, paired_difference
from olrsearch.evaluation.exemplars import EXEMPLARS, TRIPLETS, exemplar_precision, triplet_accuracy
from olrsearch.evaluation.metrics import finite_mean, ndcg_at, ranked, roc_auc
from olrsearch.evaluation.queries import MEASURES
from olrsearch.evaluation.query_set import QuerySet, generate_queries
from olrsearch.evaluation.report import Report, Table, label_table
from olrsearch.evaluation.spaces import LabelSpace, number_space
from olrsearch.maths.metric import choose_metric, metric_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from olrsearch.core.arrays import F32, F64, I8, I64, Bool
    from olrsearch.evaluation.data import BenchData
    from olrsearch.maths.metric import Metric

_log = logging.getLogger(__name__)

CUT = 20
MOST_FOR_IDENTITY = 4000
_BLOCK = 250


@dataclass(frozen=True, slots=True)
class Identity:
    """How much a method tells of *who* is in a picture.

    Attributes:
        auc: Probability that two images of one person are nearer than two of different persons.
        recall_at_1: Share of images, among those whose person has another, whose nearest is of the
            same person.
    """

    auc: float
    recall_at_1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarReport(Report):
    """P3.

    Attributes:
        metric: The metric of `ours`, such as `cosine, standardised`.
        query_images: How many images were asked with.
        ndcg20: Method → mean nDCG@20; gain = IDF-weighted Jaccard of stored labels.
        ndcg20_differences: `ours - whole`, … → interval by query image.
        label_names: The order of every per-label list.
        triplets: Method → mean over labels of triplet accuracy, by that label's vectors alone
            (`whole`: by everything).
        label_triplets: Method → float64 [L]; NaN for a label without triplets.
        triplet_differences: `ours - surrogate`, … → interval by label.
        exemplar_queries: How many two-label queries were asked with exemplars.
        exemplars: Method → measure as in P2 → mean. `attributes` is the same query asked by name.
        exemplar_differences: `ours - surrogate`, … → interval of AP by query.
        identity: Method → same-identity ROC-AUC and recall@1; `stored labels` are the true ones.
        identity_pairs: Pairs of images of one person.
    """

    metric: str
    query_images: int
    ndcg20: dict[str, float]
    ndcg20_differences: dict[str, Interval]
    label_names: tuple[str, ...]
    triplets: dict[str, float]
    label_triplets: dict[str, F64]
    triplet_differences: dict[str, Interval]
    exemplar_queries: int
    exemplars: dict[str, dict[str, float]]
    exemplar_differences: dict[str, Interval]
    identity: dict[str, Identity]
    identity_pairs: int

    def tables(self) -> tuple[Table, ...]:
        """Methods, differences, exemplars, identity, labels."""
        names = list(self.ndcg20)
        methods = Table(
            f"Similar faces ({self.query_images} query images; ours = {self.metric})",
            ("method", "nDCG@20", "triplet accuracy"),
            tuple((name, self.ndcg20[name], self.triplets[name]) for name in names),
        )
        differences = Table(
            "Paired differences, 95 % intervals (by query image, label and query)",
            ("pair", "nDCG@20", "triplet accuracy", "exemplar AP"),
            tuple(
                (pair, value, self.triplet_differences.get(pair), self.exemplar_differences.get(pair))
                for pair, value in self.ndcg20_differences.items()
            ),
        )
        exemplars = Table(
            f"This one's A and that one's B ({self.exemplar_queries} queries, {EXEMPLARS} pairs each)",
            ("method", "AP", "P@10", "P@20", "R-precision", "nDCG@20"),
            tuple((name, *(values[key] for key in MEASURES)) for name, values in self.exemplars.items()),
        )
        identity = Table(
            f"What they tell of identity ({self.identity_pairs} pairs of one person)",
            ("method", "ROC-AUC", "recall@1"),
            tuple((name, value.auc, value.recall_at_1) for name, value in self.identity.items()),
            note="Attributes describe a look, not a person.",
        )
        labels = label_table("Triplet accuracy by label", "label", self.label_names, self.label_triplets)
        return tuple(table for table in (methods, differences, exemplars, identity, labels) if table.rows)


def run_similar(
    data: BenchData,
    *,
    metric: Metric | None = None,
    queries: QuerySet | None = None,
    seed: int = 0,
    query_images: int = 500,
    resamples: int = RESAMPLES,
) -> SimilarReport:
    """Measure P3.

    Args:
        data: Gallery, truth and embeddings.
        metric: The space's metric; chosen on the selection images when None.
        queries: Published queries, of which those of class `A & B` are asked with exemplars; drawn
            from this gallery with `seed` when None.
        seed: Of query images, triplets, exemplars, the random baseline and the bootstrap.
        query_images: How many images to ask with; all of the gallery when there are fewer.
        resamples: Bootstrap resamples.

    Raises:
        BenchmarkError: a gallery of fewer than 3 images, or no selection images to choose a metric.
    """
    truth = data.truth
    images = truth.shape[1]
    if images < 3:
        raise BenchmarkError(f"a gallery of {images} images, expected 3 or more to compare distances in")
    ours = _chosen(data, data.embeddings) if metric is None else metric
    spaces = similarity_spaces(data, ours)
    rng = np.random.default_rng([seed, 0x51A1])
    asked = np.sort(rng.permutation(images)[:query_images]).astype(np.int64)

    idf = _idf(data)
    found = {name: _ndcg(space.block, asked, truth, idf) for name, space in spaces.items()}
    found["random"] = _ndcg(lambda rows: rng.random((len(rows), images), np.float32), asked, truth, idf)
    triplets = triplet_accuracy(spaces, truth, np.random.default_rng([seed, 0x7219]))
    triplets["random"] = np.where(np.isfinite(triplets["ours"]), 0.5, np.nan)
    published = generate_queries(data, seed=seed) if queries is None else queries
    pairs = tuple(query for query in published.queries if query.kind == "A & B")
    signs = QuerySet(pairs, "").signs(data.label_names)
    wanted = [(int(a), int(b)) for a, b in (np.flatnonzero(sign) for sign in signs)]
    exemplars = exemplar_precision(spaces, data, truth, wanted, np.random.default_rng([seed, 0xE8E5]))
    pool = identity_pool(data.identity[data.gallery], rng)
    persons = data.identity[data.gallery][pool]

    def against_ours(values: Mapping[str, F64]) -> dict[str, Interval]:
        return {
            f"ours - {name}": paired_difference(values["ours"], other, seed=seed, resamples=resamples)
            for name, other in values.items()
            if name != "ours"
        }

    precision = {name: values["ap"] for name, values in exemplars.items()}
    return SimilarReport(
        protocol="P3",
        title="similar faces",
        command="olrsearch bench similar",
        seed=seed,
        baseline="the whole embedding in plain L2, probability vectors, the surrogate p·v, random order",
        data=data.summary(),
        notes=(
            *data.caveats(),
            f"IDF from the training labels; {TRIPLETS} triplets a label.",
            *([] if pairs else ["No eligible two-label query: no exemplar queries."]),
        ),
        metric=metric_name(ours.kind, ours.form),
        query_images=len(asked),
        ndcg20={name: finite_mean(values) for name, values in found.items()},
        ndcg20_differences=against_ours(found),
        label_names=data.label_names,
        triplets={name: finite_mean(values) for name, values in triplets.items()},
        label_triplets={name: values for name, values in triplets.items() if name != "random"},
        triplet_differences=against_ours(triplets),
        exemplar_queries=len(next(iter(precision.values()), ())),
        exemplars={
            name: {key: finite_mean(values[key]) for key in MEASURES} for name, values in exemplars.items()
        },
        exemplar_differences=against_ours(precision) if precision else {},
        identity={
            name: told_of_identity(space, pool, persons)
            for name, space in {**spaces, "stored labels": number_space(truth)}.items()
        },
        identity_pairs=int(np.square(np.unique(persons, return_counts=True)[1]).sum() - len(pool)) // 2,
    )


def similarity_spaces(data: BenchData, metric: Metric) -> dict[str, LabelSpace]:
    """The gallery under every method but `random`."""
    rows = data.gallery
    probability = np.exp(data.log_p).astype(np.float32)
    surrogate = np.ascontiguousarray(probability[:, :, None])
    return {
        "ours": LabelSpace.of_metric(metric, data.embeddings, rows),
        "whole": LabelSpace("l2", np.stack([block[rows] for block in data.embeddings]), by_label=False),
        "probabilities": number_space(probability[:, rows]),
        "surrogate": LabelSpace.of_metric(_chosen(data, surrogate), surrogate, rows),
    }


def weighted_jaccard(truth: I8, idf: F64, rows: I64) -> F32:
    """IDF-weighted Jaccard similarity of stored labels.

    Σ idf over labels present in both, over Σ idf over labels present in either; a label unknown in
    one of the two counts for neither. Two images without any label are alike: 1.

    Args:
        truth: int8 [L, G].
        idf: float64 [L], ≥ 0.
        rows: int64 [B], the images compared with all.

    Returns:
        float32 [B, G], 0 to 1.
    """
    present, known = (truth > 0).astype(np.float32), (truth != 0).astype(np.float32)
    weight = idf.astype(np.float32)[:, None]
    a, b = present[:, rows] * weight, known[:, rows] * weight
    both = a.T @ present
    either = a.T @ known + b.T @ present - both
    out: F32 = np.ones(both.shape, np.float32)
    np.divide(both, either, out=out, where=either > 1e-6)
    return out


def _chosen(data: BenchData, embeddings: F32) -> Metric:
    if len(data.selection) < 2:
        raise BenchmarkError(
            f"{len(data.selection)} selection images, expected 2 or more to choose a metric on"
        )
    part = np.stack([block[data.selection] for block in embeddings])
    return choose_metric(part, data.labels[data.selection])


def _idf(data: BenchData) -> F64:
    """log(n / n_l) over the training images; over the gallery where there are none."""
    rows = data.train if len(data.train) else data.gallery
    count = (data.labels[rows] > 0).sum(axis=0)
    out: F64 = np.log(len(rows) / np.maximum(count, 1))
    return out


def _ndcg(distances_of: Callable[[I64], F32], asked: I64, truth: I8, idf: F64) -> F64:
    """nDCG@20 of every query image, itself left out, by distances of rows from all, float32 [B, G]."""
    out = []
    for rows in blocks_of(asked, _BLOCK):
        gains = weighted_jaccard(truth, idf, rows)
        distances = distances_of(rows)
        own = np.arange(len(rows)), rows
        distances[own] = np.inf
        gains[own] = 0
        first = ranked(-distances)[:, :CUT]
        out.append(ndcg_at(np.take_along_axis(gains, first, axis=1), CUT, gains))
    return np.concatenate(out)


def identity_pool(identity: I64, rng: np.random.Generator) -> I64:
    """Positions of images of whole identities, few enough for all their pairs, int64.

    Args:
        identity: int64 [G], −1 unknown.
        rng: Draws the identities.
    """
    known = np.flatnonzero(identity >= 0)
    if len(known) <= MOST_FOR_IDENTITY:
        return known
    persons, member = np.unique(identity[known], return_inverse=True)
    order = rng.permutation(len(persons))
    running = np.cumsum(np.bincount(member)[order])
    kept: Bool = np.isin(member, order[running <= MOST_FOR_IDENTITY])
    return known[kept]


def told_of_identity(space: LabelSpace, pool: I64, persons: I64) -> Identity:
    """How much the distances of a space tell of who is in a picture.

    Args:
        space: Of G images.
        pool: int64 [n], positions among these of the images that are compared.
        persons: int64 [n], who they show.
    """
    same_pairs, other_pairs, nearest = [], [], []
    for here in blocks_of(np.arange(len(pool)), _BLOCK):
        distances = space.block(pool[here])[:, pool]
        same = persons[here][:, None] == persons[None, :]
        upper = np.arange(len(pool))[None, :] > here[:, None]
        same_pairs.append(distances[same & upper])
        other_pairs.append(distances[~same & upper])
        distances[np.arange(len(here)), here] = np.inf
        has_mate = same.sum(axis=1) > 1
        nearest.append(np.take_along_axis(same, distances.argmin(axis=1)[:, None], axis=1)[has_mate, 0])
    if not len(pool):
        return Identity(float("nan"), float("nan"))
    return Identity(
        roc_auc(-np.concatenate(same_pairs), -np.concatenate(other_pairs)),
        finite_mean(np.concatenate(nearest)),
    )
