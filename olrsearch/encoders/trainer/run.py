"""A run's folder and what it learns from: checks, a digest of the data, the record to resume by.

Notation: N images, L labels, H × W pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from olrsearch.core.errors import TrainingError
from olrsearch.core.files import write_whole
from olrsearch.encoders.trainer.config import TrainerConfig

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F64, I8, I64, U8

_log = logging.getLogger(__name__)
_DIGEST_IMAGES = 64

C = TypeVar("C", bound=TrainerConfig)


def check_arrays(
    pixels: U8, labels: I8, train_index: I64, selection_index: I64, config: TrainerConfig
) -> None:
    """Refuse arrays that do not fit each other or the configuration.

    Args:
        pixels: uint8 [N, H, W, 3] expected.
        labels: int8 [N, L], −1, 0 or +1.
        train_index: int64 [n], rows to train on.
        selection_index: int64 [m], rows to select on; disjoint from the others.
        config: What is to be trained.

    Raises:
        TrainingError: what does not fit, and what was expected.
    """
    height, width = config.image_size
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (height, width, 3):
        raise TrainingError(
            f"pixels of type {pixels.dtype} and shape {tuple(pixels.shape)}: expected uint8 "
            f"[images, {height}, {width}, 3]; scale the images or set image_size"
        )
    if labels.shape != (len(pixels), len(config.labels)):
        raise TrainingError(
            f"labels of shape {labels.shape} for {len(pixels)} images and {len(config.labels)} labels: "
            "expected one row an image, one column a label"
        )
    if not np.isin(labels, (-1, 0, 1)).all():
        raise TrainingError(
            "labels hold other values than −1 (absent), 0 (unknown) and 1 (present): map them"
        )
    for name, index, least in (("training", train_index, 2), ("selection", selection_index, 1)):
        if index.ndim != 1 or len(index) < least:
            raise TrainingError(f"{index.size} {name} images: expected {least} or more; import more images")
        if index.min() < 0 or index.max() >= len(pixels) or len(np.unique(index)) != len(index):
            raise TrainingError(
                f"{name} images must be different rows from 0 to {len(pixels) - 1}: check the index"
            )
    shared = np.intersect1d(train_index, selection_index)
    if len(shared):
        raise TrainingError(
            f"{len(shared)} images are both training and selection images: keep the two apart"
        )


def label_frequencies(labels: I8, config: TrainerConfig) -> F64:
    """Each label's share of present among known, float64 [L]; says what cannot be learnt."""
    known = (labels != 0).sum(axis=0)
    present = (labels > 0).sum(axis=0)
    unknown = [name for name, count in zip(config.labels, known, strict=True) if count == 0]
    if unknown:
        raise TrainingError(
            f"no training image has a known value of {', '.join(unknown)}: leave such labels out"
        )
    single = [
        name for name, count, total in zip(config.labels, present, known, strict=True) if count in {0, total}
    ]
    if single:
        _log.warning(
            "all known values of %s are the same in the training images: nothing can be learnt about them",
            ", ".join(single),
        )
    frequency: F64 = present / known
    return frequency


def data_digest(pixels: U8, labels: I8, train_index: I64, selection_index: I64) -> str:
    """sha256 of what a run learns from: all labels and rows, some evenly chosen images."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    for index in (train_index, selection_index):
        digest.update(index.tobytes())
        digest.update(np.ascontiguousarray(labels[index]).tobytes())
    chosen = train_index[:: max(1, len(train_index) // _DIGEST_IMAGES)]
    digest.update(np.ascontiguousarray(pixels[chosen]).tobytes())
    return digest.hexdigest()


def open_run(file: Path, config: TrainerConfig, digest: str, *, resume: bool) -> None:
    """Begin a run in an unused folder, or make sure that the one there is the one meant.

    Args:
        file: Where the run's configuration and digest are recorded.
        config: What it trains.
        digest: See `data_digest`.
        resume: Whether the run is to be there.

    Raises:
        TrainingError: it is there and should not be, or is another one.
    """
    if not resume:
        if file.exists():
            raise TrainingError(f"{file.parent} holds a run already: resume it, or name another folder")
        record = {"config": config.to_dict(), "data": digest}
        write_whole(file, json.dumps(record, indent=1, ensure_ascii=False).encode())
        return
    before, data = read_run(file, type(config))
    different = config.differences(before)
    if different:
        changes = ", ".join(
            f"{key} (was {getattr(before, key)!r}, now {getattr(config, key)!r})" for key in different
        )
        raise TrainingError(f"the run in {file.parent} has another configuration: {changes}; start a new run")
    if data != digest:
        raise TrainingError(
            f"the run in {file.parent} began with other images, labels or splits; start a new run"
        )


def read_run(file: Path, config_class: type[C]) -> tuple[C, str]:
    """A run's configuration and data digest.

    Raises:
        TrainingError: there is none, or it cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return config_class.from_dict(record["config"]), str(record["data"])
    except FileNotFoundError:
        raise TrainingError(f"{file.parent} holds no run: start one without resuming") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{file} cannot be read ({error}): start a new run") from None


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
