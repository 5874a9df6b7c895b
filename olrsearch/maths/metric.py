"""Distances between label embeddings, and which of them suits a space.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from olrsearch.core.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, F64, I8, I64

MetricKind = Literal["ip", "l2", "cosine"]
MetricForm = Literal["plain", "centred", "standardised"]

PAIRS = 2000
"""Random pairs of images behind each label's scale."""

_EXEMPLARS = 16
_TRIPLETS = 2000


@dataclass(frozen=True, slots=True)
class MetricTrial:
    """How well one metric did on the selection images.

    Attributes:
        kind, form: The metric.
        exemplar_ap: The mean of the two below; what the metric is chosen by. An exemplar that lacks
            a label must find others that lack it, not those that show it most.
        present_ap: Average precision of "images that have label l like this one does", averaged
            over exemplars, then labels; random order gives the labels' mean prevalence.
        absent_ap: The same of "images that lack label l like this one does".
        triplet_accuracy: How often an image of the anchor's side is nearer to it than one of the
            other, 0 to 1; anchors that have the label and that lack it count alike.
        labels: How many labels had enough examples to be judged.
    """

    kind: MetricKind
    form: MetricForm
    exemplar_ap: float
    present_ap: float
    absent_ap: float
    triplet_accuracy: float
    labels: int


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A distance for every label, comparable between labels.

    With x' = x, x − mean_l or (x − mean_l) / deviation_l, as the form says, a label's distance is

    * `ip`: −⟨q', x'⟩, the measure of OLR's loss. It may be negative, and an image need not be
      its own nearest: longer vectors are nearer to everything alike.
    * `l2`: ‖q' − x'‖², squared, so that it adds up over labels.
    * `cosine`: 1 − cos(q', x'), 0 to 2; a zero vector has distance 1 to everything.

    Sums over labels take each distance divided by its label's `scale`, the standard deviation
    of the distance over random pairs: one label cannot rule a sum because its vectors are
    long. (Not the median: of a rare label most vectors are near zero, and so is the median.)

    Attributes:
        kind: The measure.
        form: Whether vectors are taken as they are (`plain`), less their mean (`centred`), or less
            their mean and divided by their deviation (`standardised`).
        mean: float32 [L, k]; zeros where the form is `plain`.
        deviation: float32 [L, k], > 0; ones unless the form is `standardised`.
        scale: float64 [L], > 0.
        trials: What `choose_metric` measured, best first; empty otherwise.
    """

    kind: MetricKind
    form: MetricForm
    mean: F32
    deviation: F32
    scale: F64
    trials: tuple[MetricTrial, ...] = ()

    def __post_init__(self) -> None:
        for found, known in ((self.kind, get_args(MetricKind)), (self.form, get_args(MetricForm))):
            if found not in known:
                raise VectorError(f"unknown metric {found!r}, expected one of {', '.join(known)}")
        fits = self.mean.ndim == 2 and self.mean.shape == self.deviation.shape
        if not fits or self.scale.shape != self.mean.shape[:1]:
            raise VectorError(
                f"a metric's mean {self.mean.shape}, deviation {self.deviation.shape} and scale "
                f"{self.scale.shape} must be [L, k], [L, k] and [L]"
            )
        positive = (self.scale > 0).all() and (self.deviation > 0).all()
        if not (positive and np.isfinite(self.scale).all() and np.isfinite(self.mean).all()):
            raise VectorError("a metric's scales and deviations must be above 0, and all its numbers finite")

    @property
    def labels(self) -> int:
        """How many labels, L."""
        return int(self.mean.shape[0])

    @property
    def size(self) -> int:
        """Numbers a label, k."""
        return int(self.mean.shape[1])

    def transform(self, vectors: F32, label: int) -> F32:
        """Vectors in which the metric is plain, float32 [n, k], copied.

        `ip` and `l2` are the inner product and squared L2 of these; for `cosine` they have
        length 1 (zero vectors stay zero), and it is 1 − their inner product.
        """
        out = np.array(vectors, np.float32)
        if self.form != "plain":
            out -= self.mean[label]
        if self.form == "standardised":
            out /= self.deviation[label]
        if self.kind == "cosine":
            norms = np.sqrt(np.einsum("nk,nk->n", out, out))
            out /= np.where(norms > 0, norms, np.float32(1))[:, None]
        return out

    def distances(self, query: F32, vectors: F32, label: int) -> F32:
        """Distances of one query from many vectors, by one label, not divided by its scale.

        Args:
            query: float32 [k].
            vectors: float32 [n, k]; read once, not copied whole.
            label: The label both belong to.

        Returns:
            float32 [n], smaller is nearer.

        Raises:
            VectorError: the query has another length or holds NaN or infinities.
        """
        asked = check_query(query, self.size)
        out = np.empty(len(vectors), np.float32)
        target = self.transform(asked[None], label)[0]
        if self.kind == "ip":
            # ⟨q', (x − m) / s⟩ = ⟨q' / s, x⟩ − ⟨q' / s, m⟩: the vectors are read as they are.
            direction = target if self.form == "plain" else target / self.deviation[label]
            np.matmul(vectors, -direction, out=out)
            if self.form != "plain":
                out += self.mean[label] @ direction
            return out
        # A block fits the processor's cache, so the passes below cost one pass over memory.
        step = max(1, 2**17 // max(1, self.size))
        for start in range(0, len(vectors), step):
            block = vectors[start : start + step]
            part = out[start : start + step]
            if self.kind == "l2":
                moved = self.transform(block, label) if self.form != "plain" else block
                gap = moved - target
                np.einsum("nk,nk->n", gap, gap, out=part)
            else:
                np.matmul(self.transform(block, label), target, out=part)
        if self.kind == "cosine":
            np.subtract(np.float32(1), out, out=out)
            np.clip(out, 0, 2, out=out)  # rounding may leave −1e-7
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` gives back the very same numbers."""
        return {
            "kind": self.kind,
            "form": self.form,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "scale": self.scale.tolist(),
            "trials": [asdict(trial) for trial in self.trials],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Metric:
        """The metric `to_dict` described.

        Raises:
            VectorError: a field is missing or of another type or shape.
        """
        try:
            return cls(
                kind=data["kind"],
                form=data["form"],
                mean=np.asarray(data["mean"], np.float32),
                deviation=np.asarray(data["deviation"], np.float32),
                scale=np.asarray(data["scale"], np.float64),
                trials=tuple(MetricTrial(**trial) for trial in data["trials"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise VectorError(f"a stored metric is damaged ({error!r}): run olrsearch calibrate") from error


def check_query(query: F32, size: int) -> F32:
    """A query vector as contiguous float32 [size].

    Raises:
        VectorError: it has another shape, or holds NaN or infinities.
    """
    vector = np.ascontiguousarray(query, np.float32)
    if vector.shape != (size,):
        raise VectorError(f"a query vector has shape {vector.shape}, expected ({size},)")
    if not np.isfinite(vector).all():
        raise VectorError("a query vector holds NaN or infinities")
    return vector


def fit_metric(embeddings: F32, kind: MetricKind, *, form: MetricForm, seed: int = 0) -> Metric:
    """The metric of a kind, its mean, deviation and scale measured on some images.

    Args:
        embeddings: float32 [L, n, k] of representative images, at least 2.
        kind: The measure.
        form: What is done to vectors first.
        seed: Of the random pairs behind the scales.

    Raises:
        VectorError: fewer than 2 images, another shape, or NaN.
    """
    _check_sample(embeddings)
    labels, _, size = embeddings.shape
    mean = np.zeros((labels, size), np.float32)
    deviation = np.ones((labels, size), np.float32)
    if form != "plain":
        mean = embeddings.mean(axis=1, dtype=np.float64).astype(np.float32)
    if form == "standardised":
        spread = embeddings.std(axis=1, dtype=np.float64)
        # A number that hardly ever moves must not become the loudest: below a thousandth of the
        # label's typical deviation it is treated as if it had that much.
        typical = np.sqrt((spread**2).mean(axis=1, keepdims=True))
        deviation = np.maximum(spread, np.where(typical > 0, 1e-3 * typical, 1.0)).astype(np.float32)
    metric = Metric(kind, form, mean, deviation, np.ones(labels))
    return replace(metric, scale=_scales(metric, embeddings, seed))


def choose_metric(embeddings: F32, labels: I8, seed: int = 0) -> Metric:
    """Fit every metric to the selection images and keep the one that finds labels best.

    Images with label l are to lie nearer, by l, to an image that has it than the others do, and
    images without it to one that lacks it: judged by exemplar average precision, both sides
    alike; the triplet accuracy is reported beside it. Where no label has enough examples to
    judge by, plain `l2` is taken.

    Args:
        embeddings: float32 [L, n, k] of the selection images.
        labels: Their stored labels int8 [n, L].
        seed: Of the exemplars, triplets and pairs.

    Returns:
        The best metric, with the trials of all eight.

    Raises:
        VectorError: shapes do not fit, fewer than 2 images, or NaN.
    """
    _check_sample(embeddings)
    count, images, _ = embeddings.shape
    if labels.shape != (images, count):
        raise VectorError(f"labels {labels.shape} do not fit embeddings {embeddings.shape}")
    judged: list[tuple[MetricTrial, Metric]] = []
    for kind in ("l2", "cosine", "ip"):
        for form in get_args(MetricForm):
            if (kind, form) == ("l2", "centred"):
                continue  # a shift cancels in a difference
            metric = fit_metric(embeddings, kind, form=form, seed=seed)
            judged.append((_trial(metric, embeddings, labels, seed), metric))
    # sorted() is stable: equal metrics keep their order, the plainest first.
    judged.sort(key=lambda pair: -pair[0].exemplar_ap)
    return replace(judged[0][1], trials=tuple(trial for trial, _ in judged))


def _check_sample(embeddings: F32) -> None:
    if embeddings.ndim != 3 or embeddings.shape[1] < 2:
        raise VectorError(f"embeddings {embeddings.shape} to fit a metric on must be [L, n, k] with n ≥ 2")
    if not np.isfinite(embeddings).all():
        raise VectorError("embeddings hold NaN or infinities: encode again")


def _scales(metric: Metric, embeddings: F32, seed: int) -> F64:
    rng = np.random.default_rng(seed)
    images = embeddings.shape[1]
    first = rng.integers(images, size=PAIRS)
    second = (first + rng.integers(1, images, size=PAIRS)) % images
    scale = np.ones(metric.labels)
    for label in range(metric.labels):
        plain = metric.transform(embeddings[label], label)
        spread = float(_paired(metric.kind, plain[first], plain[second]).std(dtype=np.float64))
        scale[label] = spread if spread > 1e-12 else 1.0  # a label whose vectors are all alike says nothing
    return scale


def _paired(kind: MetricKind, first: F32, second: F32) -> F32:
    """Distances [n] of n pairs of transformed vectors."""
    left, right = (first - second,) * 2 if kind == "l2" else (first, second)
    inner: F32 = np.einsum("nk,nk->n", left, right)
    if kind == "l2":
        return inner
    return -inner if kind == "ip" else 1 - inner


def _trial(metric: Metric, embeddings: F32, labels: I8, seed: int) -> MetricTrial:
    rng = np.random.default_rng(seed)
    precisions: list[tuple[float, float]] = []
    accuracies: list[float] = []
    for label in range(metric.labels):
        present = np.flatnonzero(labels[:, label] > 0)
        absent = np.flatnonzero(labels[:, label] < 0)
        if min(len(present), len(absent)) < 2:
            continue
        plain = metric.transform(embeddings[label], label)
        sides = ((present, absent), (absent, present))
        first, second = (_side(metric.kind, plain, alike, others, rng) for alike, others in sides)
        precisions.append((first[0], second[0]))
        accuracies.append((first[1] + second[1]) / 2)
    judged = len(precisions)
    present_ap, absent_ap = np.mean(precisions, axis=0).tolist() if judged else (0.0, 0.0)
    return MetricTrial(
        metric.kind,
        metric.form,
        (present_ap + absent_ap) / 2,
        present_ap,
        absent_ap,
        float(np.mean(accuracies)) if judged else 0.0,
        judged,
    )


def _side(
    kind: MetricKind, plain: F32, alike: I64, others: I64, rng: np.random.Generator
) -> tuple[float, float]:
    """Exemplar AP and triplet accuracy with exemplars and anchors from `alike`."""
    chosen = rng.permutation(alike)[:_EXEMPLARS]
    precision = float(np.mean([_exemplar_ap(kind, plain, alike, others, int(row)) for row in chosen]))
    anchor, positive = rng.choice(alike, _TRIPLETS), rng.choice(alike, _TRIPLETS)
    near = _paired(kind, plain[anchor], plain[positive])
    far = _paired(kind, plain[anchor], plain[rng.choice(others, _TRIPLETS)])
    apart = anchor != positive
    accuracy = float(((near < far) + 0.5 * (near == far))[apart].mean()) if apart.any() else 0.5
    return precision, accuracy


def _exemplar_ap(kind: MetricKind, plain: F32, present: I64, absent: I64, row: int) -> float:
    """Average precision of one exemplar's ranking of the others whose label is known."""
    others = present[present != row]
    rows = np.concatenate([absent, others])  # absent first: ties count against the metric
    relevant = np.arange(len(rows)) >= len(absent)
    query = np.broadcast_to(plain[row], (len(rows), plain.shape[1]))
    order = np.argsort(_paired(kind, query, plain[rows]), kind="stable")
    places = np.flatnonzero(relevant[order]) + 1
    return float((np.arange(1, len(places) + 1) / places).mean())


def metric_name(kind: str, form: str) -> str:
    """How a metric is called: `cosine`, or `ip, centred`."""
    return kind if form == "plain" else f"{kind}, {form}"
