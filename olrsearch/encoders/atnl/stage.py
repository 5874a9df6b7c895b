"""Training of an auto-encoder as a Lightning module, whatever its objective.

Notation: B images in a batch, L labels, d dimensions, n selection images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from olrsearch.encoders.atnl.config import AtnlConfig, AutoEncoderConfig, VaeTlConfig
from olrsearch.encoders.atnl.network import AutoEncoder, on_sphere
from olrsearch.encoders.atnl.objectives.triplets import NO_CLASS
from olrsearch.encoders.trainer.stage import Stage
from olrsearch.encoders.trunks.decoder import bernoulli_error
from olrsearch.maths.neighbours import nearest_rows, vote

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, I8, I64

NEIGHBOURS = 5
"""Of the vote that weights are chosen by, and of paper 002's table 1 as it is read."""


class Objective(Protocol):
    """What one of the six minimises."""

    def __call__(
        self,
        config: Any,  # noqa: ANN401 - the kind's own
        network: AutoEncoder,
        planes: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The losses of a batch; `loss` is what is minimised.

        Args:
            config: Of the run.
            network: What is trained.
            planes: float32 [B, 3, H, W], augmented pixels, 0–255.
            labels: int8 [B, L].
            generator: Of this step's randomness, on CPU.
        """


class AutoEncoderStage(Stage[AutoEncoderConfig, AutoEncoder]):
    """One of the six.

    Args:
        config: Of the run.
        network: What is trained.
        objective: What is minimised.
    """

    def __init__(self, config: AutoEncoderConfig, network: AutoEncoder, objective: Objective) -> None:
        super().__init__(config, network, 0, config.learning_rate)
        self.objective = objective

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`."""
        return self.objective(self.config, self.network, planes, labels, generator)

    def scores(self, planes: Tensor) -> Tensor:
        """Not logits: the points of whole images, and the error of what is decoded there, [B, d + 1]."""
        points = self.network(planes)[:, : self.network.size].float()
        if self.config.on_sphere:
            points = on_sphere(points)
        error = bernoulli_error(self.network.decoder(points), planes)
        return torch.cat([points, error[:, None]], dim=1)

    def evaluate(self, scores: F32, labels: I8) -> dict[str, float]:
        """See `Stage.evaluate`: `reconstruction`, nats an image; with classes the share of `neighbours`.

        `map`, by which weights are chosen, is that share where the objective looks at labels, and else the
        negated error: an objective that never sees labels is not to be chosen by them.
        """
        error = float(scores[:, -1].mean())
        classes = classes_of_config(self.config, labels)
        if classes is None:
            return {"map": -error, "reconstruction": error}
        share = _neighbour_share(np.ascontiguousarray(scores[:, :-1]), classes)
        return {"map": share, "neighbours": share, "reconstruction": error}


def classes_of_config(config: AutoEncoderConfig, labels: I8) -> I64 | None:
    """What an objective takes for each image's class, int64 [n], −1 for none; None where it has no classes.

    Args:
        config: Of the run.
        labels: int8 [n, L].
    """
    if isinstance(config, AtnlConfig):
        return config.steps().ranks(labels)
    if isinstance(config, VaeTlConfig):
        present = labels > 0
        found: I64 = np.where(present.sum(axis=1) == 1, present.argmax(axis=1), NO_CLASS).astype(np.int64)
        return found
    return None


def _neighbour_share(points: F32, classes: I64) -> float:
    """Share of the images whose nearest others vote for their class; 0 with fewer than two."""
    known = classes >= 0
    points, classes = points[known], classes[known]
    if len(points) < 2:
        return 0.0
    voted = vote(classes, nearest_rows(points, points, NEIGHBOURS, same=True))
    return float((voted == classes).mean())
