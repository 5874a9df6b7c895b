"""One stage of training, from wherever it stands to its result."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import signal
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerStatus
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import ProcessRaisedException

from olrsearch.core.errors import TrainingError
from olrsearch.core.files import write_whole
from olrsearch.encoders.trainer.callbacks import (
    CHECKPOINT_NAME,
    METRICS_NAME,
    Averaging,
    EarlyStop,
    Progress,
    Record,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lightning.pytorch import LightningModule
    from torch import Tensor

    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.encoders.trainer.data import StageData
    from olrsearch.encoders.trainer.stage import Stage

_log = logging.getLogger(__name__)

RESULT_NAME = "result.json"
WEIGHTS_NAME = "weights.safetensors"

_ADVICE = (
    # The data lie in memory and batches are gathered at once: on few cores workers only cost.
    r"The '\w+_dataloader' does not have many workers",
    # Epochs of tests and of small data sets have fewer than 50 steps; nothing is logged by step.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Lightning 2.6 uses a name that torch 2.13 deprecates.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # A checkpoint of a finished epoch is exactly what is resumed from.
    r"You're resuming from a checkpoint that ended before the epoch ended",
)
"""Openings of Lightning's advice that does not apply here."""

_LOGGERS = ("lightning.pytorch", "lightning.fabric")


@dataclass(frozen=True, slots=True)
class StageResult:
    """A finished stage.

    Attributes:
        state: The best averaged weights of the network, on CPU.
        history: One entry an epoch.
        best_epoch: The epoch, from 1, that the weights come from.
        seconds: Wall time, resumed parts added.
    """

    state: dict[str, Tensor]
    history: list[dict[str, float]]
    best_epoch: int
    seconds: float

    @property
    def best(self) -> dict[str, float]:
        """The figures of the epoch kept."""
        return self.history[self.best_epoch - 1]


def run_stage(
    stage: Stage[Any, Any], data: StageData, folder: Path, title: str, epochs: int, *, progress: bool
) -> StageResult:
    """Train a stage, go on with one that was interrupted, or read the result of a finished one.

    Args:
        stage: The Lightning module; its network is trained in place.
        data: Its batches.
        folder: The stage's folder; created when absent.
        title: What progress and messages call it.
        epochs: How many there are.
        progress: Show a progress bar on standard error.

    Raises:
        TrainingError: a damaged checkpoint, or training that diverges.
        KeyboardInterrupt: interrupted; says how far the stage is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / RESULT_NAME).exists():
        return _read_result(folder)
    checkpoint = folder / CHECKPOINT_NAME
    averaging = Averaging(stage.config.ema_decay)
    record = Record(folder, averaging)
    callbacks = [averaging, record, EarlyStop(record, stage.config.patience), _QuietChild()]
    if progress:
        callbacks.append(Progress(title))
    with quiet_lightning():
        trainer = Trainer(
            **_hardware(stage.config),
            max_epochs=epochs,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        try:
            with interruptible(trainer, lambda: _interrupted(folder, title, epochs)):
                trainer.fit(
                    stage,
                    datamodule=data,
                    ckpt_path=checkpoint if checkpoint.exists() else None,
                    weights_only=True,
                )
        except ProcessRaisedException as error:
            reason = str(error).strip().splitlines()[-1]
            raise TrainingError(f"a training process failed: {reason}; try devices=1 to see where") from error
    return _finish(folder)


def finished_files(folder: Path) -> tuple[Path, ...]:
    """The files of a finished stage, the one that makes it finished last; none of an unfinished one."""
    files = (folder / WEIGHTS_NAME, folder / METRICS_NAME, folder / RESULT_NAME)
    return files if files[-1].exists() else ()


def _hardware(config: TrainerConfig) -> dict[str, Any]:
    """Accelerator, devices, strategy and precision of a trainer."""
    gpu = torch.cuda.is_available()
    available = torch.cuda.device_count() if gpu else 1
    devices = available if config.devices == "auto" else int(config.devices)
    if gpu and devices > available:
        raise TrainingError(f"devices={devices}, but {available} GPUs are here: set devices=auto or fewer")
    precision = config.precision
    if precision == "auto":
        precision = "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"
    return {
        "accelerator": "cuda" if gpu else "cpu",
        "devices": devices,
        # Spawned, not started as copies of the program: these would open the caller's store again.
        "strategy": "ddp_spawn" if devices > 1 else "auto",
        "precision": precision,
    }


def _finish(folder: Path) -> StageResult:
    """Turn a stage's last checkpoint into its result, the best weights."""
    state = torch.load(folder / CHECKPOINT_NAME, map_location="cpu", weights_only=True)["callbacks"]["record"]
    weights = {name: value.contiguous() for name, value in state["best_state"].items()}
    save_file(weights, folder / WEIGHTS_NAME)
    result = {"best_epoch": state["best_epoch"], "history": state["history"]}
    write_whole(folder / RESULT_NAME, json.dumps(result, indent=1).encode())
    (folder / CHECKPOINT_NAME).unlink()
    return _read_result(folder)


def _read_result(folder: Path) -> StageResult:
    try:
        result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
        return StageResult(
            state=load_file(folder / WEIGHTS_NAME),
            history=result["history"],
            best_epoch=int(result["best_epoch"]),
            seconds=float(result["history"][-1]["seconds"]),
        )
    except Exception as error:
        raise TrainingError(
            f"the finished stage in {folder} cannot be read ({error}): start a new run"
        ) from error


def _interrupted(folder: Path, title: str, epochs: int) -> str:
    """How far an interrupted stage is; logged too."""
    metrics = folder / METRICS_NAME
    kept = len(metrics.read_text(encoding="utf-8").splitlines()) if (folder / CHECKPOINT_NAME).exists() else 0
    message = (
        f"interrupted while training the {title}: {kept} of {epochs} epochs are kept in {folder.parent}, and "
        "a resumed run goes on from there"
    )
    _log.info("%s", message)
    return message


@contextlib.contextmanager
def interruptible(trainer: Trainer, message: Callable[[], str]) -> Iterator[None]:
    """Around a fit: Ctrl-C is a KeyboardInterrupt, and works again afterwards.

    Lightning turns it into an exit of the whole program, which is the caller's to decide, and leaves it
    switched off after it was pressed once.

    Args:
        trainer: What fits.
        message: What the interrupt says.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if trainer.state.status != TrainerStatus.INTERRUPTED:
            raise
        raise KeyboardInterrupt(message()) from None
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without Lightning's announcements of hardware and its advice that does not apply."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        try:
            _quieten()
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


class _QuietChild(Callback):
    """The same in a process that was started for one of several devices."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002 - Lightning's signature
        """For good: the process lives for this training alone."""
        if multiprocessing.parent_process() is not None:
            _quieten()


def _quieten() -> None:
    for opening in _ADVICE:
        warnings.filterwarnings("ignore", message=opening)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
