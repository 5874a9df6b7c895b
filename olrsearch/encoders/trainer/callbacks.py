"""What happens beside the steps of a stage: averaging, the run's record, progress.

One file, `last.ckpt`, holds all that a stage needs to go on, its best weights so far
among it. It is replaced in one step at the end of each epoch, so a run that is
killed at any moment resumes from a whole one.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from tqdm import tqdm

from olrsearch.core.errors import TrainingError
from olrsearch.core.files import whole_file
from olrsearch.core.progress import Heartbeat
from olrsearch.encoders.trainer.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor

    from olrsearch.core.progress import Work

_log = logging.getLogger(__name__)

CHECKPOINT_NAME = "last.ckpt"
METRICS_NAME = "metrics.jsonl"
_NETWORK = "module.network."
_KEPT = ("history", "best_score", "best_epoch", "best_state")
"""What a checkpoint holds of a record."""

_BAR_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _WarmedAverage:
    """A step of the moving average; a class, since processes are spawned with it.

    Attributes:
        decay: Where the decay ends.
    """

    decay: float

    def __call__(self, averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        """All tensors of one type at once: a small network has many, and each call of torch its price."""
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)
            return
        steps = float(count)
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(averaged, current, share)


class Averaging(WeightAveraging):
    """Exponential moving average of weights and statistics, which is what is validated and kept.

    The decay grows to its value over the first steps, min(decay, (1 + n) / (10 + n)), so
    that the average does not start from random weights.

    Args:
        decay: Of the average, 0 to below 1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=True, multi_avg_fn=_WarmedAverage(decay))

    def averaged_network(self) -> dict[str, Tensor]:
        """A copy of the averaged network's state, on CPU."""
        if self._average_model is None:
            raise TrainingError("the average of the weights was asked for outside of training")
        state = self._average_model.state_dict()
        return {
            name.removeprefix(_NETWORK): value.detach().cpu().clone()
            for name, value in state.items()
            if name.startswith(_NETWORK)
        }


class Record(Callback):
    """Keeps each epoch's figures, the best weights and the checkpoint to go on from.

    Args:
        folder: The stage's folder.
        averaging: Where the weights come from.
    """

    def __init__(self, folder: Path, averaging: Averaging) -> None:
        self.folder, self.averaging = folder, averaging
        self.history: list[dict[str, float]] = []
        self.best_score = float("-inf")
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}
        self._before, self._started = 0.0, 0.0

    @property
    def state_key(self) -> str:
        """Where a checkpoint keeps this callback's state."""
        return "record"

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {name: getattr(self, name) for name in _KEPT}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name in _KEPT:
            setattr(self, name, state_dict[name])
        self._before = float(self.history[-1]["seconds"]) if self.history else 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - Lightning's signature
        """Start the clock."""
        self._started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch's figures; keep its averaged weights when they are the best so far."""
        if not isinstance(pl_module, Stage):
            raise TrainingError("only the stages of this package can be recorded")
        epoch = trainer.current_epoch + 1
        entry = {
            "epoch": epoch,
            "seconds": self._before + time.perf_counter() - self._started,
            **{f"train_{name}": value for name, value in pl_module.mean_losses().items()},
            **pl_module.figures,
        }
        self.history.append(entry)
        if entry[pl_module.score] > self.best_score:
            self.best_score, self.best_epoch = entry[pl_module.score], epoch
            self.best_state = self.averaging.averaged_network()
        if trainer.is_global_zero:
            lines = "".join(json.dumps(line) + "\n" for line in self.history)
            (self.folder / METRICS_NAME).write_text(lines, encoding="utf-8")
            _log.info("%s", describe_epoch(entry))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - Lightning's signature
        """Replace the checkpoint."""
        path = self.folder / CHECKPOINT_NAME
        if trainer.is_global_zero:
            with whole_file(path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(path)  # every process takes part, the first alone writes
        trainer.strategy.barrier()


class EarlyStop(Callback):
    """Ends a stage whose figure has not risen for some epochs.

    Unlike Lightning's own it also ends, at once, a stage that was killed after it had
    stopped: a resumed run is the uninterrupted one.

    Args:
        record: Knows the figures.
        patience: Epochs without a better figure; 0 never stops.
    """

    def __init__(self, record: Record, patience: int) -> None:
        self.record, self.patience = record, patience

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - Lightning's signature
        """After each epoch, and after a resume."""
        if self.patience and len(self.record.history) - self.record.best_epoch >= self.patience:
            trainer.should_stop = True

    on_train_start = on_validation_end


class Progress(Callback):
    """One bar on standard error for the whole stage, with the time left; where it is no terminal, lines.

    Args:
        title: The stage's name.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: tqdm[Any] | None = None
        self._work: Work | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - Lightning's signature
        """Begin where the run stands."""
        if not trainer.is_global_zero:
            return
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        if sys.stderr is None or not sys.stderr.isatty():
            self._work = Heartbeat(_to_stderr).work(total=total, what=self.title, unit="steps", done=done)
            return
        self._bar = tqdm(
            desc=self.title,
            total=total,
            initial=done,
            unit="step",
            mininterval=_BAR_SECONDS,
            maxinterval=_BAR_SECONDS,
            dynamic_ncols=True,
            file=sys.stderr,
        )

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - nothing of them is needed
        """One more step."""
        for shown in (self._bar, self._work):
            if shown is not None:
                shown.update()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch and its figures."""
        if not isinstance(pl_module, Stage):
            return
        figures = {
            "epoch": f"{trainer.current_epoch + 1}/{trainer.max_epochs}",
            **{name.removeprefix("selection_"): f"{value:.4f}" for name, value in pl_module.figures.items()},
        }
        if self._bar is not None:
            self._bar.set_postfix(figures)
        if self._work is not None:
            self._work.said = ", ".join(f"{name} {value}" for name, value in figures.items())

    def on_train_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - nothing of them is needed
        """Close the bar; of a training that failed, before the message."""
        if self._bar is not None:
            self._bar.close()
        self._bar = self._work = None

    on_exception = on_train_end


def _to_stderr(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def describe_epoch(entry: Mapping[str, float]) -> str:
    """One line of an epoch's figures."""
    figures = ", ".join(
        f"{name} {value:.4f}" for name, value in entry.items() if name not in {"epoch", "seconds"}
    )
    return f"epoch {int(entry['epoch'])} after {entry['seconds']:.0f} s: {figures}"
