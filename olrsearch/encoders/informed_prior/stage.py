"""Training of the informed-prior encoder as a Lightning module.

Notation: B images in a batch, L labels, d dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from olrsearch.encoders.informed_prior.config import InformedPriorConfig
from olrsearch.encoders.informed_prior.losses import (
    WordPriors,
    divergence,
    draw,
    word_log_likelihoods,
)
from olrsearch.encoders.informed_prior.network import InformedPriorNetwork, split_numbers, to_gaussian
from olrsearch.encoders.trainer.metrics import average_precision
from olrsearch.encoders.trainer.stage import Stage
from olrsearch.encoders.trunks.decoder import bernoulli_error

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I8


class InformedPriorStage(Stage[InformedPriorConfig, InformedPriorNetwork]):
    """The evidence lower bound with each image's own prior, negated.

    −ln p(x|z) + KL(q(z|x) ‖ p(z|words of x)), z = μ + C ε one draw.

    Source: paper 004, section 2, equation 1.

    Args:
        config: Of the run.
        network: What is trained.
        vectors: float64 [L, d], of the labels.
    """

    def __init__(self, config: InformedPriorConfig, network: InformedPriorNetwork, vectors: F64) -> None:
        super().__init__(config, network, 0, config.learning_rate)
        self.priors = WordPriors(vectors, config.shrinkage)
        network.encoder.trunk.requires_grad_(requires_grad=not config.freeze_trunk)

    def on_train_epoch_start(self) -> None:
        """A frozen trunk keeps its statistics too."""
        super().on_train_epoch_start()
        if self.config.freeze_trunk:
            self.network.encoder.trunk.eval()

    def losses(self, planes: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """See `Stage.losses`: nats an image."""
        config = self.config
        numbers = self.network(planes)
        drawn = generator if config.prior_mean == "draw" else None
        # Triangular solutions and determinants need float32 whatever the network computed in.
        with torch.autocast(device_type=planes.device.type, enabled=False):
            mean, lower = split_numbers(numbers, self.network.encoder.size)
            apart = divergence(mean, lower, *self.priors(labels, drawn)).mean()
        losses = {"kl": apart}
        total = config.kl_weight * apart
        if self.network.decoder is not None:
            points = draw(mean, lower, generator)
            losses["likelihood"] = bernoulli_error(self.network.decoder(points), planes).mean()
            total = total + config.likelihood_weight * losses["likelihood"]
        return {"loss": total, **losses}

    def scores(self, planes: Tensor) -> Tensor:
        """See `Stage.scores`: ln N(w; μ, Σ) less the logarithm of its mean over the words."""
        mean, factor = to_gaussian(self.network(planes), self.network.encoder.size)
        found = word_log_likelihoods(mean, factor, self.priors.vectors.float())
        return found - torch.logsumexp(found, dim=1, keepdim=True)

    def evaluate(self, scores: F32, labels: I8) -> dict[str, float]:
        """See `Stage.evaluate`: macro average precision of describing, and exact sets.

        `set_match` is the share of the images whose M most likely words are their M present labels,
        among images with a present label and no unknown one; 0 where there is none.
        """
        found = average_precision(scores, labels)
        present = labels > 0
        count = present.sum(axis=1)
        ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
        matches = ((ranks < count[:, None]) == present).all(axis=1)
        counted = (labels != 0).all(axis=1) & (count > 0)
        return {
            "map": float(np.nanmean(found)) if np.isfinite(found).any() else 0.0,
            "set_match": float(matches[counted].mean()) if counted.any() else 0.0,
        }
