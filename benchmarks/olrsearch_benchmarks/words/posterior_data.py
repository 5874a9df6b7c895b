"""What the protocols measure of posteriors: arrays, and which of their rows serve which purpose.

Notation: N images, of them G of the gallery; W own words, d dimensions, T = d(d+1)/2, m queries,
F numbers of a KL feature.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from olrsearch.core.errors import BenchmarkError, CalibrationError
from olrsearch.evaluation.data import BenchData
from olrsearch.maths.calibration import Calibration, fit_calibration
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.kl_features import Frame, feature_size, image_features, query_features
from olrsearch.search.kl.view import PlainPosteriors
from olrsearch.search.kl.word_scores import log_densities, log_mean_exp, log_mean_others

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, I8, I64
    from olrsearch.encoders.words.label_words import WeightedWords
    from olrsearch.encoders.words.vectors import WordVectors
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.divergences import Direction

LabelKind = Literal["classes", "pairs", "many"]
"""Every image has one label; one or two, two for most; or any number."""

_BLOCK: Final = 2048
"""Posteriors whose features are computed at once: at d = 50, 2,048 × 50 × 50 numbers are 40 MB."""

_FRAMED: Final = 4096
"""Posteriors that the frame of the features is taken from."""


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorData:
    """Posteriors of the images that are measured on, and of those that probabilities are fitted to.

    Attributes:
        name: Whose figures these are, as reports print it.
        space: Of the encoder.
        vocabulary: Its W words.
        shrinkage: λ of the priors it was trained with; None where Gaussians of words were learned.
        image_ids: int64 [N], strictly increasing, so that ties break by id.
        keys: N keys, as the data set gave them.
        labels: int8 [N, W]; −1 absent, 0 unknown, +1 present, in the order of the words.
        mean: float32 [N, d].
        factor: float32 [N, T], packed Cholesky factors.
        selection: int64, rows that probabilities are fitted to; perhaps none.
        gallery: int64, increasing rows (val and test) that every figure is measured on.
        images: Of the store.
        train: Images that linear models could be fitted on; they are not among the N.
        calibration: The stored one, taken where there is no selection.
        table: The word vectors that the words come from; None where there are none, or not here.
        label_words: Which words stand for which label in that table.
        notes: What a reader must know of the data.

    Raises:
        BenchmarkError: shapes that do not fit each other, or no gallery.
    """

    name: str
    space: str
    vocabulary: Vocabulary
    shrinkage: float | None
    image_ids: I64
    keys: Sequence[str]
    labels: I8
    mean: F32
    factor: F32
    selection: I64
    gallery: I64
    images: int
    train: int
    calibration: Calibration | None = None
    table: WordVectors | None = None
    label_words: Mapping[str, WeightedWords] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count, words = len(self.image_ids), len(self.vocabulary)
        sizes = {"keys": len(self.keys), "mean": len(self.mean), "factor": len(self.factor)}
        wrong = {name: size for name, size in sizes.items() if size != count}
        if wrong or self.labels.shape != (count, words):
            raise BenchmarkError(
                f"{count} images with labels of shape {self.labels.shape} and {wrong or sizes}: expected one "
                f"entry an image, and labels [{count}, {words}]"
            )
        if count > 1 and not bool(np.all(np.diff(self.image_ids) > 0)):
            raise BenchmarkError("image_ids are not strictly increasing: sort the images by id first")
        if not len(self.gallery):
            raise BenchmarkError("the gallery is empty; import images of the val or test partition")
        if bool(np.any(np.diff(self.gallery) < 0)):
            raise BenchmarkError("gallery rows are not increasing: ties would not break by image id")
        if len(np.intersect1d(self.gallery, self.selection)):
            raise BenchmarkError("an image serves as selection and as gallery; keep them apart")

    @property
    def names(self) -> tuple[str, ...]:
        """The W words, as data sets call their labels."""
        return self.vocabulary.names

    @property
    def truth(self) -> I8:
        """The gallery's labels, int8 [W, G]; a copy."""
        return np.ascontiguousarray(self.labels[self.gallery].T)

    @property
    def kind(self) -> LabelKind:
        """What the gallery's labels are."""
        return kind_of_labels(self.truth)

    def replace(self, **changes: Any) -> PosteriorData:  # noqa: ANN401  # any field may change
        """The same data with some fields changed."""
        return PosteriorData(**{entry.name: getattr(self, entry.name) for entry in fields(self)} | changes)

    def prior_of(self, positions: Sequence[int]) -> Gaussians:
        """The Gaussian of a set of the own words, a batch of one."""
        return self.vocabulary.prior_of(positions, self.shrinkage)

    def densities(self, rows: I64, points: F64 | None = None) -> F64:
        """The logarithm of N(w; μ, Σ) of words, float64 [m, len(rows)] nats.

        Of own words that have learned Gaussians it is that of N(μ; word's Gaussian).

        Args:
            rows: Which images.
            points: float64 [m, d]; the own words when None.
        """
        if points is None and self.vocabulary.learned is not None:
            return self.vocabulary.learned.present.log_likelihood(self.mean[rows].astype(np.float64))
        part = PlainPosteriors(self.image_ids[rows], self.mean[rows], self.factor[rows])
        return log_densities(part, self.vocabulary.vectors if points is None else points)

    def ratios(self, rows: I64, densities: F64) -> F64:
        """Densities of the own words, [W, len(rows)], over their background; see `kl.word_scores`."""
        learned = self.vocabulary.learned
        if learned is None:
            return ratios_of(densities)
        if learned.absent is None:
            against = log_mean_others(densities)
        else:
            against = learned.absent.log_likelihood(self.mean[rows].astype(np.float64))
        found: F64 = densities - against
        return found

    def summary(self) -> dict[str, Any]:
        """What a report says of its data; the keys of `BenchData.summary`."""
        return {
            "name": self.name,
            "images": self.images,
            "labels": len(self.names),
            "dimensions": int(self.mean.shape[1]),
            "train": self.train,
            "selection": len(self.selection),
            "gallery": len(self.gallery),
        }


