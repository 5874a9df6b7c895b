"""What every protocol measures: arrays, and which of their rows serve which purpose.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.core.names import normalise_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, I8, I64, Bool, Floats


@dataclass(frozen=True, slots=True, eq=False)
class BenchData:
    """A gallery with its truth and what an encoder made of it; nothing is copied.

    Attributes:
        name: Whose figures these are, as reports print it (`CelebA, 21,734 of 202,599 images`).
        label_names: L names.
        image_ids: int64 [N], strictly increasing, so that row order is the order of ids and a
            stable sort breaks ties as the product does.
        keys: N keys, as the data set gave them.
        labels: int8 [N, L]; −1 absent, 0 unknown, +1 present.
        partition: str [N], `train`, `val`, `test` or empty.
        identity: int64 [N], −1 where unknown.
        embeddings: float32 [L, N, k], label-major; may be memory-mapped.
        log_p: float [L, N], calibrated log-probability that a label is present (nats), from the
            embeddings alone.
        log_not_p: float [L, N], the same for absent.
        teacher_p: float [L, N], the teacher's probabilities; None where the teacher is gone.
        train: int64, rows that linear models may be fitted on.
        selection: int64, training rows of other identities, for choosing settings.
        gallery: int64, increasing rows (val and test) that every figure is measured on.
        fitted_on: What calibration and metric were fitted on, in words; `selection` is what the
            protocols ask for, empty where nothing was fitted.

    Raises:
        BenchmarkError: shapes that do not fit each other, values out of range, rows that serve
            two purposes, or no gallery at all.
    """

    name: str
    label_names: tuple[str, ...]
    image_ids: I64
    keys: Sequence[str]
    labels: I8
    partition: NDArray[np.str_]
    identity: I64
    embeddings: F32
    log_p: Floats
    log_not_p: Floats
    teacher_p: Floats | None
    train: I64
    selection: I64
    gallery: I64
    fitted_on: str = "selection"

    def __post_init__(self) -> None:
        images, labels = len(self.image_ids), len(self.label_names)
        expected = {
            "keys": (images,),
            "labels": (images, labels),
            "partition": (images,),
            "identity": (images,),
            "log_p": (labels, images),
            "log_not_p": (labels, images),
        }
        if self.teacher_p is not None:
            expected["teacher_p"] = (labels, images)
        for name, shape in expected.items():
            value = getattr(self, name)
            found = (len(value),) if name == "keys" else value.shape
            if found != shape:
                raise BenchmarkError(
                    f"{name} has shape {found}, expected {shape}: one entry an image and label"
                )
        if self.embeddings.ndim != 3 or self.embeddings.shape[:2] != (labels, images):
            raise BenchmarkError(
                f"embeddings have shape {self.embeddings.shape}, expected ({labels}, {images}, k)"
            )
        if images > 1 and not bool(np.all(np.diff(self.image_ids) > 0)):
            raise BenchmarkError("image_ids are not strictly increasing: sort the images by id first")
        if self.labels.size and not bool(np.isin(self.labels, (-1, 0, 1)).all()):
            raise BenchmarkError("labels hold values other than −1, 0 and 1")
        for name in ("log_p", "log_not_p", "teacher_p"):
            value = getattr(self, name)
            if value is not None and not bool(np.isfinite(value).all()):
                raise BenchmarkError(f"{name} holds NaN or infinities; every score must be finite")
        self._check_rows(images)

    def _check_rows(self, images: int) -> None:
        used = np.concatenate([self.train, self.selection, self.gallery])
        if used.size and (int(used.min()) < 0 or int(used.max()) >= images):
            raise BenchmarkError(f"train, selection and gallery must index {images} images")
        if len(np.unique(used)) != len(used):
            raise BenchmarkError("an image serves two of train, selection and gallery; keep them apart")
        if not len(self.gallery):
            raise BenchmarkError("the gallery is empty; import images of the val or test partition")
        if bool(np.any(np.diff(self.gallery) < 0)):
            raise BenchmarkError("gallery rows are not increasing: ties would not break by image id")

    @property
    def truth(self) -> I8:
        """The gallery's labels, int8 [L, G], label-major; a copy."""
        return np.ascontiguousarray(self.labels[self.gallery].T)

    def replace(self, **changes: Any) -> BenchData:  # noqa: ANN401  # any field may change
        """The same data with some fields changed."""
        return BenchData(**{field.name: getattr(self, field.name) for field in fields(self)} | changes)

    def summary(self) -> dict[str, Any]:
        """What a report says of its data: `name`, `images`, `labels`, `dimensions` and row counts."""
        return {
            "name": self.name,
            "images": len(self.image_ids),
            "labels": len(self.label_names),
            "dimensions": int(self.embeddings.shape[2]),
            "train": len(self.train),
            "selection": len(self.selection),
            "gallery": len(self.gallery),
        }

    def caveats(self) -> tuple[str, ...]:
        """What makes figures of these data better than they should be; every report's first notes."""
        if self.fitted_on in {"", "selection"}:
            return ()
        caveat = (
            f"Probabilities and metric were fitted on {self.fitted_on}, not on the selection images: where "
            "images of the gallery, or ones the encoder learnt, are among them, the figures may flatter."
        )
        return (caveat,)


def find_label(label_names: Sequence[str], name: str) -> int | None:
    """A label's position, whatever its spelling of case, `_` and blanks; None when absent."""
    wanted = normalise_name(name)
    return next((row for row, label in enumerate(label_names) if normalise_name(label) == wanted), None)


def rows_of(partition: NDArray[np.str_], selected: Bool) -> tuple[I64, I64, I64]:
    """Rows of the three purposes.

    Args:
        partition: str [N].
        selected: bool [N]; of the training images, those used for selection (the encoder's own
            selection split: calibration and early stopping saw no other).

    Returns:
        (train, selection, gallery), int64, increasing; gallery is val and test.
    """
    training = partition == "train"
    return (
        np.flatnonzero(training & ~selected),
        np.flatnonzero(training & selected),
        np.flatnonzero((partition == "val") | (partition == "test")),
    )


def image_major(embeddings: F32, rows: I64) -> F32:
    """Some images' whole embeddings.

    Args:
        embeddings: float32 [L, N, k].
        rows: int64 [n].

    Returns:
        float32 [n, L·k], a copy.
    """
    labels, _, size = embeddings.shape
    out = np.empty((len(rows), labels * size), np.float32)
    for label in range(labels):
        out[:, label * size : (label + 1) * size] = embeddings[label][rows]
    return out
