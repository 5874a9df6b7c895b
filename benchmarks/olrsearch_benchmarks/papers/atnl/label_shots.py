"""Few examples of a face label: what they find, and whether embeddings between them help.

A label is to be found among val and test by some images that have it and as many that lack it. Beside the
examples a classifier is given embeddings on the way between two of them. An encoder that was trained on the
label has it in its embeddings (leaking); without that label's own vector it is found by the others alone.

Notation: N images, G of the gallery, L labels, k numbers a label, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.encoders.trainer.metrics import average_precision
from olrsearch.maths.logistic import fit_logistic
from olrsearch.maths.sphere import slerp

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64
    from olrsearch.evaluation.data import BenchData

SHOTS: Final = (5, 10, 20)
SCORERS: Final = ("logistic", "3 nearest")

_COPIES: Final = 60
_NEAREST: Final = 3
_RIDGE: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class LabelShots:
    """What some examples of each label find.

    Attributes:
        shots: Examples with the label, and without it.
        scorer: What was taught.
        own: Whether the label's own vector is among the features.
        plain: Average precision of each label with the examples alone, mean over draws, float64 [L].
        hallucinated: The same with embeddings between them.
    """

    shots: int
    scorer: str
    own: bool
    plain: F64
    hallucinated: F64


def measure_label_shots(data: BenchData, *, draws: int, seed: int) -> list[LabelShots]:
    """Every number of shots with every scorer, with and without the label's own vector.

    Args:
        data: Of a space of label embeddings.
        draws: Draws of examples that are averaged.
        seed: Of the draws.
    """
    count, size = len(data.label_names), data.embeddings.shape[2]
    features = _standardised(data)
    found = []
    for own in (True, False):
        cells: dict[tuple[int, str], F64] = {
            (shots, scorer): np.full((2, count), np.nan) for shots in SHOTS for scorer in SCORERS
        }
        for label in range(count):
            # Columns of zeros change no product and no distance.
            hidden = slice(0) if own else slice(label * size, (label + 1) * size)
            for shots in SHOTS:
                for scorer, pair in _of_label(data, features, hidden, label, shots, draws, seed).items():
                    cells[shots, scorer][:, label] = pair
        found += [LabelShots(shots, scorer, own, *values) for (shots, scorer), values in cells.items()]
    return found


def _standardised(data: BenchData) -> F32:
    """Embeddings with mean 0 and deviation 1 over the training images, float32 [N, L k]."""
    stacked = np.asarray(data.embeddings, np.float32).transpose(1, 0, 2).reshape(len(data.keys), -1)
    taught = stacked[data.train]
    deviation = taught.std(axis=0)
    found: F32 = (stacked - taught.mean(axis=0)) / np.where(deviation > 0, deviation, 1).astype(np.float32)
    return found


def _of_label(
    data: BenchData, features: F32, hidden: slice, label: int, shots: int, draws: int, seed: int
) -> dict[str, F64]:
    """Average precision without and with embeddings between examples, float64 [2], of each scorer."""
    values = data.labels[:, label]
    pools = [data.train[values[data.train] == sign] for sign in (1, -1)]
    if min(len(pool) for pool in pools) < shots:
        return {scorer: np.full(2, np.nan) for scorer in SCORERS}
    gallery, truth = features[data.gallery], data.labels[data.gallery, label][:, None]
    gallery[:, hidden] = 0
    scores: dict[str, list[list[float]]] = {scorer: [] for scorer in SCORERS}
    for draw in range(draws):
        rng = np.random.default_rng([seed, label, shots, draw])
        examples = [features[rng.choice(pool, shots, replace=False)] for pool in pools]
        for part in examples:
            part[:, hidden] = 0
        between = [_between(part, rng) for part in examples]
        more = [np.concatenate(both) for both in zip(examples, between, strict=True)]
        for scorer in SCORERS:
            ask = _logistic if scorer == SCORERS[0] else _nearest
            asked = [ask(present, absent, gallery) for present, absent in (examples, more)]
            scores[scorer].append([float(average_precision(one[:, None], truth)[0]) for one in asked])
    return {scorer: np.mean(rows, axis=0) for scorer, rows in scores.items()}


def _between(examples: F32, rng: np.random.Generator) -> F32:
    """Embeddings on the way between two examples, of the length between theirs, float32 [c, F]."""
    first, second = (examples[rng.integers(0, len(examples), _COPIES)] for _ in range(2))
    shares = rng.uniform(0.2, 0.8, _COPIES)
    lengths = [np.linalg.norm(part, axis=1) for part in (first, second)]
    directions = np.concatenate(
        [slerp(one, other, [share]) for one, other, share in zip(first, second, shares, strict=True)]
    )
    found: F32 = (directions * ((1 - shares) * lengths[0] + shares * lengths[1])[:, None]).astype(np.float32)
    return found


def _logistic(present: F32, absent: F32, gallery: F32) -> F32:
    """Logits of a ridge logistic regression, float32 [G], fitted in the span of the examples."""
    rows = np.concatenate([present, absent]).astype(np.float64)
    target = np.repeat([1.0, 0.0], [len(present), len(absent)])
    # The weight lies in the span of the rows: with their singular vectors the problem has n columns, not F.
    _, values, axes = np.linalg.svd(rows, full_matrices=False)
    axes = axes[values > values[0] * 1e-6]
    columns = np.concatenate([rows @ axes.T, np.ones((len(rows), 1))], axis=1)
    scale = float(np.square(rows).sum(axis=1).mean())
    ridge = np.full(columns.shape[1], _RIDGE * scale * len(rows) / 100)
    ridge[-1] = 1e-3
    start = np.zeros(columns.shape[1])
    often = np.where(target > 0, 1 / len(present), 1 / len(absent)) * len(rows) / 2
    weight = fit_logistic([(columns, target, often)], start, ridge, start)
    found: F32 = (gallery @ (weight[:-1] @ axes).astype(np.float32)).astype(np.float32)
    return found


def _nearest(present: F32, absent: F32, gallery: F32) -> F32:
    """How much nearer the nearest examples with the label are than those without it, float32 [G]."""
    return np.asarray(_mean_distance(absent, gallery) - _mean_distance(present, gallery), np.float32)


def _mean_distance(examples: F32, gallery: F32) -> F32:
    """Mean distance of the three nearest examples, float32 [G]."""
    squares = (
        np.square(gallery).sum(axis=1)[:, None]
        - 2 * gallery @ examples.T
        + np.square(examples).sum(axis=1)[None]
    )
    count = min(_NEAREST, len(examples))
    nearest = np.partition(np.maximum(squares, 0), count - 1, axis=1)[:, :count]
    found: F32 = np.sqrt(nearest).mean(axis=1)
    return found
