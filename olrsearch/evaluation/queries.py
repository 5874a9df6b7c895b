"""P2: attribute-set queries answered from the label embeddings alone.

Relevant is what the gallery's labels satisfy exactly; images with an unknown literal are left out of
that query's ranking. Methods:

* `ours`: the sum of the literals' calibrated log-probabilities, from embeddings;
* `teacher`: the same sum of the teacher's, which saw the pixels;
* `teacher min`: the smallest of the literals' probabilities;
* `svm`: a linear SVM on the whole embedding, trained on the conjunction itself;
* `random`.

Notation: Q queries, L labels, G images of the gallery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, paired_difference
from olrsearch.evaluation.data import image_major
from olrsearch.evaluation.metrics import average_precision, ndcg_at, precision_at, r_precision, ranked
from olrsearch.evaluation.probe import best_of_path
from olrsearch.evaluation.query_set import CLASSES, generate_queries
from olrsearch.evaluation.report import Report, Table
from olrsearch.maths.linear import LinearProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, F64, I8, I64, Bool, Floats
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.query_set import QuerySet
    from olrsearch.maths.linear import LinearModel

MEASURES = ("ap", "p10", "p20", "r_precision", "ndcg20")
MARGIN = 0.01
"""How much AP attribute search from embeddings may lose to the teacher, in any class."""

SVM_STRENGTHS = (1e-4, 1e-3, 1e-2)
MERGE_DEPTHS = (100, 1000)
_HEADS = {"ap": "AP", "p10": "P@10", "p20": "P@20", "r_precision": "R-precision", "ndcg20": "nDCG@20"}
_FLOOR = 1e-7


@dataclass(frozen=True, slots=True)
class ClassComparison:
    """Ours minus the teacher over the queries of one class.

    Attributes:
        queries: How many.
        ap: Interval of the mean difference in AP, resampled by query.
        p20: The same of P@20.
        within_margin: The AP lost is at most .01.
        surely_within_margin: So is the lower end of the interval.
    """

    queries: int
    ap: Interval
    p20: Interval
    within_margin: bool
    surely_within_margin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueriesReport(Report):
    """P2.

    Attributes:
        query_source: What chose the queries.
        counts: Class → number of queries.
        scores: Class (and `all`) → method → measure (`ap`, `p10`, `p20`, `r_precision`,
            `ndcg20`) → mean over queries.
        against_teacher: Class (and `all`) → ours − teacher; empty without a teacher.
        merge_recall: Class → `intersection@100`, `union@100`, … → recall@10 of our exact answer when
            per-label top-K lists are merged: over images in every list, or in any (a missing score
            is taken as that list's last).
        per_query: One entry a query: `query`, `kind`, `relevant`, and AP by method.
        svm_strength: The C of the SVM, None when it was left out.
    """

    query_source: str
    counts: dict[str, int]
    scores: dict[str, dict[str, dict[str, float]]]
    against_teacher: dict[str, ClassComparison]
    merge_recall: dict[str, dict[str, float]]
    per_query: tuple[dict[str, str | int | float], ...]
    svm_strength: float | None

    def tables(self) -> tuple[Table, ...]:
        """Scores by class, ours against the teacher, merging."""
        scores = Table(
            "Mean over queries",
            ("class", "method", *(_HEADS[name] for name in MEASURES)),
            tuple(
                (f"{kind} ({self.counts[kind]})", method, *(values[name] for name in MEASURES))
                for kind, methods in self.scores.items()
                for method, values in methods.items()
            ),
        )
        teacher = Table(
            "Ours − teacher, 95 % intervals by query",
            ("class", "AP", "P@20", f"within {MARGIN} AP", "interval within"),
            tuple(
                (kind, item.ap, item.p20, item.within_margin, item.surely_within_margin)
                for kind, item in self.against_teacher.items()
            ),
        )
        ways = list(next(iter(self.merge_recall.values()), {}))
        merging = Table(
            "Recall@10 of the exact answer, had per-label top-K lists been merged",
            ("class", *ways),
            tuple((kind, *(values[way] for way in ways)) for kind, values in self.merge_recall.items()),
        )
        return tuple(table for table in (scores, teacher, merging) if table.rows)


def run_queries(
    data: BenchData,
    *,
    queries: QuerySet | None = None,
    seed: int = 0,
    svm_strengths: Sequence[float] = SVM_STRENGTHS,
    resamples: int = RESAMPLES,
) -> QueriesReport:
    """Measure P2.

    Args:
        data: Gallery, truth and embeddings.
        queries: The published set; drawn from this gallery with `seed` when None.
        seed: Of the random baseline, the bootstrap, and the draw.
        svm_strengths: C grid of the SVM, from small to large; empty leaves it out.
        resamples: Bootstrap resamples.

    Raises:
        BenchmarkError: no query has a relevant image.
        UnknownLabelError: a query names a label the data does not have.
    """
    asked = generate_queries(data, seed=seed) if queries is None else queries
    signs = asked.signs(data.label_names)
    relevant, judged, gains = judge(signs, data.truth)
    usable = np.flatnonzero(relevant.any(axis=1))
    if not len(usable):
        raise BenchmarkError("no query has a relevant image in this gallery; draw queries from it instead")
    skipped = len(signs) - len(usable)
    signs, relevant, judged, gains = signs[usable], relevant[usable], judged[usable], gains[usable]

    rows = data.gallery
    ours = conjunction_scores(signs, data.log_p[:, rows], data.log_not_p[:, rows])
    methods: dict[str, Floats] = {"ours": ours}
    if data.teacher_p is not None:
        probability = np.clip(data.teacher_p[:, rows].astype(np.float64), _FLOOR, 1 - _FLOOR)
        methods["teacher"] = conjunction_scores(signs, np.log(probability), np.log1p(-probability))
        methods["teacher min"] = minimum_scores(signs, probability)
    svm_strength = None
    if svm_strengths and len(data.train) and len(data.selection):
        svm_strength, methods["svm"] = _svm_scores(data, signs, svm_strengths)
    methods["random"] = np.random.default_rng([seed, 0x4A4D]).random(ours.shape, np.float32)

    measured = {name: measure(scores, relevant, judged, gains) for name, scores in methods.items()}
    kinds = np.array([asked.queries[row].kind for row in usable])
    parts = {kind: kinds == kind for kind in CLASSES if (kinds == kind).any()}
    parts["all"] = np.ones(len(kinds), np.bool_)
    notes = list(data.caveats())
    if skipped:
        notes.append(f"{skipped} queries have no relevant image here and are left out.")
    if "svm" not in methods:
        notes.append("No SVM: it needs training and selection images.")
    if "teacher" not in methods:
        notes.append("The teacher's probabilities are not there: nothing stands against it.")
    return QueriesReport(
        protocol="P2",
        title="attribute-set queries",
        command="olrsearch bench queries",
        seed=seed,
        baseline="the teacher's Σ log p, its smallest p, a linear SVM on each conjunction, random order",
        data=data.summary(),
        notes=tuple(notes),
        query_source=asked.source,
        counts={kind: int(part.sum()) for kind, part in parts.items()},
        scores={
            kind: {
                name: {key: float(np.nanmean(values[key][part])) for key in MEASURES}
                for name, values in measured.items()
            }
            for kind, part in parts.items()
        },
        against_teacher={
            kind: _compare(measured["ours"], measured["teacher"], part, seed=seed, resamples=resamples)
            for kind, part in parts.items()
            if "teacher" in measured
        },
        merge_recall=_merging(signs, data, parts),
        per_query=tuple(
            {
                "query": asked.queries[row].text,
                "kind": asked.queries[row].kind,
                "relevant": int(relevant[number].sum()),
                **{name: float(values["ap"][number]) for name, values in measured.items()},
            }
            for number, row in enumerate(usable)
        ),
        svm_strength=svm_strength,
    )


def judge(signs: I8, truth: I8) -> tuple[Bool, Bool, F32]:
    """What the labels say of every query and image.

    Args:
        signs: int8 [Q, L].
        truth: int8 [L, G].

    Returns:
        relevant bool [Q, G]: every literal holds; judged bool [Q, G]: every literal is known; gains
        float32 [Q, G]: share of literals that hold.
    """
    size = (signs != 0).sum(axis=1, dtype=np.float32)[:, None]
    # Over the literals of a query, Σ sign·label = held − violated and Σ|label| = known.
    balance = signs.astype(np.float32) @ truth.astype(np.float32)
    known = np.abs(signs).astype(np.float32) @ np.abs(truth).astype(np.float32)
    return balance == size, known == size, (known + balance) / (2 * size)


def conjunction_scores(signs: I8, log_p: Floats, log_not_p: Floats) -> Floats:
    """Σ over literals of log p or log(1 − p), nats: one matrix product for all queries.

    Args:
        signs: int8 [Q, L].
        log_p: float [L, G], finite.
        log_not_p: float [L, G], finite.

    Returns:
        float [Q, G], larger is better.
    """
    kind = log_p.dtype
    return (signs > 0).astype(kind) @ log_p + (signs < 0).astype(kind) @ log_not_p


def minimum_scores(signs: I8, probability: F64) -> F64:
    """The smallest probability of a query's literals, float64 [Q, G]."""
    out = np.empty((len(signs), probability.shape[1]))
    for row, sign in enumerate(signs):
        wanted, unwanted = probability[sign > 0], 1 - probability[sign < 0]
        out[row] = np.concatenate([wanted, unwanted]).min(axis=0)
    return out


def measure(scores: Floats, relevant: Bool, judged: Bool, gains: F32) -> dict[str, F64]:
    """The measures of P2 for every query.

    Args:
        scores: float [Q, G]; −inf for images that are not to be ranked.
        relevant: bool [Q, G].
        judged: bool [Q, G]; the others are left out.
        gains: float32 [Q, G].

    Returns:
        `ap`, `p10`, `p20`, `r_precision`, `ndcg20` → float64 [Q].
    """
    blocks = []
    for start in range(0, len(scores), 128):
        part = slice(start, start + 128)
        order = ranked(np.where(judged[part], scores[part], -np.inf))
        found = np.take_along_axis(relevant[part] & judged[part], order, axis=1)
        gained = np.take_along_axis(np.where(judged[part], gains[part], np.float32(0)), order, axis=1)
        blocks.append(
            [
                average_precision(found),
                precision_at(found, 10),
                precision_at(found, 20),
                r_precision(found),
                ndcg_at(gained, 20),
            ]
        )
    return {name: np.concatenate([block[row] for block in blocks]) for row, name in enumerate(MEASURES)}


def merge_recall(
    signs: I8, log_p: Floats, log_not_p: Floats, *, depth: int, cut: int = 10
) -> tuple[F64, F64]:
    """What merging per-literal top-K lists keeps of the exact first `cut`.

    Args:
        signs: int8 [Q, L].
        log_p: float [L, G].
        log_not_p: float [L, G].
        depth: K, the length of each literal's list.
        cut: How many of the exact answer count.

    Returns:
        float64 [Q] twice: over images in every list, and over images in any list, where a missing
        score is taken as the list's last.
    """
    count = log_p.shape[1]
    top = min(depth, count)
    every, some = np.empty(len(signs)), np.empty(len(signs))
    for row, sign in enumerate(signs):
        values = np.concatenate([log_p[sign > 0], log_not_p[sign < 0]])
        exact = ranked(values.sum(axis=0))[:cut]
        listed = np.zeros(values.shape, np.bool_)
        order = ranked(values)
        np.put_along_axis(listed, order[:, :top], values=True, axis=1)
        last = np.take_along_axis(values, order[:, top - 1 : top], axis=1)
        merged = np.where(listed, values, last).sum(axis=0)
        for out, allowed in ((every, listed.all(axis=0)), (some, listed.any(axis=0))):
            candidates = ranked(np.where(allowed, merged, -np.inf))[: min(cut, int(allowed.sum()))]
            out[row] = len(np.intersect1d(exact, candidates)) / len(exact)
    return every, some


def _merging(signs: I8, data: BenchData, parts: dict[str, Bool]) -> dict[str, dict[str, float]]:
    log_p, log_not_p = data.log_p[:, data.gallery], data.log_not_p[:, data.gallery]
    several = (signs != 0).sum(axis=1) > 1
    found: dict[str, F64] = {}
    for depth in MERGE_DEPTHS:
        values = np.full((2, len(signs)), np.nan)
        values[:, several] = merge_recall(signs[several], log_p, log_not_p, depth=depth)
        found[f"intersection@{depth}"], found[f"union@{depth}"] = values
    return {
        kind: {way: float(np.nanmean(values[part & several])) for way, values in found.items()}
        for kind, part in parts.items()
        if (part & several).any()
    }


def _compare(
    ours: dict[str, F64], teacher: dict[str, F64], part: Bool, *, seed: int, resamples: int
) -> ClassComparison:
    precision, first = (
        paired_difference(ours[name][part], teacher[name][part], seed=seed, resamples=resamples)
        for name in ("ap", "p20")
    )
    return ClassComparison(
        int(part.sum()), precision, first, precision.estimate >= -MARGIN, precision.low >= -MARGIN
    )


def _svm_scores(data: BenchData, signs: I8, strengths: Sequence[float]) -> tuple[float, F32]:
    """The best C by mean AP on the selection images, and decision values float32 [Q, G]."""
    held = image_major(data.embeddings, data.selection)
    relevant, judged, gains = judge(signs, np.ascontiguousarray(data.labels[data.selection].T))
    problem = LinearProblem(
        image_major(data.embeddings, data.train),
        _conjunctions(signs, data.labels, data.train),
        loss="squared_hinge",
    )

    def loss(model: LinearModel) -> float:
        found = measure(model.decision(held).T, relevant, judged, gains)["ap"]
        return -float(np.nanmean(found)) if np.isfinite(found).any() else 0.0

    chosen = best_of_path(problem, strengths, loss)
    return chosen.strength, np.ascontiguousarray(
        chosen.decision(image_major(data.embeddings, data.gallery)).T
    )


def _conjunctions(signs: I8, labels: I8, rows: I64) -> I8:
    """Whether images satisfy queries: int8 [n, Q]; +1, −1, or 0 where a literal is unknown."""
    relevant, judged, _ = judge(signs, np.ascontiguousarray(labels[rows].T))
    return np.ascontiguousarray(np.where(judged, np.where(relevant, 1, -1), 0).T.astype(np.int8))
