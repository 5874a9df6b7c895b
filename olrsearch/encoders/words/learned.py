"""Gaussians that an encoder learned for its words: where in its latent space images lie that show a word.

Other encoders have a point for each word and make a Gaussian of it by a rule (`gaussian.word_prior`). Here
training made the Gaussian: by a label encoder, or by fitting it to the means of images.

Notation: W words, d dimensions of the latent space, T = d(d+1)/2, D numbers of an input, m inputs, N images.

Source: paper 003, the label encoder of PSE (a Gaussian with diagonal covariance for each label or word
vector). That a word may also have a Gaussian of the images without it is an extension, for images of
several labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import GaussianError, ModelFileError, TrainingError, WordVectorsError
from olrsearch.maths.covariance import scatter, shrunk_covariance
from olrsearch.maths.gaussian import SIGMA0, Gaussians
from olrsearch.maths.triangles import cholesky, pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from olrsearch.core.arrays import F32, F64, I8, Bool

PRESENT: Final = "words.present"
ABSENT_MEAN: Final = "words.absent_mean"
ABSENT_FACTOR: Final = "words.absent_factor"
MAP_WEIGHT: Final = "words.map_weight"
MAP_BIAS: Final = "words.map_bias"
MAP_RANGE: Final = "words.map_range"
INPUTS: Final = "words.inputs"
"""Names of the tensors in a model file; means of `words.present` are `words.vectors`."""

_POOLED: Final = 20_000
"""Of the images that the pooled covariance is computed from, about as many are taken."""

_MAP: Final = (MAP_WEIGHT, MAP_BIAS, MAP_RANGE, INPUTS)


def scaled(vectors: ArrayLike, length: float) -> F64:
    """Vectors brought to one length, as a label encoder takes them: float64 [m, D].

    Args:
        vectors: float [m, D].
        length: Above 0; 0 leaves them as they are.

    Raises:
        WordVectorsError: other shapes, numbers that are not finite, a negative length, or a vector of zeros
            that is to have one.
    """
    given = np.asarray(vectors, np.float64)
    if given.ndim != 2 or not np.isfinite(given).all():
        raise WordVectorsError(f"label inputs of shape {given.shape}: expected finite numbers [m, D]")
    if not (math.isfinite(length) and length >= 0):
        raise WordVectorsError(f"label inputs of length {length}: expected 0 (as they are) or more")
    if not length:
        return given
    norms = np.linalg.norm(given, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise WordVectorsError("a label input of zeros has no length: expected word vectors with numbers")
    brought: F64 = given * (length / norms)
    return brought


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A linear label encoder: an input vector becomes a mean and a log-variance.

    Attributes:
        weight: float64 [2d, D]; the first d rows give the mean.
        bias: float64 [2d].
        inputs: float64 [W, D], each word's input: one-hot or of a table, already scaled.
        low: Least ln σ², before σ₀² is added.
        high: Greatest ln σ².
        length: What vectors of a table are scaled to before they go in; 0 leaves them as they are.

    Source: paper 003, the label encoder; the clamp and the length are ours.
    """

    weight: F64
    bias: F64
    inputs: F64
    low: float
    high: float
    length: float = 0.0

    @property
    def size(self) -> int:
        """Dimensions of the latent space, d."""
        return len(self.bias) // 2

    def gaussians(self, inputs: ArrayLike) -> Gaussians:
        """Where images lie that show what was put in: m Gaussians with diagonal covariance.

        σ² = exp(clamped ln σ²) + σ₀².

        Args:
            inputs: float [m, D], already scaled; the input of a set is the sum of its words' inputs.

        Raises:
            WordVectorsError: inputs of another length, or not finite.
        """
        given = np.asarray(inputs, np.float64)
        if given.ndim != 2 or given.shape[1] != self.weight.shape[1] or not np.isfinite(given).all():
            raise WordVectorsError(
                f"label inputs of shape {given.shape} for a label encoder of {self.weight.shape[1]} numbers: "
                f"expected finite numbers [m, {self.weight.shape[1]}]"
            )
        numbers = given @ self.weight.T + self.bias
        deviation = np.sqrt(np.exp(np.clip(numbers[:, self.size :], self.low, self.high)) + SIGMA0**2)
        return Gaussians(numbers[:, : self.size], _diagonal(deviation))

    def of_vectors(self, vectors: ArrayLike) -> Gaussians:
        """The same of vectors of a table, float [m, D], which are scaled first.

        Raises:
            WordVectorsError: as `gaussians` and `scaled`.
        """
        return self.gaussians(scaled(vectors, self.length))


