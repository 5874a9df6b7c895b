"""What the posteriors of all images say of words: ratios of densities, kept as files a segment.

An image's ratio of a word w is ln N(w; μ, Σ) − ln (1/W) Σ_v N(v; μ, Σ) over the encoder's own words v:
how much denser its posterior is at w than at the words on the average, in nats. Ratios of the own words
and the subtrahend, the background, are kept as label scores are.

Where an encoder learned Gaussians of its words, the image is represented by its mean, and the density is
ln N(μ; word's Gaussian). Where each image shows one word, the ln of the mean over the *other* words is
subtracted: with the word itself among them no ratio could exceed ln W, and all images that surely show a word
would be alike. Where images show several words, it is the density under the Gaussian of images without the
word.

```
<folder>/<segment>.npy             float32 [W, n]: ratios of the own words
<folder>/<segment>.background.npy  float64 [n]
<folder>/<segment>.json            what they are of: equal descriptions mean equal numbers
```

Densities are computed in float64 from the stored factors, because float32 KL features lose whole nats
where a posterior is narrow. A kept ratio is rounded to float32: it is off by 6·10⁻⁸ of itself at most.

Notation: N images (rows of a view), n images of a segment, W own words, m points, d dimensions.

Source: paper 004, section 3 (classification ranks words by N(w; μ, Σ)); paper 003 for learned Gaussians;
the background is ours.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import GaussianError, StoreCorruptError
from olrsearch.encoders.words.learned import LearnedWords
from olrsearch.maths.gaussian import LOG_2PI
from olrsearch.maths.triangles import diagonal_places, pack, triangle
from olrsearch.search.artefacts import keep_arrays, kept_arrays
from olrsearch.search.kl.view import check_means, check_sound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.artefacts import Form
    from olrsearch.search.kl.view import KlView, PosteriorPart

_log = logging.getLogger(__name__)

FORMAT_VERSION: Final = 1

_BLOCK_NUMBERS: Final = 1 << 19
"""Numbers of one float64 temporary while densities are computed: 4 MB."""


class Ratios(NamedTuple):
    """What is kept of a segment.

    Attributes:
        own: float32 [W, n], ratios of the encoder's own words, nats.
        background: float64 [n], ln of the mean density at the own words, nats.
    """

    own: F32
    background: F64


def log_densities(part: PosteriorPart, points: F64) -> F64:
    """The logarithm of N(point; image) of every point under every posterior, float64 [m, n].

    By forward substitution in the packed factors, block by block: nothing is inverted or unpacked.

    Args:
        part: Posteriors, d dimensions.
        points: float64 [m, d], finite.

    Raises:
        GaussianError: points of another shape, or not finite.
        VectorError: a posterior holds NaN or infinity, or is singular; the image is named.
    """
    size = int(part.mean.shape[1])
    if points.ndim != 2 or points.shape[1] != size or not np.isfinite(points).all():
        raise GaussianError(f"points of shape {points.shape}: expected finite numbers [m, {size}]")
    count, images = len(points), len(part.ids)
    ends = diagonal_places(size)
    out = np.empty((count, images))
    step = max(1, _BLOCK_NUMBERS // (max(count, 1) * size))
    for start in range(0, images, step):
        rows = slice(start, start + step)
        mean, factor = part.mean[rows].astype(np.float64), part.factor[rows].astype(np.float64)
        diagonal = factor[:, ends]
        check_sound(part.ids[rows], mean, factor, diagonal)
        whitened = points[None, :, :] - mean[:, None, :]
        for row in range(size):
            if row:
                before = factor[:, triangle(row) : triangle(row) + row, None]
                whitened[:, :, row] -= (whitened[:, :, :row] @ before)[:, :, 0]
            whitened[:, :, row] /= diagonal[:, None, row]
        squares = np.einsum("nmd,nmd->mn", whitened, whitened)
        out[:, rows] = -0.5 * (squares + size * LOG_2PI) - np.log(diagonal).sum(axis=1)
    return out


def compute_ratios(part: PosteriorPart, words: F64 | LearnedWords) -> Ratios:
    """Ratios of the own words and the background, of posteriors in memory or in a segment.

    Args:
        part: Posteriors, d dimensions.
        words: The own words, `Vocabulary.scored`.

    Raises:
        GaussianError, VectorError: as `log_densities`.
    """
    if isinstance(words, LearnedWords):
        return _ratios_of_means(part, words)
    found = log_densities(part, words)
    background = log_mean_exp(found)
    return Ratios((found - background).astype(np.float32), background)


def _ratios_of_means(part: PosteriorPart, words: LearnedWords) -> Ratios:
    """Ratios by learned Gaussians, block by block."""
    images, size = len(part.ids), words.size
    out = Ratios(np.empty((len(words), images), np.float32), np.empty(images))
    step = max(1, _BLOCK_NUMBERS // (len(words) * size))
    for start in range(0, images, step):
        rows = slice(start, start + step)
        mean = part.mean[rows].astype(np.float64)
        check_means(part.ids[rows], mean)
        out.own[:, rows], out.background[rows] = ratios_of_points(mean, words)
    return out


def ratios_of_points(points: F64, words: LearnedWords) -> tuple[F64, F64]:
    """Ratios of the own words at points of the latent space, and the background.

    Args:
        points: float64 [n, d], such as means of images.
        words: The own words.

    Returns:
        float64 [W, n] and float64 [n], the ln of the mean density of the words' Gaussians, nats.
    """
    found = words.present.log_likelihood(points)
    against = log_mean_others(found) if words.absent is None else words.absent.log_likelihood(points)
    return found - against, log_mean_exp(found)


def ratios_of_images(images: Gaussians, words: F64 | LearnedWords) -> F64:
    """Ratios of the own words of a few posteriors, float64 [W, n] nats.

    Raises:
        GaussianError: words of another dimension.
    """
    if isinstance(words, LearnedWords):
        return ratios_of_points(images.mean, words)[0]
    densities = images.log_likelihood(words).T
    return densities - log_mean_exp(densities)


def log_mean_exp(values: F64) -> F64:
    """The logarithm of (1/W) Σ_w exp(x_w) of float64 [W, n], without overflow: float64 [n]."""
    largest = values.max(axis=0)
    out: F64 = largest + np.log(np.exp(values - largest).mean(axis=0))
    return out


def log_mean_others(values: F64) -> F64:
    """The logarithm of the mean of exp(x_v) over all v but w, for each w: float64 [W, n], W ≥ 1.

    Of a single word it is the word itself.
    """
    count = len(values)
    if count == 1:
        return values
    is_top = np.arange(count)[:, None] == values.argmax(axis=0)
    largest = values.max(axis=0)
    # The largest is left out before anything is summed: a difference would have no digits.
    rest = np.where(is_top, -np.inf, values)
    second = rest.max(axis=0)
    beside = second + np.log(np.exp(rest - second).sum(axis=0))
    others = largest + np.log(1.0 + np.exp(beside - largest) - np.exp(rest - largest))
    found: F64 = np.where(is_top, beside, others) - np.log(count - 1)
    return found


def write_ratios(folder: Path, part: PosteriorPart, words: F64 | LearnedWords, *, segment: str) -> None:
    """Compute the ratios of a segment and keep them, in place of what there is.

    Args:
        folder: Of all word scores of a space.
        part: The segment.
        words: The own words, `Vocabulary.scored`.
        segment: The segment's uuid, recorded.

    Raises:
        GaussianError, VectorError: as `log_densities`.
        OSError: the folder cannot be written to.
    """
    made = compute_ratios(part, words)
    arrays: dict[str, F32 | F64] = {f"{segment}.npy": made.own, f"{segment}.background.npy": made.background}
    keep_arrays(folder / f"{segment}.json", arrays, _description(part, words, segment))


def read_ratios(
    folder: Path, part: PosteriorPart, words: F64 | LearnedWords, *, segment: str
) -> Ratios | None:
    """What `write_ratios` kept, memory-mapped.

    Returns:
        None where there is nothing, or it is of another segment, other words or another format: it is
        derived, and computing it again is always right.

    Raises:
        StoreCorruptError: the description fits, and an array is damaged.
    """
    forms, description = _forms(part, words, segment), _description(part, words, segment)
    found = kept_arrays(folder / f"{segment}.json", forms, description, error=StoreCorruptError)
    return None if found is None else Ratios(*found)


class WordScores:
    """Ratios of words for all images of a view.

    Args:
        view: The images.
        words: The own words, `Vocabulary.scored`.
        kept: Ratios of every part of the view; None where they are computed, once, when they are first
            needed.
    """

    def __init__(self, view: KlView, words: F64 | LearnedWords, kept: Iterable[Ratios | None] = ()) -> None:
        self.view = view
        self.words = words
        self._ratios = {number: found for number, found in enumerate(kept) if found is not None}

    def own(self, word: int) -> F64:
        """Ratios of one of the encoder's own words, by its position: float64 [N], nats.

        Raises:
            VectorError: as `log_densities`.
        """
        out = np.empty(len(self.view))
        for number, rows, alive in self.view.layout():
            found = self._of(number).own[word]
            out[rows] = found if alive is None else found[alive]
        return out

    def own_of(self, rows: I64) -> F64:
        """Ratios of all own words of some rows: float64 [W, len(rows)], nats."""
        out = np.empty((len(self.words), len(rows)))
        for part, mine, places in self.view.split(rows):
            out[:, mine] = self._of(part).own[:, places]
        return out

    def at_gaussian(self, gaussian: Gaussians) -> F64:
        """Ratios of a word that is none of the own, by its Gaussian: float64 [N], nats.

        What is subtracted is the background, for nothing says where images lie that lack the word.

        Args:
            gaussian: A batch of one.

        Raises:
            VectorError: as `log_densities`.
        """
        out = np.empty(len(self.view))
        for number, rows, alive in self.view.layout():
            held = self.view.parts[number]
            mean = np.asarray(held.mean, np.float64)
            check_means(held.ids, mean)
            found = gaussian.log_likelihood(mean)[0] - self._of(number).background[:]
            out[rows] = found if alive is None else found[alive]
        return out

    def _of(self, part: int) -> Ratios:
        if part not in self._ratios:
            held = self.view.parts[part]
            _log.info("computing the word scores of %d images: index build keeps them", len(held.ids))
            self._ratios[part] = compute_ratios(held, self.words)
        return self._ratios[part]


def _forms(part: PosteriorPart, words: F64 | LearnedWords, segment: str) -> dict[str, Form]:
    """What the arrays of a segment must be, by the names of their files."""
    count = len(part.ids)
    return {
        f"{segment}.npy": (np.float32, (len(words), count)),
        f"{segment}.background.npy": (np.float64, (count,)),
    }


def _description(part: PosteriorPart, words: F64 | LearnedWords, segment: str) -> dict[str, object]:
    """What word scores are of; equal descriptions mean equal scores."""
    described: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "segment": segment,
        "words": len(words),
        "count": len(part.ids),
        "vectors": digest(words.present.mean if isinstance(words, LearnedWords) else words),
        "ids": digest(part.ids),
    }
    if isinstance(words, LearnedWords):  # of points the description is as it always was
        described["gaussians"] = digest(pack(words.present.factor))
        described["against"] = "other words" if words.absent is None else "images without"
        if words.absent is not None:
            described["absent"] = [digest(words.absent.mean), digest(pack(words.absent.factor))]
    return described
