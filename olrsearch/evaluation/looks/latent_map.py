"""A map of a latent space in two dimensions: images as points, the words' Gaussians as ellipses.

Notation: n images on the map, W words on it, d dimensions of the latent space, G all words of the encoder.

Source: paper 003, figures 2 and 7 to 10; paper 002, figure 5 (by t-SNE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
from scipy import linalg

from olrsearch.core.errors import BenchmarkError, OptionalDependencyError, QueryError
from olrsearch.core.shown import shown
from olrsearch.maths.gaussian import SIGMA0

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64, I8, I64
    from olrsearch.maths.gaussian import Gaussians

MapBy = Literal["auto", "plain", "pca", "lda", "tsne"]
MAPS: Final[tuple[MapBy, ...]] = get_args(MapBy)

_FEWEST: Final = 3
"""Images, and words for `lda`, without which there is nothing to see."""


@dataclass(frozen=True, slots=True, eq=False)
class LatentMap:
    """A latent space in two dimensions.

    Attributes:
        by: How d dimensions became two: `plain` (they were), `pca`, `lda` or `tsne`.
        points: float64 [n, 2], the images.
        image_ids: int64 [n].
        word: int64 [n], which of the words an image shows, by its stored labels: −1 where it shows none of
            them, or several.
        words: The W words on the map.
        centres: float64 [W, 2], means of the words' Gaussians; None by t-SNE, which has no place for them.
        covariances: float64 [W, 2, 2], of the same.
        explained: `pca`: share of the variance of the images; `lda`: share of the variance between the words;
            None otherwise.
        notes: What a reader must know.
    """

    by: str
    points: F64
    image_ids: I64
    word: I64
    words: tuple[str, ...]
    centres: F64 | None
    covariances: F64 | None
    explained: float | None
    notes: tuple[str, ...] = ()


def draw_map(
    means: F64,
    labels: I8,
    image_ids: I64,
    gaussians: Gaussians,
    words: Sequence[str],
    *,
    by: str = "auto",
    seed: int = 0,
) -> LatentMap:
    """Put images and words on a map.

    Args:
        means: float64 [n, d], of the images.
        labels: int8 [n, W], which of the words each shows, −1/0/+1.
        image_ids: int64 [n].
        gaussians: W Gaussians, of the words.
        words: Their names.
        by: One of `MAPS`; `auto` takes the two dimensions as they are, or else `lda`, or `pca` for few words.
        seed: Of t-SNE.

    Raises:
        QueryError: no such way, or `plain` for more than two dimensions.
        BenchmarkError: too few images or words, or images that do not vary.
        OptionalDependencyError: t-SNE without scikit-learn.

    Source: Fisher (1936), "The Use of Multiple Measurements in Taxonomic Problems", for `lda`; van der Maaten
        and Hinton (2008), "Visualizing Data using t-SNE".
    """
    if by not in MAPS:
        raise QueryError(f"no way {shown(by)} to draw a map: expected one of {', '.join(MAPS)}")
    if len(means) < _FEWEST:
        raise BenchmarkError(f"{len(means)} images, expected {_FEWEST} or more to draw a map: select more")
    size = means.shape[1]
    way = by
    if by == "auto":
        way = "plain" if size == 2 else ("lda" if len(words) >= _FEWEST and size > 2 else "pca")
    present = labels > 0
    word = np.where(present.sum(axis=1) == 1, present.argmax(axis=1), -1).astype(np.int64)
    if way == "tsne":
        notes = ("by t-SNE: distances between groups mean nothing, and words have no ellipses",)
        points = _tsne(means, seed)
        return LatentMap(way, points, image_ids, word, tuple(words), None, None, None, notes)
    axes, explained = _axes(way, means, gaussians)
    note = {
        "plain": "the latent space has two dimensions, drawn as they are",
        "pca": f"of {size} dimensions, the two that images vary most in ({explained:.0%} of the variance)",
        "lda": f"of {size} dimensions, the two that tell the words apart best ({explained:.0%} of what is "
        "between them)",
    }[way]
    return LatentMap(
        way,
        means @ axes.T,
        image_ids,
        word,
        tuple(words),
        gaussians.mean @ axes.T,
        axes @ gaussians.covariance @ axes.T,
        None if way == "plain" else explained,
        (note,),
    )


def _axes(way: str, means: F64, gaussians: Gaussians) -> tuple[F64, float]:
    """Two axes, float64 [2, d], and the share of the variance that they hold."""
    size = means.shape[1]
    if way == "plain":
        if size != 2:
            raise QueryError(f"the latent space has {size} dimensions, and plain draws two: take pca or lda")
        return np.eye(2), 1.0
    if size == 1:
        return np.array([[1.0], [0.0]]), 1.0
    if way == "pca":
        values, vectors = np.linalg.eigh(np.cov(means.T))
        whole = values.sum()
    else:
        if len(gaussians) < _FEWEST:
            raise BenchmarkError(
                f"lda tells words apart, and {len(gaussians)} are on the map: name {_FEWEST} or more, or "
                "take pca"
            )
        within = gaussians.covariance.mean(axis=0) + SIGMA0**2 * np.eye(size)
        values, vectors = linalg.eigh(np.cov(gaussians.mean.T), within)
        whole = values.sum()
    if not whole > 0:
        raise BenchmarkError("all points are one: there is nothing to draw a map of")
    chosen = vectors[:, ::-1][:, :2].T
    # Signs are free: the larger part of each axis points up, so that maps of one space are alike.
    chosen *= np.sign(chosen[np.arange(2), np.abs(chosen).argmax(axis=1)])[:, None]
    return chosen, float(values[-2:].sum() / whole)


def _tsne(means: F64, seed: int) -> F64:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise OptionalDependencyError(
            "a map by t-SNE needs the package scikit-learn, which is not installed: run pip install "
            "'olrsearch[audit]', or take pca"
        ) from error
    perplexity = min(30.0, (len(means) - 1) / 3)
    found: F64 = TSNE(2, perplexity=perplexity, random_state=seed, init="pca").fit_transform(means)
    return found.astype(np.float64)