@dataclass(frozen=True, slots=True, eq=False)
class LearnedWords:
    """What an encoder learned of its W words.

    Make one with `of_map`, `fit_learned_words` or `from_tensors`.

    Attributes:
        present: W Gaussians: where images lie that show the word.
        absent: W Gaussians: where images without it lie; None where every image shows one word, so that
            the other words' Gaussians say that.
        map: How further inputs become Gaussians; None where there is no label encoder.
    """

    present: Gaussians
    absent: Gaussians | None = None
    map: LabelMap | None = None

    @classmethod
    def of_map(cls, label_map: LabelMap, *, absent: Gaussians | None = None) -> LearnedWords:
        """What a label encoder says of its own words."""
        return cls(label_map.gaussians(label_map.inputs), absent, label_map)

    def __len__(self) -> int:
        """Words, W."""
        return len(self.present)

    @property
    def size(self) -> int:
        """Dimensions of the latent space, d."""
        return self.present.size

    def to_tensors(self) -> dict[str, F32]:
        """Tensors of a model file, float32, beside `words.vectors`, which are the means of `present`."""
        out: dict[str, NDArray[Any]] = {PRESENT: pack(self.present.factor)}
        if self.absent is not None:
            out |= {ABSENT_MEAN: self.absent.mean, ABSENT_FACTOR: pack(self.absent.factor)}
        if self.map is not None:
            numbers = (self.map.low, self.map.high, self.map.length)
            arrays = (self.map.weight, self.map.bias, np.array(numbers), self.map.inputs)
            out |= dict(zip(_MAP, arrays, strict=True))
        return {name: np.ascontiguousarray(array, np.float32) for name, array in out.items()}

    @classmethod
    def from_tensors(cls, means: ArrayLike, tensors: Mapping[str, NDArray[Any]]) -> LearnedWords | None:
        """What `to_tensors` wrote, number for number; None where there is nothing of it.

        Args:
            means: float [W, d], `words.vectors`.
            tensors: By name; others are not looked at.

        Raises:
            ModelFileError: a tensor is missing, damaged, or does not fit the others.
        """
        if not any(name in tensors for name in (PRESENT, ABSENT_MEAN, ABSENT_FACTOR, *_MAP)):
            return None
        groups = ((PRESENT,), (ABSENT_MEAN, ABSENT_FACTOR), _MAP)
        wanted = [groups[0], *(group for group in groups[1:] if any(name in tensors for name in group))]
        lacking = [name for group in wanted for name in group if name not in tensors]
        if lacking:
            raise ModelFileError(f"the words of the model lack {', '.join(lacking)}: copy the model again")
        vectors = np.asarray(means, np.float64)
        try:
            present = Gaussians.of_packed(vectors, tensors[PRESENT])
            absent = (
                Gaussians.of_packed(tensors[ABSENT_MEAN], tensors[ABSENT_FACTOR])
                if ABSENT_MEAN in tensors
                else None
            )
        except GaussianError as error:
            raise ModelFileError(f"the words of the model are damaged: {error}; copy it again") from None
        if absent is not None and absent.mean.shape != vectors.shape:
            raise ModelFileError(
                f"the words of the model have {ABSENT_MEAN} of shape {absent.mean.shape} beside vectors of "
                f"shape {vectors.shape}: copy the model again"
            )
        return cls(present, absent, _read_map(tensors, vectors.shape) if MAP_WEIGHT in tensors else None)

    def rounded(self) -> LearnedWords:
        """The same in the numbers that a model file keeps, so that a model in memory is the one on disk."""
        means = self.present.mean.astype(np.float32).astype(np.float64)
        found = LearnedWords.from_tensors(means, self.to_tensors())
        if found is None:  # `to_tensors` always writes `words.present`
            raise ModelFileError("no tensors of learned words")
        return found


