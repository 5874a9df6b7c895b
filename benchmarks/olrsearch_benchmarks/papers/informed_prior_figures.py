"""What the figures of the informed-prior paper show, of a space of pairs: images, points, divergences.

Nothing is drawn here. Notation: W words, d dimensions, n images or points of a figure.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019, figures 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.encoders.words.vocabulary import ONE_HOT
from olrsearch_benchmarks.words.posterior_data import GalleryDivergences, nearest
from olrsearch_benchmarks.words.word_sets import RETRIEVED

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch_benchmarks.words.posterior_data import PosteriorData

RETRIEVED_PAIRS: Final = ((4, 5), (5, 6))
"""Positions of the words of figure 3: the digits 4 and 5, 5 and 6."""

SAMPLED_PAIR: Final = (1, 3)
"""Of figure 2."""

_POSTERIORS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class ShownImages:
    """Images in an order, with their divergences.

    Attributes:
        name: Of the figure, as part of a file's name.
        title: What it shows.
        ids: int64 [n].
        captions: One each.
    """

    name: str
    title: str
    ids: I64
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShownPosteriors:
    """Figure 1.

    Attributes:
        ids: int64 [n].
        captions: The words each holds.
        samples: float32 [n, d], a draw from each posterior.
        mean: float64 [n, d].
        covariance: float64 [n, d, d].
    """

    ids: I64
    captions: tuple[str, ...]
    samples: F32
    mean: F64
    covariance: F64


@dataclass(frozen=True, slots=True, eq=False)
class PairFigures:
    """Everything that the paper's figures show.

    Attributes:
        images: Figures 3 and 4: retrieved for two pairs of words; nearest to and farthest from an image.
        samples: Figure 2: draws from the prior of a pair, float32 [n, d].
        sampled: The words of that pair.
        posteriors: Figure 1.
        shrinkage: λ of the priors; None where Gaussians of words were learned.
        names: What the d coordinates are: the words where they are one-hot, else numbers.
    """

    images: tuple[ShownImages, ...]
    samples: F32
    sampled: str
    posteriors: ShownPosteriors
    shrinkage: float | None
    names: tuple[str, ...]


def pair_figures(data: PosteriorData, *, seed: int = 0) -> PairFigures:
    """Choose what the figures show.

    Args:
        data: Every image of its gallery has one label or two.
        seed: Of draws.

    Raises:
        BenchmarkError: labels of another kind, or fewer words than the figures name.
    """
    words = len(data.names)
    most = max(max(pair) for pair in (*RETRIEVED_PAIRS, SAMPLED_PAIR))
    if data.kind != "pairs" or words <= most:
        raise BenchmarkError(
            f"figures are of pairs of {most + 1} classes or more; {data.space} has {words} words and a "
            f"gallery of {data.kind}: name a space of pairs with --space"
        )
    divergences = GalleryDivergences(data)
    words_are_axes = data.vocabulary.transform == ONE_HOT
    rng = np.random.default_rng([seed, 0xF16])
    shown = []
    for pair in RETRIEVED_PAIRS:
        prior = data.prior_of(pair)
        distances = divergences.of(prior, "query-to-image")[0]
        said = " and ".join(data.names[word] for word in pair)
        name = "retrieved-" + "-".join(str(word) for word in pair)
        shown.append(_images(data, name, f"Nearest to {said}, by KL(query‖image)", distances))
    shown += _unlike(data, divergences)
    prior = data.prior_of(SAMPLED_PAIR)
    return PairFigures(
        images=tuple(shown),
        samples=prior.sample(RETRIEVED, rng)[0].astype(np.float32),
        sampled=" and ".join(data.names[word] for word in SAMPLED_PAIR),
        posteriors=_posteriors(data, divergences, rng),
        shrinkage=data.shrinkage,
        names=data.names if words_are_axes else tuple(map(str, range(data.vocabulary.size))),
    )


def _images(
    data: PosteriorData, name: str, title: str, distances: F64, *, farthest: bool = False
) -> ShownImages:
    order = nearest(-distances if farthest else distances, RETRIEVED)
    captions = tuple(f"{value:.1f}" for value in distances[order].tolist())
    return ShownImages(name, title, data.image_ids[data.gallery[order]], captions)


def _unlike(data: PosteriorData, divergences: GalleryDivergences) -> list[ShownImages]:
    """Figure 4, of the first image of the gallery that shows two classes; it is the first of its nearest."""
    row = int(np.argmax((data.truth > 0).sum(axis=0) == 2))
    distances = divergences.of(divergences.images(np.array([row])), "query-to-image")[0]
    said = _said(data, row)
    return [
        _images(data, "nearest", f"Most similar to an image of {said}, by KL", distances),
        _images(data, "farthest", f"Least similar to an image of {said}, by KL", distances, farthest=True),
    ]


def _posteriors(
    data: PosteriorData, divergences: GalleryDivergences, rng: np.random.Generator
) -> ShownPosteriors:
    """The first images of the gallery that show one class twice, and two classes: one, and three of them."""
    count = (data.truth > 0).sum(axis=0)
    double = np.flatnonzero(count == 1)[:1]
    rows = np.concatenate([np.flatnonzero(count == 2)[: _POSTERIORS - len(double)], double])
    gaussians = divergences.images(rows)
    return ShownPosteriors(
        ids=data.image_ids[data.gallery[rows]],
        captions=tuple(_said(data, int(row)) for row in rows),
        samples=gaussians.sample(1, rng)[:, 0].astype(np.float32),
        mean=gaussians.mean,
        covariance=gaussians.covariance,
    )


def _said(data: PosteriorData, row: int) -> str:
    held = np.flatnonzero(data.labels[data.gallery[row]] > 0)
    return " and ".join(data.names[word] for word in held)
