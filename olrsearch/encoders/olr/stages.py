"""The two stages of OLR's training as Lightning modules.

Notation: B images in a batch, L labels, k numbers a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from olrsearch.encoders.olr.config import OlrConfig
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
from olrsearch.encoders.olr.network import OlrNetwork, TeacherNetwork
from olrsearch.encoders.olr.occlusion import draw_rectangles, occlude
from olrsearch.encoders.trainer.stage import Stage

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64

N = TypeVar("N", bound=nn.Module)


class _OlrStage(Stage[OlrConfig, N]):
    """A stage that may occlude images.

    Args:
        config: Of the run.
        network: What is trained; its weights are changed.
        number: 0 teacher, 1 Siamese network.
        learning_rate: Peak of the one-cycle schedule.
        pixel_mean: float32 [3], the data mean, 0–255: what occlusions are filled with.
    """

    def __init__(
        self, config: OlrConfig, network: N, number: int, learning_rate: float, pixel_mean: Tensor
    ) -> None:
        super().__init__(config, network, number, learning_rate)
        self.pixel_mean = pixel_mean

    def _occluded(self, planes: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """Images of which a share has a rectangle filled, float32 [B, 3, H, W]."""
        config = self.config
        rectangles = draw_rectangles(len(planes), config.image_size, config.occlusion, share, generator)
        fill = self.pixel_mean if config.occlusion_fill == "mean" else torch.zeros_like(self.pixel_mean)
        return occlude(planes, rectangles, fill)


class TeacherStage(_OlrStage[TeacherNetwork]):
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


class SiameseStage(_OlrStage[OlrNetwork]):
    """The label embeddings: inner products of occluded images against the teacher's joint probabilities.

    The teacher sees the very same occluded images, in evaluation mode and without gradient.

    Source: paper 001, section 3, figure 2.
    """

    # Readout weights must grow to tens where embeddings are below 1.
    faster: ClassVar[dict[str, float]] = {"readout.weight": 10.0}

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