def fit_learned_words(
    points: ArrayLike, labels: I8, names: Sequence[str], *, absent: bool, label_map: LabelMap | None = None
) -> LearnedWords:
    """Gaussians fitted to the images that show a word, and to those that lack it.

    A word's covariance is (n S + d S̄) / (n + d) + σ₀² I: its own S, of n images, and the pooled S̄ of all
    words, shrunk as Ledoit and Wolf do. So a word of one image has the usual spread about it, and one of many
    images has its own.

    Args:
        points: float [N, d], means of images.
        labels: int8 [N, W], −1/0/+1; unknown ones are left out.
        names: The W words, for messages.
        absent: Whether images without a word get a Gaussian, too: where images show several words.
        label_map: Kept beside them.

    Raises:
        TrainingError: arrays that do not fit each other or are not finite, or a word that no image shows or,
            with `absent`, that none lacks; it is named.

    Source: Friedman (1989), "Regularized Discriminant Analysis", for the mixture of covariances.
    """
    found = np.asarray(points, np.float64)
    if found.ndim != 2 or labels.shape != (len(found), len(names)) or not np.isfinite(found).all():
        raise TrainingError(
            f"points of shape {found.shape} and labels of shape {labels.shape} of {len(names)} words: "
            "expected finite numbers [N, d] and a label for each image and word"
        )
    return LearnedWords(
        _fitted(found, labels > 0, names, "shows"),
        _fitted(found, labels < 0, names, "lacks") if absent else None,
        label_map,
    ).rounded()


def _fitted(points: F64, members: Bool, names: Sequence[str], verb: str) -> Gaussians:
    """A Gaussian for each word from its members, bool [N, W]."""
    empty = [name for word, name in enumerate(names) if not members[:, word].any()]
    if empty:
        raise TrainingError(
            f"no image {verb} {', '.join(empty[:4])}{' …' if len(empty) > 4 else ''}: leave the label out, "
            "or import images that do"
        )
    size, counts = points.shape[1], members.sum(axis=0)
    means, own = np.empty((len(names), size)), np.empty((len(names), size, size))
    sample = []
    for word in range(len(names)):
        apart = points[members[:, word]]
        means[word] = apart.mean(axis=0)
        apart -= means[word]
        own[word] = scatter(apart)
        sample.append(apart[:: max(1, len(apart) * len(names) // _POOLED)])
    pooled, _ = shrunk_covariance(np.concatenate(sample))
    mixed = (own + size * pooled) / (counts + size)[:, None, None]
    return Gaussians(means, cholesky(mixed + SIGMA0**2 * np.eye(size)))


def _read_map(tensors: Mapping[str, NDArray[Any]], shape: tuple[int, ...]) -> LabelMap:
    """The label map of a model file, for W words of d dimensions.

    Raises:
        ModelFileError: tensors that do not fit each other or the words, or are not finite.
    """
    weight, bias, numbers, inputs = (np.asarray(tensors[name], np.float64) for name in _MAP)
    words, size = shape
    fits = weight.ndim == 2 and weight.shape[0] == 2 * size == bias.size and bias.ndim == 1
    fits = fits and inputs.shape == (words, weight.shape[1]) and numbers.shape == (3,)
    finite = all(np.isfinite(array).all() for array in (weight, bias, numbers, inputs))
    if not fits or not finite or not numbers[0] <= numbers[1] or numbers[2] < 0:
        shapes = ", ".join(f"{name} {np.shape(tensors[name])}" for name in _MAP)
        raise ModelFileError(
            f"the label map of the model does not fit its {words} words of {size} dimensions ({shapes}), or "
            "is not finite: copy the model again"
        )
    low, high, length = (float(number) for number in numbers)
    return LabelMap(weight, bias, inputs, low, high, length)


def _diagonal(deviations: F64) -> F64:
    """Factors with these diagonals, [m, d] → [m, d, d]."""
    out: F64 = deviations[:, :, None] * np.eye(deviations.shape[1])
    return out
