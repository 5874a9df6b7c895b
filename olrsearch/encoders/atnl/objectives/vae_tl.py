"""VAE-TL: the bound of a VAE, and a triplet loss on the means.

    loss = bound + w_t · mean over triplets of [‖μ_a − μ_p‖² − ‖μ_a − μ_n‖² + m]₊

Anchor and positive have the same label, the negative another. An image that shows several labels, or none,
is in no triplet. The mean is over the triplets that are not yet right, or most of the loss would be zeros.

Source: Schroff et al. (2015), "FaceNet", equation 1; paper 002, table 1, column VAE-TL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from olrsearch.encoders.atnl.objectives.triplets import ANCHORS, among, classes_of, triplet_loss
from olrsearch.encoders.atnl.objectives.vae import bound

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from olrsearch.encoders.atnl.config import VaeTlConfig
    from olrsearch.encoders.atnl.network import AutoEncoder


def vae_tl_losses(
    config: VaeTlConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: those of `vae`, and the triplet loss."""
    losses, mean = bound(config, network, planes, generator)
    classes = classes_of(labels)
    known = classes >= 0
    points, classes = mean[known], classes[known]
    distances = (points[:, None, :] - points[None, :, :]).square().sum(dim=2)
    steps = (classes[:ANCHORS, None] != classes[None, :]).to(torch.int8)
    triplet = triplet_loss(among(distances), steps, config.margin, graded=True)
    total = losses["loss"] + config.scale * config.triplet_weight * triplet
    return {**losses, "loss": total, "triplet": triplet}
