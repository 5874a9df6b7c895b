"""Edited embeddings as queries: like image A, which lacks label B, but with B.

Query images and labels are drawn from the gallery: of every label that 30 images or more have, and at most
30 % of them, `EXEMPLARS` images that lack it. Relevant are images that have B and are like A in their other
labels: the IDF-weighted Jaccard similarity of P3, without B, is ½ or more. A query has three such images at
least.

* `similar, filtered`: the store's similarity to A, images of p(B) ≥ ½ first, the others behind them;
* `similar`: the same without the filter;
* `ranks fused`: 1 / (60 + rank) by similarity, and by p(B);
* `similar and ln p`: similarity and ln p(B), each divided by its standard deviation over the gallery;
* `likeness, not edited`: as the product ranks, A's probabilities as they are;
* `edited`: as the product ranks an edited embedding.

Notation: Q queries, L labels, G images of the gallery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, interval, paired_difference
from olrsearch.evaluation.metrics import average_precision, precision_at, ranked
from olrsearch.evaluation.similar import weighted_jaccard
from olrsearch.maths.calibration import log_sigmoid
from olrsearch.search.editing import edited, logits_of
from olrsearch.search.index.label import combine
from olrsearch.search.like_edited import shares
from olrsearch.search.query.edits import Edit

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8, I64, Bool
    from olrsearch.core.progress import Track
    from olrsearch.search.spaces.labels import OpenSpace

EXEMPLARS: Final = 10
ALIKE: Final = 0.5
FEWEST: Final = 3
FEWEST_IMAGES: Final = 30
MOST_SHARE: Final = 0.3
OURS: Final = "edited"
BASELINE: Final = "similar, filtered"

_FUSED: Final = 60
_CUT: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class LikeBut:
    """One question.

    Attributes:
        image: Row of A in the gallery.
        label: B.
        relevant: bool [G].
    """

    image: int
    label: int
    relevant: Bool


@dataclass(frozen=True, slots=True)
class EditedQueries:
    """What was found.

    Attributes:
        queries: How many questions.
        labels: Of how many labels.
        relevant: Median number of relevant images.
        ap: Method → mean average precision.
        p20: Method → mean precision at 20.
        ratio: Our AP over that of the filtered similarity, resampled by query.
        differences: Ours minus the others, resampled by query.
    """

    queries: int
    labels: int
    relevant: float
    ap: dict[str, float]
    p20: dict[str, float]
    ratio: Interval
    differences: dict[str, Interval]


def draw_questions(truth: I8, idf: F64, *, seed: int = 0) -> list[LikeBut]:
    """Questions with relevant images.

    Args:
        truth: int8 [L, G], −1, 0 unknown, +1.
        idf: float64 [L].
        seed: Of the images drawn.
    """
    rng = np.random.default_rng([seed, 0xED17])
    found = []
    for label, known in enumerate(truth):
        present = known > 0
        if not FEWEST_IMAGES <= present.sum() <= MOST_SHARE * truth.shape[1]:
            continue
        others = idf.copy()
        others[label] = 0
        taken = 0
        for rows in np.array_split(rng.permutation(np.flatnonzero(known < 0))[: 10 * EXEMPLARS], 10):
            for row, alike in zip(rows, weighted_jaccard(truth, others, rows), strict=True):
                relevant = present & (alike >= ALIKE)
                if relevant.sum() >= FEWEST and taken < EXEMPLARS:
                    found.append(LikeBut(int(row), label, relevant))
                    taken += 1
            if taken == EXEMPLARS:
                break
    return found


def run_edited_queries(
    opened: OpenSpace,
    gallery: I64,
    truth: I8,
    idf: F64,
    *,
    track: Track,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> EditedQueries:
    """Ask all questions by every method.

    Args:
        opened: The space.
        gallery: int64 [G], rows of its view, by rising id.
        truth: int8 [L, G], stored labels.
        idf: float64 [L], of training images.
        track: Shows progress.
        seed: Of the images drawn and the resamples.
        resamples: How many.

    Raises:
        BenchmarkError: no question has enough relevant images.
    """
    questions = draw_questions(truth, idf, seed=seed)
    if not questions:
        raise BenchmarkError(
            f"no image that lacks a label is like {FEWEST} that have it: import more images of val and test"
        )
    chances = np.exp(
        log_sigmoid(np.stack([opened.scores().logits(label)[gallery] for label in range(len(truth))]))
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for question in track(questions, total=len(questions), what="ask edited queries", unit="queries"):
        for name, values in _scores(opened, gallery, chances, question).items():
            values[question.image] = -np.inf
            order = ranked(values[None])
            hits = question.relevant[order]
            found.setdefault(name, []).append(
                (float(average_precision(hits)[0]), float(precision_at(hits, _CUT)[0]))
            )
    measured = {name: np.array(values) for name, values in found.items()}
    precision = {name: values[:, 0] for name, values in measured.items()}
    return EditedQueries(
        queries=len(questions),
        labels=len({question.label for question in questions}),
        relevant=float(np.median([question.relevant.sum() for question in questions])),
        ap={name: float(values[:, 0].mean()) for name, values in measured.items()},
        p20={name: float(values[:, 1].mean()) for name, values in measured.items()},
        ratio=_ratio(precision[OURS], precision[BASELINE], seed, resamples),
        differences={
            f"{OURS} − {name}": paired_difference(precision[OURS], values, seed=seed, resamples=resamples)
            for name, values in precision.items()
            if name != OURS
        },
    )


def _scores(opened: OpenSpace, gallery: I64, chances: F64, question: LikeBut) -> dict[str, F64]:
    """Scores of the gallery by every method, float64 [G]."""
    label, edit = question.label, Edit(opened.info.labels[question.label], added=True)
    embedding = opened.view.embedding(int(opened.view.ids[gallery[question.image]]))
    near = -_distances(opened, embedding)[gallery]
    chance = chances[label]
    log_p = np.log(np.maximum(chance, 1e-3))
    moved = edited(opened, embedding, [edit])
    asked = {OURS: moved, "likeness, not edited": embedding}
    ours = {name: _likeness(opened, one, edit)[gallery] for name, one in asked.items()}
    return {
        "similar": near.copy(),
        BASELINE: near - np.where(chance >= 0.5, 0.0, 2 * np.ptp(near) + 1),
        "ranks fused": 1 / (_FUSED + _ranks(near)) + 1 / (_FUSED + _ranks(chance)),
        "similar and ln p": near / near.std() + log_p / log_p.std(),
        **ours,
    }


def _distances(opened: OpenSpace, embedding: F32) -> F64:
    """Distances of an embedding from all images by all labels, as `similar` has them."""
    vectors = dict(enumerate(embedding))
    found: F64 = combine(opened.indexes, vectors, dict.fromkeys(vectors, 1.0))
    return found


def _likeness(opened: OpenSpace, embedding: F32, edit: Edit) -> F64:
    asked = np.exp(log_sigmoid(logits_of(opened, embedding)))
    total: F64 = np.sum([value for _, value, _ in shares(opened.scores(), asked, [edit])], axis=0)
    return total


def _ranks(values: F64) -> I64:
    """Ranks from 1, the largest first."""
    out = np.empty(len(values), np.int64)
    out[ranked(values[None])[0]] = np.arange(1, len(values) + 1)
    return out


def _ratio(ours: F64, theirs: F64, seed: int, resamples: int) -> Interval:
    """Mean over mean, resampled by query."""
    rng = np.random.default_rng([seed, 0x4A71])
    rows = rng.integers(0, len(ours), size=(resamples, len(ours)))
    return interval(ours[rows].mean(axis=1) / theirs[rows].mean(axis=1), float(ours.mean() / theirs.mean()))
