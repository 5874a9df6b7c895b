"""The two stages of training as Lightning modules.

Notation: B images in a batch, L labels, k numbers a label.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from olrsearch.encoders.olr.data import augment, step_generator, to_planes
from olrsearch.encoders.olr.distortion import jitter_colour, turn_and_zoom
from olrsearch.encoders.olr.losses import (
    all_pairs_loss,
    draw_partners,
    joint_probabilities,
    label_loss,
    manner_factor,
    norm_loss,
    random_pairs_loss,
    readout_loss,
)
from olrsearch.encoders.olr.metrics import selection_metrics
from olrsearch.encoders.olr.network import OlrNetwork, TeacherNetwork
from olrsearch.encoders.olr.occlusion import draw_rectangles, occlude
from olrsearch.errors import TrainingError

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from olrsearch.arrays import F64
    from olrsearch.encoders.olr.config import OlrConfig
    from olrsearch.encoders.olr.data import Batch

SELECTION_MAP = "selection_map"
"""The figure that chooses weights and stops early; larger is better."""

_CHECK_EVERY = 20
_READOUT_RATE = 10.0
"""Readout weights must grow to tens where embeddings are below 1: they learn this much faster."""

_WARM_UP = 0.2
_LEAST_STEPS = 10
"""Below that the schedule's first part would have no length, which divides by zero."""

N = TypeVar("N", bound=nn.Module)


