"""P2 asked in words: attribute-set queries answered from posteriors, beside label embeddings and the teacher.

What is compared:

* `match, KL(query‖image)`, `match, KL(image‖query)`, `match, Jeffreys`: the divergence between the prior of
  the words and an image's posterior; of queries without negation;
* `contains, Σ log p`: the sum of the words' calibrated log-probabilities;
* `contains, smallest ratio`: the smallest over words of ln N(w; μ, Σ) less the logarithm of its mean over
  the vocabulary, negated for a negated word;
* `attribute search`: P2's answer from the label embeddings of the same store, and `teacher`, its teacher's,
  which saw the pixels; where the store has them.

Notation: Q queries, W words, G images of the gallery.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019, section 3, "Image
retrieval" (`match`); the others are not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, paired_difference
from olrsearch.evaluation.data import find_label
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.metrics import label_average_precision
from olrsearch.evaluation.queries import MEASURES, conjunction_scores, judge, measure
from olrsearch.evaluation.query_set import CLASSES, generate_queries
from olrsearch.maths.gaussian_sets import joined
from olrsearch_benchmarks.words.posterior_data import (
    GalleryDivergences,
    as_bench_data,
    calibrated,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F64, I8, I64, Floats
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.query_set import QuerySet
    from olrsearch_benchmarks.words.posterior_data import PosteriorData

QUERY_TO_IMAGE: Final = "match, KL(query‖image)"
IMAGE_TO_QUERY: Final = "match, KL(image‖query)"
JEFFREYS: Final = "match, Jeffreys"
CONTAINS: Final = "contains, Σ log p"
SMALLEST: Final = "contains, smallest ratio"
ATTRIBUTES: Final = "attribute search"
TEACHER: Final = "teacher"

OURS: Final = (CONTAINS, SMALLEST, QUERY_TO_IMAGE, IMAGE_TO_QUERY, JEFFREYS)
BASELINES: Final = (TEACHER, ATTRIBUTES)

MAP_TARGET: Final = 0.73
MARGIN: Final = 0.04
"""How much P@20 words may lose to the teacher, in each class without negation."""

POSITIVE: Final = ("A", "A & B", "A & B & C")

_FLOOR: Final = 1e-7
"""Of the teacher's probabilities, as in P2."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A method of ours minus a baseline over the queries of a class.

    Attributes:
        ours: The method.
        baseline: What it stands against.
        kind: The class, or `all`.
        queries: How many both answer.
        ap: Interval of the mean difference in AP, resampled by query.
        p20: The same of P@20.
    """

    ours: str
    baseline: str
    kind: str
    queries: int
    ap: Interval
    p20: Interval


@dataclass(frozen=True, slots=True, eq=False)
class WordQueries:
    """P2 by words.

    Attributes:
        rows: Figures with targets.
        source: What chose the queries.
        counts: Class (and `all`) → number of queries.
        scores: Class → method → measure → mean over the queries that the method answers.
        differences: Of every method of ours to every baseline there is.
        per_label: Word → AP of describing by its ratio and by its density, of the label embeddings, of the
            teacher; NaN where there is none.
        notes: What a reader must know.
    """

    rows: tuple[Measured, ...]
    source: str
    counts: dict[str, int]
    scores: dict[str, dict[str, dict[str, float]]]
    differences: tuple[Difference, ...]
    per_label: dict[str, tuple[float, float, float, float]]
    notes: tuple[str, ...]


def measure_word_queries(
    data: PosteriorData,
    densities: F64,
    *,
    queries: QuerySet | None = None,
    labels: BenchData | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> WordQueries:
    """Measure describing and P2.

    Args:
        data: Posteriors whose gallery's images have any number of labels.
        densities: float64 [W, G], ln N(w; μ, Σ).
        queries: The published set; drawn from this gallery with `seed` when None.
        labels: Label embeddings of the same store, which hold all images of the gallery.
        seed: Of the bootstrap and the draw.
        resamples: Bootstrap resamples.

    Raises:
        BenchmarkError: no query has a relevant image.
        UnknownLabelError: a query names a label that is no word of the encoder.
    """
    ratios, truth = data.ratios(data.gallery, densities), data.truth
    calibration, notes = calibrated(data)
    words = as_bench_data(data, ratios, calibration)
    asked = generate_queries(words, seed=seed) if queries is None else queries
    signs = asked.signs(data.names)
    usable = np.flatnonzero(judge(signs, truth)[0].any(axis=1))
    if not len(usable):
        raise BenchmarkError("no query has a relevant image in this gallery; draw queries from it instead")
    kinds = np.array([asked.queries[row].kind for row in usable])
    left = len(signs) - len(usable)
    if left:
        notes = (*notes, f"{left} queries have no relevant image here and are left out.")
    signs = signs[usable]

    scores: dict[str, Floats] = {
        CONTAINS: conjunction_scores(signs, words.log_p, words.log_not_p),
        SMALLEST: smallest_ratios(signs, ratios),
        **_divergences(data, signs),
    }
    beside = {} if labels is None else _beside(labels, data)
    scores |= {name: _conjunctions(signs, *chances) for name, chances in beside.items()}
    measured = {name: _measured(found, signs, truth) for name, found in scores.items()}

    parts = {kind: kinds == kind for kind in CLASSES if (kinds == kind).any()}
    parts["all"] = np.ones(len(kinds), np.bool_)
    means = {
        kind: {
            name: {key: _mean(values[key][part]) for key in MEASURES}
            for name, values in measured.items()
            if np.isfinite(values["ap"][part]).any()
        }
        for kind, part in parts.items()
    }
    differences = tuple(
        Difference(
            ours,
            baseline,
            kind,
            int(both.sum()),
            *(
                paired_difference(
                    measured[ours][key][both], measured[baseline][key][both], seed=seed, resamples=resamples
                )
                for key in ("ap", "p20")
            ),
        )
        for ours in OURS
        for baseline in BASELINES
        if baseline in measured
        for kind, part in parts.items()
        if (both := part & np.isfinite(measured[ours]["ap"]) & np.isfinite(measured[baseline]["ap"])).any()
        and (kind != "all" or ours in {CONTAINS, SMALLEST})  # divergences answer some classes alone
    )
    per_label = _per_label(data.names, truth, ratios, densities, beside)
    return WordQueries(
        rows=(*_describing(per_label, seed), *_judged(means, differences, seed)),
        source=asked.source,
        counts={kind: int(part.sum()) for kind, part in parts.items()},
        scores=means,
        differences=differences,
        per_label=per_label,
        notes=notes,
    )


def smallest_ratios(signs: I8, ratios: F64) -> F64:
    """The smallest of a query's ratios, those of negated words with their sign turned, float64 [Q, G].

    Args:
        signs: int8 [Q, W].
        ratios: float64 [W, G].
    """
    out = np.empty((len(signs), ratios.shape[1]))
    for row, sign in enumerate(signs):
        asked = np.flatnonzero(sign)
        out[row] = (ratios[asked] * sign[asked, None]).min(axis=0)
    return out


def _divergences(data: PosteriorData, signs: I8) -> dict[str, F64]:
    """Negated divergences of the queries without negation, float64 [Q, G]; NaN for others."""
    rows = np.flatnonzero((signs >= 0).all(axis=1))
    found = {
        name: np.full((len(signs), len(data.gallery)), np.nan)
        for name in (QUERY_TO_IMAGE, IMAGE_TO_QUERY, JEFFREYS)
    }
    if len(rows):
        priors = joined([data.prior_of(np.flatnonzero(signs[row] > 0).tolist()) for row in rows])
        divergences = GalleryDivergences(data)
        found[QUERY_TO_IMAGE][rows] = -divergences.of(priors, "query-to-image")
        found[IMAGE_TO_QUERY][rows] = -divergences.of(priors, "image-to-query")
        found[JEFFREYS][rows] = found[QUERY_TO_IMAGE][rows] + found[IMAGE_TO_QUERY][rows]
    return found


def _beside(labels: BenchData, data: PosteriorData) -> dict[str, tuple[F64, F64]]:
    """Log-probabilities of words and of their absence by label embeddings and teacher, float64 [W, G] each.

    NaN of a word that is none of their labels.
    """
    images = np.searchsorted(labels.image_ids, data.image_ids[data.gallery])
    known = [find_label(labels.label_names, name) for name in data.names]
    rows = np.array([row for row in known if row is not None], np.int64)
    have = np.array([row is not None for row in known])
    sources: dict[str, tuple[Floats, Floats]] = {ATTRIBUTES: (labels.log_p, labels.log_not_p)}
    if labels.teacher_p is not None:
        chance = np.clip(labels.teacher_p.astype(np.float64), _FLOOR, 1 - _FLOOR)
        sources[TEACHER] = (np.log(chance), np.log1p(-chance))
    found = {}
    for name, values in sources.items():
        both = tuple(np.full((len(data.names), len(images)), np.nan) for _ in values)
        for out, value in zip(both, values, strict=True):
            out[have] = value[rows][:, images]
        found[name] = (both[0], both[1])
    return found


def _conjunctions(signs: I8, log_p: F64, log_not_p: F64) -> F64:
    """As `conjunction_scores`; NaN for queries that name a label without probabilities."""
    unknown = np.isnan(log_p).any(axis=1)
    out: F64 = conjunction_scores(signs, np.nan_to_num(log_p), np.nan_to_num(log_not_p)).astype(np.float64)
    out[(signs[:, unknown] != 0).any(axis=1)] = np.nan
    return out


def _measured(scores: Floats, signs: I8, truth: I8) -> dict[str, F64]:
    """The measures of P2, float64 [Q] each; NaN for queries without scores."""
    answered = np.isfinite(scores).all(axis=1)
    found = {key: np.full(len(scores), np.nan) for key in MEASURES}
    if answered.any():
        relevant, judged, gains = judge(signs[answered], truth)
        for key, values in measure(scores[answered], relevant, judged, gains).items():
            found[key][answered] = values
    return found


def _per_label(
    names: tuple[str, ...],
    truth: I8,
    ratios: F64,
    densities: F64,
    beside: Mapping[str, tuple[F64, F64]],
) -> dict[str, tuple[float, float, float, float]]:
    """Average precision of each word by ratio, by density, by label embeddings and by the teacher."""
    nothing = np.full(ratios.shape, np.nan)
    sources = [
        ratios,
        densities,
        *(beside[name][0] if name in beside else nothing for name in (ATTRIBUTES, TEACHER)),
    ]
    columns = []
    for source in sources:
        found = label_average_precision(np.nan_to_num(source), truth)
        found[np.isnan(source).any(axis=1)] = np.nan
        columns.append(found)
    table = np.stack(columns, axis=1)
    return {
        name: (float(one[0]), float(one[1]), float(one[2]), float(one[3]))
        for name, one in zip(names, table, strict=True)
    }


def _describing(per_label: Mapping[str, tuple[float, ...]], seed: int) -> list[Measured]:
    columns = np.array(list(per_label.values())).T
    named = (
        ("mAP of describing, by ratio", MAP_TARGET),
        ("mAP of describing, by ln N", None),
        ("mAP of describing, label embeddings", None),
        ("mAP of describing, teacher", None),
    )
    return [
        Measured.of(name, _mean(column), target, seed=seed)
        for (name, target), column in zip(named, columns, strict=True)
        if np.isfinite(column).any()
    ]


def _judged(
    means: Mapping[str, Mapping[str, Mapping[str, float]]], differences: tuple[Difference, ...], seed: int
) -> list[Measured]:
    """P@20 of each class without negation by `contains`, and what it loses to the teacher."""
    rows = []
    for kind in POSITIVE:
        if kind not in means:
            continue
        rows.append(Measured.of(f"P@20 of {kind}, {CONTAINS}", means[kind][CONTAINS]["p20"], seed=seed))
        lost = [
            one.p20.estimate
            for one in differences
            if (one.ours, one.baseline, one.kind) == (CONTAINS, TEACHER, kind)
        ]
        value = lost[0] if lost else float("nan")
        rows.append(
            Measured.of(f"P@20 of {kind}, {CONTAINS} − teacher", value, -MARGIN, unit="difference", seed=seed)
        )
    return rows


def _mean(values: F64) -> float:
    usable = values[np.isfinite(values)]
    return float(usable.mean()) if len(usable) else float("nan")


def common_gallery(data: PosteriorData, labels: BenchData) -> tuple[PosteriorData, int]:
    """Posteriors with the gallery that label embeddings have too, and how many images that leaves out.

    Args:
        data: The posteriors.
        labels: The label embeddings; their probabilities of all images are looked at.

    Raises:
        BenchmarkError: they have no image in common.
    """
    ids: I64 = data.image_ids[data.gallery]
    held = np.isin(ids, labels.image_ids)
    if not held.any():
        raise BenchmarkError(
            "no image of the gallery has a label embedding beside its posterior: run olrsearch encode for "
            "the encoder of label embeddings too"
        )
    return data.replace(gallery=data.gallery[held]), int((~held).sum())
