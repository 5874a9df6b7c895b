"""Classes and pairs of classes told from posteriors: the digits of the informed-prior paper.

Notation: W words, G images of the gallery.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019, section 3.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.measured import Measured
from olrsearch.maths.gaussian_sets import joined
from olrsearch_benchmarks.words.posterior_data import GalleryDivergences, nearest

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I8, Bool
    from olrsearch_benchmarks.words.posterior_data import PosteriorData

RETRIEVED: Final = 20
"""Images of an answer, as in the paper's figures 3 and 4."""

DIGITS: Final = 10
"""The paper's figures are those of so many classes."""

CIFAR: Final = 100

_TOP: Final = 5
_IMAGE_QUERIES: Final = 500
"""Images that others are compared with, drawn from the gallery."""


@dataclass(frozen=True, slots=True)
class PairRetrieval:
    """What was found for one pair of words.

    Attributes:
        first: A word.
        second: The other.
        images: Images of the gallery that hold exactly these two.
        exact: Share of such among the nearest `RETRIEVED` by KL(query‖image).
        farthest_doubles: Share of images with one word alone, twice the same digit, among the farthest.
        nearest_nats: The smallest divergence.
    """

    first: str
    second: str
    images: int
    exact: float
    farthest_doubles: float
    nearest_nats: float


def measure_classes(data: PosteriorData, densities: F64, *, seed: int = 0) -> tuple[Measured, ...]:
    """How often the likeliest word is the image's.

    Args:
        data: Every image of its gallery has one label.
        densities: float64 [W, G], ln N(w; μ, Σ).
        seed: Recorded.

    Source: section 3, "Classification".
    """
    truth = data.truth > 0
    own = truth.argmax(axis=0)
    right = densities.argmax(axis=0) == own
    words = len(truth)
    recall = [float(right[own == word].mean()) for word in range(words) if (own == word).any()]
    reported = {CIFAR: 0.125 if data.vocabulary.lift is None else 0.425, DIGITS: 0.995}
    rows = [
        Measured.of(
            "accuracy of the likeliest word",
            float(right.mean()),
            0.99 if words == DIGITS else None,
            seed=seed,
            paper=reported.get(words),
        ),
        Measured.of("accuracy on the worst class", min(recall), seed=seed),
    ]
    if words > 2 * _TOP:
        first = nearest(-densities.T, _TOP)
        among = float((first == own[:, None]).any(axis=1).mean())
        rows.append(Measured.of(f"own class among the {_TOP} likeliest words", among, seed=seed))
    return tuple(rows)


def measure_pairs(
    data: PosteriorData, densities: F64, *, seed: int = 0
) -> tuple[tuple[Measured, ...], tuple[PairRetrieval, ...]]:
    """Pairs told, retrieved by two words, and compared with each other.

    Args:
        data: Every image of its gallery has one label or two.
        densities: float64 [W, G].
        seed: Of the images that others are compared with.

    Returns:
        The figures, and what was found for each pair of words that some image holds.

    Raises:
        BenchmarkError: no image has two labels.

    Source: section 3: "Classification" (the two most likely words), "Image retrieval", "Image similarity".
    """
    truth = data.truth > 0
    double = truth.sum(axis=0) == 1
    if double.all():
        raise BenchmarkError("no image of the gallery has two labels: measure them as classes")
    rows = _told(truth, double, densities, seed)
    divergences = GalleryDivergences(data)
    pairs = _retrieved(data, truth, double, divergences)
    exact = [pair.exact for pair in pairs]
    digits = len(truth) == DIGITS
    rows += [
        Measured.of(
            f"first {RETRIEVED} of a pair of words hold exactly it, mean of {len(pairs)} pairs",
            float(np.mean(exact)),
            0.98 if digits else None,
            seed=seed,
            paper=1.0,
        ),
        Measured.of(
            f"first {RETRIEVED} of a pair of words hold exactly it, worst pair",
            min(exact),
            0.9 if digits else None,
            seed=seed,
        ),
        Measured.of(
            f"farthest {RETRIEVED} of a pair of words are doubles",
            float(np.mean([pair.farthest_doubles for pair in pairs])),
            seed=seed,
        ),
        *_alike(data, truth, double, divergences, seed),
    ]
    return tuple(rows), pairs


def _told(truth: Bool, double: Bool, densities: F64, seed: int) -> list[Measured]:
    first = nearest(-densities.T, 2)
    two = np.zeros(truth.shape, np.bool_)
    np.put_along_axis(two, first.T, values=True, axis=0)
    matched = (two == truth).all(axis=0)
    top = truth[first[:, 0], np.arange(truth.shape[1])]
    right = np.where(double, top, matched)
    paper = 0.955 if len(truth) == DIGITS else None
    nan = float("nan")
    return [
        Measured.of(
            "two likeliest words are the two present",
            float(matched[~double].mean()),
            paper,
            seed=seed,
            paper=paper,
        ),
        Measured.of(
            "likeliest word is the one present, doubles",
            float(top[double].mean()) if double.any() else nan,
            seed=seed,
        ),
        Measured.of("both together", float(right.mean()), seed=seed),
        Measured.of("share of doubles", float(double.mean()), seed=seed),
    ]


def _retrieved(
    data: PosteriorData, truth: Bool, double: Bool, divergences: GalleryDivergences
) -> tuple[PairRetrieval, ...]:
    names = data.names
    holding = {
        pair: truth[list(pair)].all(axis=0) & (truth.sum(axis=0) == 2)
        for pair in itertools.combinations(range(len(names)), 2)
    }
    pairs = [pair for pair, held in holding.items() if held.any()]
    priors = joined([data.prior_of(pair) for pair in pairs])
    found = []
    for number, (first, second) in enumerate(pairs):
        distances = divergences.of(priors[number], "query-to-image")[0]
        near, far = nearest(distances, RETRIEVED), nearest(-distances, RETRIEVED)
        held = holding[first, second]
        found.append(
            PairRetrieval(
                names[first],
                names[second],
                int(held.sum()),
                float(held[near].mean()),
                float(double[far].mean()),
                float(distances[near[0]]),
            )
        )
    return tuple(found)


def _alike(
    data: PosteriorData, truth: Bool, double: Bool, divergences: GalleryDivergences, seed: int
) -> list[Measured]:
    """Images compared with images: the nearest hold the same labels, the farthest one label twice."""
    drawn = np.random.default_rng([seed, 0x51B])
    asked = np.sort(drawn.permutation(len(data.gallery))[:_IMAGE_QUERIES])
    codes: I8 = truth.astype(np.int8)
    same, doubles = [], []
    for row in asked.tolist():
        distances = divergences.of(divergences.images(np.array([row])), "query-to-image")[0]
        far = nearest(-distances, RETRIEVED)
        distances[row] = np.inf  # an image is like itself
        near = nearest(distances, min(RETRIEVED, len(distances) - 1))
        same.append(float((codes[:, near] == codes[:, [row]]).all(axis=0).mean()))
        doubles.append(float(double[far].mean()))
    return [
        Measured.of(
            f"first {RETRIEVED} of an image hold the same labels, mean of {len(asked)} images",
            float(np.mean(same)),
            seed=seed,
            paper=1.0,
        ),
        Measured.of(
            f"farthest {RETRIEVED} of an image are doubles, mean of {len(asked)} images",
            float(np.mean(doubles)),
            seed=seed,
            paper=1.0,
        ),
    ]
