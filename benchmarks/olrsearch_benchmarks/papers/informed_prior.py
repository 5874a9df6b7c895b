"""P5, informed priors: what the paper reports of its posteriors, and what words find among faces.

What is measured depends on the gallery's labels: classes (one an image), pairs (two of them, or one twice),
or many, as faces have.

Notation: W words, G images of the gallery.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from olrsearch.evaluation.bootstrap import RESAMPLES
from olrsearch.evaluation.queries import MEASURES
from olrsearch.evaluation.report import Report, Table, jsonable
from olrsearch_benchmarks.words.other_words import CUT, OtherWords, measure_other_words
from olrsearch_benchmarks.words.posterior_data import said_shrinkage
from olrsearch_benchmarks.words.queries_in_words import WordQueries, common_gallery, measure_word_queries
from olrsearch_benchmarks.words.word_sets import RETRIEVED, PairRetrieval, measure_classes, measure_pairs

if TYPE_CHECKING:
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.measured import Measured
    from olrsearch.evaluation.query_set import QuerySet
    from olrsearch_benchmarks.words.posterior_data import LabelKind, PosteriorData

_TITLES: Final = {
    "classes": "informed priors, images of one class",
    "pairs": "informed priors, pairs of classes",
    "many": "informed priors, words for labels",
}
_BASELINES: Final = {
    "classes": "the figures of the paper",
    "pairs": "the figures of the paper",
    "many": "the teacher's Σ log p and attribute search, where the store has them",
}
_MNIST: Final = "Targets and the paper's figures are those of MNIST; P5 asks for the mean of three seeds."
_HEADS: Final = {"ap": "AP", "p10": "P@10", "p20": "P@20", "r_precision": "R-precision", "ndcg20": "nDCG@20"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InformedPriorReport(Report):
    """P5 of informed priors.

    Attributes:
        space: What was measured.
        labels: What the gallery's labels are: `classes`, `pairs` or `many`.
        shrinkage: λ of the priors; None where Gaussians of words were learned.
        figures: Every figure with its target and the paper's.
        pairs: One entry a pair of words; of pairs only.
        queries: P2 by words; of many labels only.
        words: Words outside the vocabulary, and the intervals of what they lose or gain; of many labels only.
    """

    space: str
    labels: LabelKind
    shrinkage: float | None
    figures: tuple[Measured, ...]
    pairs: tuple[PairRetrieval, ...] = ()
    queries: WordQueries | None = None
    words: OtherWords | None = None

    def lines(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a figure: `metric`, `value`, `target`, `passed`, `unit`, `seed`, `paper`.

        With them `space`, `labels` and `shrinkage`.
        """
        about = {"space": self.space, "labels": self.labels, "shrinkage": self.shrinkage}
        return [{**jsonable(row), **about} for row in self.figures]

    def tables(self) -> tuple[Table, ...]:
        """Figures, then what they are made of."""
        figures = Table(
            "Figures",
            ("metric", "found", "target", "reached", "paper"),
            tuple((row.metric, row.value, row.target, row.passed, row.paper) for row in self.figures),
            note=f"Space {self.space}, {said_shrinkage(self.shrinkage)}.",
        )
        tables = [figures]
        if self.pairs:
            tables.append(_pair_table(self.pairs))
        if self.queries is not None:
            tables += _query_tables(self.queries)
        if self.words is not None and self.words.words:
            tables += _word_tables(self.words)
        return tuple(table for table in tables if table.rows)


