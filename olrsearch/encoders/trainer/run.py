"""What a run learns from, its folder and what it leaves behind.

Notation: N images, L labels, H × W pixels.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch

from olrsearch.core.errors import TrainingError
from olrsearch.core.files import write_whole
from olrsearch.encoders.single_valued import single_valued
from olrsearch.encoders.trainer.config import TrainerConfig
from olrsearch.encoders.trainer.data import PixelBatches, StageData, pixel_statistics

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from olrsearch.core.arrays import F64, I8, I64, U8
    from olrsearch.encoders.trainer.runner import StageResult

_log = logging.getLogger(__name__)
_DIGEST_IMAGES = 64

C = TypeVar("C", bound=TrainerConfig)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingImages:
    """What a run learns from; nothing of it is changed.

    Attributes:
        pixels: uint8 [N, H, W, 3] of the configured image size, perhaps memory-mapped.
        labels: int8 [N, L], −1 absent, 0 unknown, +1 present.
        train: int64 [n], rows to train on.
        selection: int64 [m], rows that choose the weights; none of them in `train`.
    """

    pixels: U8
    labels: I8
    train: I64
    selection: I64

    def __post_init__(self) -> None:
        for name in ("train", "selection"):  # the digest is of rows as int64
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int64))

    def check(self, config: TrainerConfig) -> None:
        """Refuse arrays that do not fit each other or the configuration.

        Raises:
            TrainingError: what does not fit, and what was expected.
        """
        pixels, labels = self.pixels, self.labels
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
        for name, index, least in (("training", self.train, 2), ("selection", self.selection, 1)):
            if index.ndim != 1 or len(index) < least:
                raise TrainingError(
                    f"{index.size} {name} images: expected {least} or more; import more images"
                )
            if index.min() < 0 or index.max() >= len(pixels) or len(np.unique(index)) != len(index):
                raise TrainingError(
                    f"{name} images must be different rows from 0 to {len(pixels) - 1}: check the index"
                )
        shared = np.intersect1d(self.train, self.selection)
        if len(shared):
            raise TrainingError(
                f"{len(shared)} images are both training and selection images: keep the two apart"
            )

    def label_frequencies(self, config: TrainerConfig) -> F64:
        """Each label's share of present among known, float64 [L]; says what cannot be learnt.

        Raises:
            TrainingError: no training image has a known value of a label.
        """
        labels = self.labels[self.train]
        known = (labels != 0).sum(axis=0)
        present = (labels > 0).sum(axis=0)
        names = np.array(config.labels)
        unknown = names[known == 0]
        if len(unknown):
            raise TrainingError(
                f"no training image has a known value of {', '.join(unknown)}: leave such labels out"
            )
        single = single_valued(labels, config.labels)
        if len(single):
            _log.info(  # the report of the run says it to people
                "all known values of %s are the same in the training images: "
                "nothing can be learnt about them",
                ", ".join(single),
            )
        frequency: F64 = present / known
        return frequency

    def digest(self) -> str:
        """sha256 of what a run learns from: all labels and rows, some evenly chosen images."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        for index in (self.train, self.selection):
            digest.update(index.tobytes())
            digest.update(np.ascontiguousarray(self.labels[index]).tobytes())
        chosen = self.train[:: max(1, len(self.train) // _DIGEST_IMAGES)]
        digest.update(np.ascontiguousarray(self.pixels[chosen]).tobytes())
        return digest.hexdigest()

    def stage(self, config: TrainerConfig, number: int) -> StageData:
        """The batches of a stage of a run."""
        train, selection = (
            PixelBatches(self.pixels, self.labels, rows) for rows in (self.train, self.selection)
        )
        return StageData(train, selection, config, number)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the training images' colours, float32 [3] each, 0–255."""
        return pixel_statistics(self.pixels, self.train)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run made.

    Attributes:
        fingerprint: Of the encoder.
        path: Its model folder.
        metrics: Selection figures of the weights kept.
        seconds: Wall time of each stage, resumed parts added.
        history: Each stage's figures, one entry an epoch.
    """

    fingerprint: str
    path: Path
    metrics: dict[str, float]
    seconds: dict[str, float]
    history: dict[str, list[dict[str, float]]]


def trained(path: Path, metrics: dict[str, float], **stages: StageResult) -> Trained:
    """What a run made.

    Args:
        path: Its model folder, written.
        metrics: Selection figures of the weights kept.
        stages: By name, the one that the model comes from last.
    """
    *_, last = stages.values()
    _log.info("model %s: selection map %.4f", path.name[:12], last.best["selection_map"])
    return Trained(
        fingerprint=path.name,
        path=path,
        metrics=metrics,
        seconds={name: stage.seconds for name, stage in stages.items()},
        history={name: stage.history for name, stage in stages.items()},
    )


def _record_of(run_dir: Path, kind: str) -> Path:
    return run_dir / f"{kind}.json"


def has_run(run_dir: Path, kind: str) -> bool:
    """Whether a folder holds a run that training this kind of encoder can go on with."""
    return _record_of(run_dir, kind).exists()


class Digested(Protocol):
    """What a run learns from, as far as a resumed run must find it again."""

    def digest(self) -> str:
        """sha256 of it."""
        ...


def open_run(run_dir: Path, config: TrainerConfig, images: Digested, *, resume: bool) -> None:
    """Begin a run in an unused folder, or make sure that the one there is the one meant.

    Args:
        run_dir: The run's folder; created when absent. `<kind>.json` in it records the configuration
            and a digest of the images: what a resumed run must match.
        config: What it trains.
        images: What it learns from.
        resume: Whether the run is to be there.

    Raises:
        TrainingError: it is there and should not be, or is another one.
    """
    digest = images.digest()
    if not resume:
        file = _record_of(run_dir, config.kind)
        if file.exists():
            raise TrainingError(f"{run_dir} holds a run already: resume it, or name another folder")
        record = {"config": config.to_dict(), "data": digest}
        write_whole(file, json.dumps(record, indent=1, ensure_ascii=False).encode())
        return
    before, data = read_run(run_dir, type(config))
    different = config.differences(before)
    if different:
        changes = ", ".join(
            f"{key} (was {getattr(before, key)!r}, now {getattr(config, key)!r})" for key in different
        )
        raise TrainingError(f"the run in {run_dir} has another configuration: {changes}; start a new run")
    if data != digest:
        raise TrainingError(
            f"the run in {run_dir} began with other images, labels or splits; start a new run"
        )


def read_run(run_dir: Path, config_class: type[C]) -> tuple[C, str]:
    """A run's configuration and the digest of its images.

    Raises:
        TrainingError: there is none, or it cannot be read.
    """
    file = _record_of(run_dir, config_class.kind)
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return config_class.from_dict(record["config"]), str(record["data"])
    except FileNotFoundError:
        raise TrainingError(f"{run_dir} holds no run: start one without resuming") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{file} cannot be read ({error}): start a new run") from None


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