def said_shrinkage(shrinkage: float | None) -> str:
    """The priors of words, for people."""
    return "learned Gaussians of words" if shrinkage is None else f"λ = {shrinkage:g}"


def kind_of_labels(truth: I8) -> LabelKind:
    """What some images' labels are.

    Args:
        truth: int8 [W, G]; one unknown label makes them many.
    """
    count = (truth > 0).sum(axis=0)
    if not (truth != 0).all() or count.min(initial=1) < 1 or count.max(initial=1) > 2:
        return "many"
    if count.max(initial=1) == 1:
        return "classes"
    return "pairs" if (count == 2).mean() > 0.5 else "many"


def ratios_of(densities: F64) -> F64:
    """Densities of the own words over their mean, float64 [W, n] nats; see `kl.word_scores`."""
    found: F64 = densities - log_mean_exp(densities)
    return found


def calibrated(data: PosteriorData) -> tuple[Calibration, tuple[str, ...]]:
    """What turns the own words' ratios into logits, and what a reader must know of it.

    It is fitted to the selection images; where there are none or too few, the stored one is taken.
    """
    if len(data.selection):
        raw = data.ratios(data.selection, data.densities(data.selection))
        try:
            return fit_calibration(raw, data.labels[data.selection], data.names), ()
        except CalibrationError as error:
            reason = str(error)
    else:
        reason = "there are no selection images"
    if data.calibration is not None:
        return data.calibration, (f"Probabilities are those of the stored calibration: {reason}.",)
    return Calibration.identity(len(data.names)), (f"Probabilities are not calibrated: {reason}.",)


def as_bench_data(data: PosteriorData, ratios: F64, calibration: Calibration) -> BenchData:
    """The gallery as attribute queries see it: words as labels, without embeddings.

    Args:
        data: The posteriors.
        ratios: float64 [W, G].
        calibration: Of the ratios.

    Returns:
        G images, all of them gallery.
    """
    rows, everything = data.gallery, range(len(data.names))
    return BenchData(
        name=data.name,
        label_names=data.names,
        image_ids=data.image_ids[rows],
        keys=[data.keys[row] for row in rows],
        labels=data.labels[rows],
        partition=np.full(len(rows), "test"),
        identity=np.full(len(rows), -1, np.int64),
        embeddings=np.empty((len(data.names), len(rows), 0), np.float32),
        log_p=calibration.log_probability(ratios, everything),
        log_not_p=calibration.log_probability(ratios, everything, negate=True),
        teacher_p=None,
        train=np.empty(0, np.int64),
        selection=np.empty(0, np.int64),
        gallery=np.arange(len(rows)),
    )


class GalleryDivergences:
    """Divergences between a gallery and any queries: all of them, in float64.

    Args:
        data: Its gallery is looked at.
    """

    def __init__(self, data: PosteriorData) -> None:
        self._mean, self._factor = data.mean[data.gallery], data.factor[data.gallery]
        spread = np.linspace(0, len(self._mean) - 1, min(_FRAMED, len(self._mean))).astype(np.int64)
        self._frame = Frame.of(self.images(spread))
        self._features: dict[Direction, F64] = {}

    def images(self, rows: I64 | slice) -> Gaussians:
        """Posteriors of some of the G images."""
        return Gaussians.of_packed(self._mean[rows], self._factor[rows])

    def of(self, queries: Gaussians, direction: Direction) -> F64:
        """Divergences in nats, float64 [m, G].

        Args:
            queries: m Gaussians.
            direction: KL(query‖image) or KL(image‖query).
        """
        asked, constant = query_features(self._frame.apply(queries), direction)
        found: F64 = asked @ self._of_images(direction).T
        found += constant[:, None]
        return np.maximum(found, 0.0)

    def _of_images(self, direction: Direction) -> F64:
        if direction not in self._features:
            out = np.empty((len(self._mean), feature_size(self._mean.shape[1])))
            for start in range(0, len(out), _BLOCK):
                rows = slice(start, start + _BLOCK)
                out[rows] = image_features(self._frame.apply(self.images(rows)), direction)
            self._features[direction] = out
        return self._features[direction]


def nearest(distances: F64, count: int) -> I64:
    """Columns of the smallest distances of each row, ties by column: int64 [m, ≤ count]."""
    order: I64 = np.argsort(distances, axis=-1, kind="stable")[..., :count]
    return order
