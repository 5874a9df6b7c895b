"""A stage of training as a Lightning module: what is the same for every encoder.

Notation: B images in a batch, L labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.trainer.config import TrainerConfig
from olrsearch.encoders.trainer.data import augment, step_generator, to_planes
from olrsearch.encoders.trainer.distortion import jitter_colour, turn_and_zoom
from olrsearch.encoders.trainer.metrics import selection_metrics

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from olrsearch.core.arrays import F32, I8
    from olrsearch.encoders.trainer.data import Batch

_CHECK_EVERY = 20
_WARM_UP = 0.2
_LEAST_STEPS = 10
"""Below that the schedule's first part would have no length, which divides by zero."""

C = TypeVar("C", bound=TrainerConfig)
N = TypeVar("N", bound=nn.Module)


class Stage(LightningModule, ABC, Generic[C, N]):
    """What all stages share: schedule, augmentation, validation, the guard against NaN.

    Args:
        config: Of the run.
        network: What is trained; its weights are changed.
        number: Which stage of its run this is; part of every random seed.
        learning_rate: Peak of the one-cycle schedule.

    Attributes:
        figures: Selection figures of the last validation, that of `score` among them.
        faster: How many times faster some parameters learn, by name.
        score: Which of the figures chooses weights and stops early; larger is better.
    """

    faster: ClassVar[dict[str, float]] = {}
    score: ClassVar[str] = "selection_map"

    def __init__(self, config: C, network: N, number: int, learning_rate: float) -> None:
        super().__init__()
        self.config, self.network, self.number = config, network, number
        self.learning_rate = learning_rate
        self.figures: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._scores: list[tuple[Tensor, Tensor]] = []

    @abstractmethod
    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The stage's losses of one batch; `loss` is what is minimised.

        Args:
            planes: float32 [B, 3, H, W], augmented pixels, 0–255; or what else `varied` makes.
            labels: int8 [B, L].
            generator: Of this step's randomness.
        """

    @abstractmethod
    def scores(self, planes: Tensor) -> Tensor:
        """Logits float [B, L] of whole images, for validation."""

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's losses."""
        self._sums, self._steps = {}, 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step's loss."""
        pixels, labels = batch
        generator = step_generator(
            self.config.seed, self.number, self.current_epoch, batch_idx, self.global_rank
        )
        losses = self.losses(self.varied(pixels, generator), labels, generator)
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()
        self._steps += 1
        if self._steps % _CHECK_EVERY == 0:
            self.mean_losses()
        return losses["loss"]

    def varied(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 3, H, W], changed at random as configured."""
        config = self.config
        planes = to_planes(augment(pixels, flip=config.flip, shift=config.shift, generator=generator))
        if config.zoom > 0 or config.rotation > 0:
            planes = turn_and_zoom(planes, zoom=config.zoom, rotation=config.rotation, generator=generator)
        if config.colour > 0:
            planes = jitter_colour(planes, strength=config.colour, generator=generator)
        return planes

    def mean_losses(self) -> dict[str, float]:
        """Mean losses of the epoch so far.

        Raises:
            TrainingError: one of them is not finite.
        """
        means = {name: float(value) / max(1, self._steps) for name, value in self._sums.items()}
        if not all(np.isfinite(value) for value in means.values()):
            raise TrainingError(
                f"the loss became {means['loss']} in epoch {self.current_epoch + 1}: training diverged; "
                f"lower the learning rate (now {self.learning_rate:g}), or set precision=32-true, "
                "and start again"
            )
        return means

    def validation_step(self, batch: Batch, _batch_idx: int) -> None:
        """Collect logits of whole images."""
        pixels, labels = batch
        self._scores.append((self.scores(to_planes(pixels)).float().cpu(), labels.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Figures on the selection images; each process has all of these, so nothing is gathered."""
        logits = torch.cat([part for part, _ in self._scores]).numpy()
        labels = torch.cat([part for _, part in self._scores]).numpy()
        self._scores.clear()
        self.figures = {f"selection_{name}": value for name, value in self.evaluate(logits, labels).items()}

    def evaluate(self, scores: F32, labels: I8) -> dict[str, float]:
        """Figures of the selection images' scores, float32 [n, L], against labels int8 [n, L].

        `map` is what weights are chosen by.
        """
        return selection_metrics(scores, labels)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW without decay of biases and norms, on a one-cycle schedule."""
        weights: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        decay, rate = self.config.weight_decay, self.learning_rate
        drawn: list[tuple[dict[str, Any], float]] = [
            ({"params": weights, "weight_decay": decay}, rate),
            ({"params": plain, "weight_decay": 0.0}, rate),
        ]
        for name, parameter in self.network.named_parameters():
            if not parameter.requires_grad:
                continue
            if name in self.faster:
                # It decays as fast as the rest: decay is multiplied by the learning rate.
                group = {"params": [parameter], "weight_decay": decay / self.faster[name]}
                drawn.append((group, rate * self.faster[name]))
            else:
                (weights if parameter.ndim > 1 else plain).append(parameter)
        groups = [(group, peak) for group, peak in drawn if group["params"]]
        optimizer = torch.optim.AdamW([group for group, _ in groups], lr=rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[peak for _, peak in groups],
            total_steps=max(_LEAST_STEPS, int(self.trainer.estimated_stepping_batches)),
            pct_start=_WARM_UP,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
