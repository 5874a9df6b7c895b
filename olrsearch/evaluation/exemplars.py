"""P3 of single labels: triplets, and exemplars ('this one's smile, that one's hair')."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.evaluation.metrics import ratio
from olrsearch.evaluation.queries import conjunction_scores, judge, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, F64, I8, I64
    from olrsearch.evaluation.data import BenchData
    from olrsearch.evaluation.spaces import LabelSpace


TRIPLETS = 2000


EXEMPLARS = 5


def triplet_accuracy(spaces: Mapping[str, LabelSpace], truth: I8, rng: np.random.Generator) -> dict[str, F64]:
    """Per label, how often an image sharing it is nearer than one lacking it; ties count half."""
    out = {name: np.full(len(truth), np.nan) for name in spaces}
    for label, known in enumerate(truth):
        present, absent = np.flatnonzero(known > 0), np.flatnonzero(known < 0)
        if len(present) < 2 or not len(absent):
            continue
        anchor = rng.integers(len(present), size=TRIPLETS)
        other = (anchor + rng.integers(1, len(present), size=TRIPLETS)) % len(present)
        negative = absent[rng.integers(len(absent), size=TRIPLETS)]
        for name, space in spaces.items():
            near = space.pairs(label, present[anchor], present[other])
            far = space.pairs(label, present[anchor], negative)
            out[name][label] = float(((near < far) + 0.5 * (near == far)).mean())
    return out


def exemplar_precision(
    spaces: Mapping[str, LabelSpace],
    data: BenchData,
    truth: I8,
    wanted: list[tuple[int, int]],
    rng: np.random.Generator,
) -> dict[str, dict[str, F64]]:
    """Measures of every query A & B, averaged over its pairs of exemplars; empty without queries."""
    signs: list[I8] = []
    drawn: list[tuple[int, int, int, int]] = []
    for a, b in wanted:
        sign = np.zeros(len(truth), np.int8)
        sign[[a, b]] = 1
        for _ in range(EXEMPLARS):
            first, second = _exemplar(truth[a], truth[b], rng), _exemplar(truth[b], truth[a], rng)
            if first is not None and second is not None:
                signs.append(sign)
                drawn.append((a, b, first, second))
    if not drawn:
        return {}
    asked = np.array(signs, np.int8)
    relevant, judged, gains = judge(asked, truth)
    for row, (_, _, first, second) in enumerate(drawn):
        judged[row, [first, second]] = False
    relevant &= judged
    scores: dict[str, F32 | F64] = {
        name: -np.stack(
            [
                _alike(space.from_label(a, first)) + _alike(space.from_label(b, second))
                for a, b, first, second in drawn
            ]
        )
        for name, space in spaces.items()
    }
    rows = data.gallery
    scores["attributes"] = np.asarray(conjunction_scores(asked, data.log_p[:, rows], data.log_not_p[:, rows]))
    scores["random"] = rng.random(relevant.shape, np.float32)
    query = np.unique(np.array([(a, b) for a, b, _, _ in drawn]), axis=0, return_inverse=True)[1].ravel()
    return {
        name: {
            key: group_mean(values, query) for key, values in measure(value, relevant, judged, gains).items()
        }
        for name, value in scores.items()
    }


def _alike(distances: F32) -> F32:
    """Distances with standard deviation 1, as labels named together are added up."""
    spread = float(distances.std(dtype=np.float64))
    return distances / np.float32(spread) if spread > 0 else distances


def _exemplar(wanted: I8, other: I8, rng: np.random.Generator) -> int | None:
    """An image with a label and, where there is one, without the other: it must not answer the query."""
    for candidates in (np.flatnonzero((wanted > 0) & (other < 0)), np.flatnonzero(wanted > 0)):
        if len(candidates):
            return int(rng.choice(candidates))
    return None


def group_mean(values: F64, group: I64) -> F64:
    """The mean of the values of each group: float64, by rising group."""
    usable = np.isfinite(values)
    total = np.bincount(group, np.where(usable, values, 0.0))
    count = np.bincount(group, usable)
    return ratio(total, count)
