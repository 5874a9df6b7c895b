"""How surely foreign images are told from those like the training images, by the fit and by other scores.

What stands against it are scores that need label embeddings alone: Mahalanobis distance, distance to the
nearest training images, and how undecided the labels' probabilities are.

Sources: Lee et al., 2018 (Mahalanobis); Sun et al., "Out-of-Distribution Detection with Deep Nearest
Neighbors", 2022; Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
Examples", 2017, for probabilities, here the entropy of many labels.

Notation: L labels, k numbers a label, n images of a set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.datasets.images import to_array
from olrsearch.encoders.protocol import MeasuringEncoder
from olrsearch.evaluation.metrics import roc_auc
from olrsearch.evaluation.report import Report, Table
from olrsearch.maths.fit import FOREIGN
from olrsearch.search.spaces.fits import fits_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from PIL import Image

    from olrsearch import Store
    from olrsearch.core.arrays import F32, F64, U8
    from olrsearch.search.spaces.labels import OpenSpace

_TRAINING: Final = 4000
_NEIGHBOURS: Final = 10
_BATCH: Final = 64
_RIDGE: Final = 1e-2


@dataclass(frozen=True, slots=True)
class ForeignSet:
    """What was found of one set of foreign images.

    Attributes:
        name: Of the set.
        images: How many.
        auroc: Probability that a foreign image gets a worse score than one of the gallery, by score.
        marked: Share of them that is marked as foreign.
    """

    name: str
    images: int
    auroc: dict[str, float]
    marked: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignReport(Report):
    """How surely foreign images are told.

    Attributes:
        sets: One entry a set.
        own_marked: Share of the gallery, images like those of the training, that is marked as foreign.
        threshold: Images of a smaller fit are marked.
    """

    sets: tuple[ForeignSet, ...]
    own_marked: float
    threshold: float

    def tables(self) -> tuple[Table, ...]:
        """One row a set."""
        scores = tuple(self.sets[0].auroc)
        return (
            Table(
                "AUROC against the gallery, by score",
                ("set", "images", *scores, "marked"),
                tuple((one.name, one.images, *one.auroc.values(), one.marked) for one in self.sets),
                f"{100 * self.own_marked:.1f} % of the gallery are marked (fit below {self.threshold}).",
            ),
        )


def measure_foreign(
    store: Store, sets: Mapping[str, Iterable[Image.Image]], *, space: str | None = None, seed: int = 0
) -> ForeignReport:
    """Compare sets of foreign images with the store's images outside of `train`.

    Args:
        store: With encoded images of `train` and of other partitions, by an encoder that knows its training.
        sets: By name.
        space: Of label embeddings; the newest when None.
        seed: Of the training images that other scores look at.

    Raises:
        BenchmarkError: no sets, an encoder or images without fits, or no images of one of the two parts.
    """
    session = store.session
    opened = session.space(space)
    encoder = session.encoder(opened.info)
    if not sets or not isinstance(encoder, MeasuringEncoder) or encoder.training_fit is None:
        raise BenchmarkError(
            f"{opened.info.name} cannot be measured: name sets of images, and a space whose encoder says how "
            "well images fit"
        )
    partition = opened.snapshot.columns(opened.view.ids, ("partition",))["partition"]
    training, gallery = np.flatnonzero(partition == "train"), np.flatnonzero(partition != "train")
    if not len(training) or not len(gallery):
        raise BenchmarkError(
            "images of the train partition and of others are needed: import a data set with both"
        )
    fits = fits_in(opened.segments, opened.view.ids[gallery])
    if np.isnan(fits).any():
        raise BenchmarkError(f"images of {opened.info.name} have no fit: encode them in a new store")
    some = np.random.default_rng(seed).permutation(training)[:_TRAINING]
    scores = _scores(opened, opened.view.gather_all(np.sort(some)))
    own = opened.view.gather_all(gallery)
    usual = {"fit": -fits.astype(np.float64), **{name: score(own) for name, score in scores.items()}}
    found = []
    for name, images in sets.items():
        made, theirs = _encoded(encoder, images)
        odd = {"fit": -theirs.astype(np.float64), **{title: score(made) for title, score in scores.items()}}
        found.append(
            ForeignSet(
                name,
                len(theirs),
                {title: roc_auc(odd[title], usual[title]) for title in odd},
                float((theirs < FOREIGN).mean()),
            )
        )
    return ForeignReport(
        protocol="fit",
        title="foreign images told from those like the training images",
        command="olrsearch bench foreign",
        seed=seed,
        baseline="scores of label embeddings alone",
        data={
            "name": opened.info.name,
            "images": len(opened.view),
            "train": len(training),
            "gallery": len(gallery),
        },
        sets=tuple(found),
        own_marked=float((fits < FOREIGN).mean()),
        threshold=FOREIGN,
    )


def _encoded(encoder: MeasuringEncoder, images: Iterable[Image.Image]) -> tuple[F32, F32]:
    """Label embeddings float32 [L, n, k] and fits float32 [n] of images."""
    made: list[F32] = []
    fits: list[F32] = []
    waiting: list[U8] = []

    def flush() -> None:
        if waiting:
            part, fit = encoder.encode_with_fit(np.stack(waiting))
            made.append(cast("F32", part))
            fits.append(cast("F32", fit))
            waiting.clear()

    for image in images:
        waiting.append(to_array(image, encoder.input_size, encoder.crop))
        if len(waiting) == _BATCH:
            flush()
    flush()
    if not made:
        raise BenchmarkError("a set holds no image that can be read: name a folder of images")
    return np.concatenate(made, axis=1), np.concatenate(fits)


def _scores(opened: OpenSpace, training: F32) -> dict[str, Callable[[F32], F64]]:
    """Scores of label embeddings [L, n, k] → float64 [n], larger for what lies farther out."""

    def flat(embeddings: F32) -> F64:
        return embeddings.transpose(1, 0, 2).reshape(embeddings.shape[1], -1).astype(np.float64)

    known = flat(training)
    mean, deviation = known.mean(axis=0), known.std(axis=0) + 1e-6
    known = (known - mean) / deviation
    values, axes = np.linalg.eigh(known.T @ known / len(known))
    white = axes / np.sqrt(values + _RIDGE)
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)

    def mahalanobis(embeddings: F32) -> F64:
        found: F64 = np.square(((flat(embeddings) - mean) / deviation) @ white).sum(axis=1)
        return found

    def neighbours(embeddings: F32) -> F64:
        rows = (flat(embeddings) - mean) / deviation
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        far = 1 - rows @ unit.T
        found: F64 = np.partition(far, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS].mean(axis=1)
        return found

    def entropy(embeddings: F32) -> F64:
        labels: Any = range(len(opened.info.labels))
        chance = np.clip(
            opened.calibration.probability(opened.readout.logits(embeddings), labels), 1e-6, 1 - 1e-6
        )
        found: F64 = -(chance * np.log(chance) + (1 - chance) * np.log(1 - chance)).mean(axis=0)
        return found

    return {"Mahalanobis": mahalanobis, "neighbours": neighbours, "entropy": entropy}
