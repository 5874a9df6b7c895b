"""Training of a variational encoder as a Lightning module.

Notation: B images in a batch, L labels, n numbers that are seen of an image, d dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from olrsearch.encoders.trainer.data import derived_seed
from olrsearch.encoders.trainer.metrics import average_precision
from olrsearch.encoders.trainer.stage import Stage
from olrsearch.encoders.vae.config import VaeConfig
from olrsearch.encoders.vae.gaussians import Diagonal, log_densities
from olrsearch.encoders.vae.network import VaeNetwork
from olrsearch.encoders.vae.objectives import OBJECTIVES
from olrsearch.encoders.vae.objectives.batch import Batch

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from olrsearch.core.arrays import F32, I8

_VALIDATION = 1
"""Part of the seed of what validation draws."""


class VaeStage(Stage[VaeConfig, VaeNetwork]):
    """The objective of the configuration's kind; its batches hold what is seen of images, not pixels.

    Weights are chosen by the bound, the objective on selection images with its sign turned.

    Args:
        config: Of the run.
        network: What is trained.
        one: Whether each image has exactly one label.
    """

    score: ClassVar[str] = "selection_bound"

    def __init__(self, config: VaeConfig, network: VaeNetwork, *, one: bool) -> None:
        super().__init__(config, network, 0, config.learning_rate)
        self.one = one
        self._objective = OBJECTIVES[config.kind]
        self._bounds: list[tuple[float, int]] = []
        network.seen.requires_grad_(requires_grad=False)

    def varied(self, pixels: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002 - as stages vary images
        """What is seen of images is prepared already: float32 [B, n]."""
        return pixels

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`: nats an image, of what is seen, float32 [B, n]."""
        batch = Batch(planes, labels, self.one, generator)
        return self._objective.losses(self.network, batch, self.config)

    def scores(self, planes: Tensor) -> Tensor:
        """See `Stage.scores`: ln N(μ; label) less that of what it is compared with.

        Of one label an image, that is the sum over labels; of many, an image without labels.
        """
        network = self.network
        if "conditional" in self._objective.parts:  # its encoder takes the label, and so says nothing of it
            return planes.new_zeros(len(planes), len(network.inputs))
        points = network.of_images(planes).mean
        found = log_densities(points, network.of_labels(network.inputs))
        if self.one:
            return found - torch.logsumexp(found, dim=1, keepdim=True)
        nothing: Diagonal = network.of_labels(torch.zeros_like(network.inputs[:1]))
        return found - log_densities(points, nothing)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect scores and the objective's mean; every validation draws the same."""
        seen, labels = batch
        self._scores.append((self.scores(seen).float().cpu(), labels.cpu()))
        seed = derived_seed(self.config.seed, self.number, _VALIDATION, batch_idx)
        found = self.losses(seen, labels, torch.Generator().manual_seed(seed))["loss"]
        self._bounds.append((-float(found), len(seen)))

    def evaluate(self, scores: F32, labels: I8) -> dict[str, float]:
        """See `Stage.evaluate`: the bound, macro average precision and, of one label an image, accuracy."""
        total = sum(count for _, count in self._bounds)
        bound = sum(value * count for value, count in self._bounds) / total
        self._bounds.clear()
        found = average_precision(scores, labels)
        figures = {"bound": bound, "map": float(np.nanmean(found)) if np.isfinite(found).any() else 0.0}
        if self.one:
            figures["accuracy"] = float((scores.argmax(axis=1) == labels.argmax(axis=1)).mean())
        return figures

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW on a one-cycle schedule, or at one rate; without decay of weights the paper's Adam."""
        if self.config.schedule == "one-cycle":
            return super().configure_optimizers()
        learning = [one for one in self.network.parameters() if one.requires_grad]
        decay = self.config.weight_decay
        return torch.optim.AdamW(learning, lr=self.learning_rate, weight_decay=decay, fused=True)