class Stage(LightningModule, ABC, Generic[N]):
    """What both stages share: schedule, augmentation, validation, the guard against NaN.

    Args:
        config: Of the run.
        network: What is trained; its weights are changed.
        number: 0 teacher, 1 Siamese network; part of every random seed.
        learning_rate: Peak of the one-cycle schedule.
        pixel_mean: float32 [3], the data mean, 0–255: what occlusions are filled with.

    Attributes:
        figures: Selection figures of the last validation, `selection_map` among them.
    """

    def __init__(
        self, config: OlrConfig, network: N, number: int, learning_rate: float, pixel_mean: Tensor
    ) -> None:
        super().__init__()
        self.config, self.network, self.number = config, network, number
        self.pixel_mean = pixel_mean
        self.learning_rate = learning_rate
        self.figures: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._scores: list[tuple[Tensor, Tensor]] = []

    @abstractmethod
    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The stage's losses of one batch; `loss` is what is minimised.

        Args:
            planes: float32 [B, 3, H, W], augmented pixels, 0–255.
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
        losses = self.losses(self._augmented(pixels, generator), labels, generator)
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach()
        self._steps += 1
        if self._steps % _CHECK_EVERY == 0:
            self.mean_losses()
        return losses["loss"]

    def _augmented(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """uint8 [B, H, W, 3] → float32 [B, 3, H, W], changed at random as configured."""
        config = self.config
        planes = to_planes(augment(pixels, flip=config.flip, shift=config.shift, generator=generator))
        if config.zoom > 0 or config.rotation > 0:
            planes = turn_and_zoom(planes, zoom=config.zoom, rotation=config.rotation, generator=generator)
        if config.colour > 0:
            planes = jitter_colour(planes, strength=config.colour, generator=generator)
        return planes

    def _occluded(self, planes: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """Images of which a share has a rectangle filled, float32 [B, 3, H, W]."""
        config = self.config
        rectangles = draw_rectangles(len(planes), config.image_size, config.occlusion, share, generator)
        fill = self.pixel_mean if config.occlusion_fill == "mean" else torch.zeros_like(self.pixel_mean)
        return occlude(planes, rectangles, fill)

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
        figures = selection_metrics(logits, labels)
        self.figures = {f"selection_{name}": value for name, value in figures.items()}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW without decay of biases and norms, on a one-cycle schedule."""
        weights: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        readout: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                group = readout if name == "readout.weight" else weights if parameter.ndim > 1 else plain
                group.append(parameter)
        decay, rate = self.config.weight_decay, self.learning_rate
        # The faster readout decays as fast as the rest: decay is multiplied by the learning rate.
        drawn = [
            ({"params": weights, "weight_decay": decay}, rate),
            ({"params": plain, "weight_decay": 0.0}, rate),
            ({"params": readout, "weight_decay": decay / _READOUT_RATE}, rate * _READOUT_RATE),
        ]
        groups = [(group, peak) for group, peak in drawn if group["params"]]
        optimizer = torch.optim.AdamW([group for group, _ in groups], lr=rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[peak for _, peak in groups],
            total_steps=max(_LEAST_STEPS, int(self.trainer.estimated_stepping_batches)),
            pct_start=_WARM_UP,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class TeacherStage(Stage[TeacherNetwork]):
    """The classifier: independent labels, binary cross-entropy, unknown labels left out."""

    def __init__(self, config: OlrConfig, network: TeacherNetwork, pixel_mean: Tensor) -> None:
        super().__init__(config, network, 0, config.learning_rate, pixel_mean)

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`."""
        config = self.config
        if config.teacher_occlusion > 0:
            planes = self._occluded(planes, config.teacher_occlusion, generator)
        loss = label_loss(
            self.network(planes),
            labels,
            smoothing=config.label_smoothing,
            negative_focus=config.negative_focus,
        )
        return {"loss": loss}

    def scores(self, planes: Tensor) -> Tensor:
        """See `Stage.scores`."""
        logits: Tensor = self.network(planes)
        return logits


class SiameseStage(Stage[OlrNetwork]):
    """The label embeddings: inner products of occluded images against the teacher's joint probabilities.

    The teacher sees the very same occluded images, in evaluation mode and without gradient.

    Source: Karatsiolis and Kamilaris, section 3 and figure 2.
    """

    def __init__(
        self, config: OlrConfig, network: OlrNetwork, teacher: TeacherNetwork, pixel_mean: Tensor
    ) -> None:
        super().__init__(config, network, 1, config.siamese_learning_rate, pixel_mean)
        # In a tuple the teacher is no submodule: it is neither trained, averaged nor saved.
        self._teacher = (teacher.eval().requires_grad_(requires_grad=False),)
        network.readout.requires_grad_(requires_grad=config.readout_weight > 0)
        network.trunk.requires_grad_(requires_grad=not config.freeze_trunk)

    def on_fit_start(self) -> None:
        """Bring the teacher, which Lightning does not know of, to the network's device."""
        self._teacher[0].to(self.device)

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`."""
        config, teacher = self.config, self._teacher[0]
        occluded = self._occluded(planes, config.occlusion_probability, generator)
        with torch.no_grad():
            features = teacher.trunk(teacher.normalise(occluded))
        # A frozen trunk is the teacher's: its features need not be computed twice.
        embeddings = self.network.head(features) if config.freeze_trunk else self.network(occluded)
        return self.compare(embeddings, features, labels, generator)

    def compare(
        self, embeddings: Tensor, features: Tensor, labels: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The losses of label embeddings, given the teacher's features of the same images.

        Args:
            embeddings: float32 [B, L, k].
            features: float [B, C, h, w], of the teacher's trunk, without gradient.
            labels: int8 [B, L].
            generator: Of this step's randomness.
        """
        config, teacher = self.config, self._teacher[0]
        with torch.no_grad():
            probabilities = torch.sigmoid(teacher.classify(features) / config.temperature)
        # Inner products and their errors need float32 whatever the network computed in.
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            if config.pairing == "all":
                targets = joint_probabilities(probabilities)
                if config.manner > 0:
                    targets = targets * manner_factor(features, teacher.linear.weight, config.manner)
                joint = all_pairs_loss(embeddings, targets)
            else:
                partners = draw_partners(len(embeddings), generator).to(embeddings.device)
                joint = random_pairs_loss(embeddings, probabilities, partners)
            losses = {"joint": joint}
            total = config.joint_weight * joint
            if config.norm_weight > 0:
                losses["norm"] = norm_loss(embeddings, probabilities)
                total = total + config.norm_weight * losses["norm"]
            if config.readout_weight > 0:
                logits = self.network.readout(embeddings)
                losses["readout"] = readout_loss(logits, labels, probabilities, config.label_share)
                total = total + config.readout_weight * losses["readout"]
        return {"loss": total, **losses}

    def scores(self, planes: Tensor) -> Tensor:
        """See `Stage.scores`; without a trained readout ‖e‖ − ½, since e·e is trained to be p²."""
        embeddings: Tensor = self.network(planes)
        if self.config.readout_weight > 0:
            logits: Tensor = self.network.readout(embeddings)
            return logits
        return embeddings.square().sum(dim=2).sqrt() - 0.5


def start_readout(network: OlrNetwork, frequency: F64) -> None:
    """Start a readout's offsets at the labels' frequencies, so that there is nothing to unlearn.

    Args:
        network: Changed in place.
        frequency: float64 [L], each label's share of present among known entries.
    """
    clipped = torch.as_tensor(frequency, dtype=torch.float32).clamp(1e-3, 1 - 1e-3)
    with torch.no_grad():
        network.readout.bias.copy_(torch.logit(clipped))