def run_informed_prior_paper(
    data: PosteriorData,
    *,
    queries: QuerySet | None = None,
    labels: BenchData | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    command: str = "olrsearch bench papers informed-prior",
) -> InformedPriorReport:
    """Measure what the paper reports of posteriors, and of many labels P2 by words.

    Args:
        data: Posteriors of the gallery and of the selection images.
        queries: P2's published set, for many labels; drawn from the gallery when None.
        labels: Label embeddings of the same store, and their teacher, to stand beside words.
        seed: Of everything random.
        resamples: Bootstrap resamples.
        command: What the report says to run.

    Raises:
        BenchmarkError: no query has a relevant image, or no image has both embeddings.
        UnknownLabelError: a query names a label that is no word of the encoder.
    """
    notes = list(data.notes)
    kind = data.kind
    if kind == "many" and labels is not None:
        data, left = common_gallery(data, labels)
        if left:
            notes.append(f"Images without a label embedding, left out of the gallery: {left:,}.")
    densities = data.densities(data.gallery)
    figures: tuple[Measured, ...]
    parts: dict[str, Any] = {}
    if kind == "classes":
        figures = measure_classes(data, densities, seed=seed)
        notes.append(_MNIST)
    elif kind == "pairs":
        figures, parts["pairs"] = measure_pairs(data, densities, seed=seed)
        notes += [_MNIST, "A double is an image that shows one class twice, and has one label."]
    else:
        asked = measure_word_queries(
            data, densities, queries=queries, labels=labels, seed=seed, resamples=resamples
        )
        others = measure_other_words(data, densities, seed=seed, resamples=resamples)
        figures = (*asked.rows, *others.rows)
        parts = {"queries": asked, "words": others}
        notes += [*asked.notes, *others.notes]
        if labels is None:
            notes.append("The store has no label embeddings: nothing stands beside words.")
        else:
            notes += labels.caveats()
            if labels.teacher_p is None:
                notes.append("The teacher of the label embeddings is gone: it does not stand beside words.")
    return InformedPriorReport(
        protocol="P5",
        title=_TITLES[kind],
        command=command,
        seed=seed,
        baseline=_BASELINES[kind],
        data=data.summary(),
        notes=tuple(notes),
        space=data.space,
        labels=kind,
        shrinkage=data.shrinkage,
        figures=figures,
        **parts,
    )


def _pair_table(pairs: tuple[PairRetrieval, ...]) -> Table:
    return Table(
        f"First and farthest {RETRIEVED} of each pair by KL(query‖image)",
        ("pair", "images", "hold exactly it", "farthest: doubles", "smallest KL, nats"),
        tuple(
            (f"{one.first}, {one.second}", one.images, one.exact, one.farthest_doubles, one.nearest_nats)
            for one in pairs
        ),
        note=f"A pair of fewer than {RETRIEVED} images cannot fill its answer.",
    )


def _query_tables(found: WordQueries) -> list[Table]:
    scores = Table(
        "P2 by words, mean over queries",
        ("class", "method", *(_HEADS[key] for key in MEASURES)),
        tuple(
            (f"{kind} ({found.counts[kind]})", method, *(values[key] for key in MEASURES))
            for kind, methods in found.scores.items()
            for method, values in methods.items()
        ),
        note=f"Queries: {found.source}.",
    )
    differences = Table(
        "Words − baseline, 95 % intervals by query",
        ("method − baseline", "class", "queries", "AP", "P@20"),
        tuple(
            (f"{one.ours} − {one.baseline}", one.kind, one.queries, one.ap, one.p20)
            for one in found.differences
        ),
    )
    labels = Table(
        "Average precision of describing",
        ("label", "ratio", "ln N", "label embeddings", "teacher"),
        tuple((name, *values) for name, values in found.per_label.items()),
    )
    return [scores, differences, labels]


def _word_tables(found: OtherWords) -> list[Table]:
    words = Table(
        f"Words outside the vocabulary, P@{CUT} against the label they mean",
        (
            "word",
            "label",
            "images",
            "match",
            "ratio",
            "nearest label",
            "its match",
            "its ratio",
            "label's match",
            "label's ratio",
        ),
        tuple(
            (
                one.word,
                one.label,
                one.relevant,
                one.match,
                one.ratio,
                one.nearest,
                one.nearest_match,
                one.nearest_ratio,
                one.label_match,
                one.label_ratio,
            )
            for one in found.words
        ),
        note="Nearest label: by the cosine of plain word vectors, the label's words taken together.",
    )
    differences = Table(
        f"The same, P@{CUT}, 95 % intervals by word",
        ("difference", "interval"),
        tuple(found.differences.items()),
    )
    return [words, differences]
