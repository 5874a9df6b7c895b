"""ATNL: an auto-encoder on the unit sphere, where angles follow the order of labels.

    loss = w · −ln p(x | z) + w_t · mean over triplets of [θ(a, p) − θ(a, n) + m]₊,   z = f(x) / ‖f(x)‖

θ is the angle between two points, arccos of the clamped cosine. The poster has positives at most one step
from the anchor and negatives farther (`graded` = false). Graded, every image fewer steps away is a positive
for every image more steps away, and m is asked for each step between them: then the steps lie along an arc.

An image that shows no label of the order is decoded, but is in no triplet.

Source: paper 002, figures 2 and 3. The poster gives no formula; this one is settled in PROTOCOLS.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from olrsearch.encoders.atnl.network import on_sphere
from olrsearch.encoders.atnl.objectives.triplets import triplet_loss
from olrsearch.encoders.trunks.decoder import bernoulli_error

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from olrsearch.encoders.atnl.config import AtnlConfig
    from olrsearch.encoders.atnl.network import AutoEncoder

_CLAMP = 1 - 1e-4
"""Of cosines: the slope of arccos has no bound at 1."""


def atnl_losses(
    config: AtnlConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: reconstruction, nats an image, and the angular loss, radians."""
    del generator
    points = on_sphere(network(planes))
    error = bernoulli_error(network.decoder(points), planes).mean()
    ranks = torch.from_numpy(config.steps().ranks(labels.cpu().numpy())).to(points.device)
    placed = ranks >= 0
    ranks = ranks[placed]
    steps = (ranks[:, None] - ranks[None, :]).abs()
    angular = triplet_loss(angles(points[placed]), steps, config.margin, graded=config.graded)
    total = config.reconstruction_weight * error + config.triplet_weight * angular
    return {"loss": total, "reconstruction": error, "angular": angular}


def angles(points: Tensor) -> Tensor:
    """Angles between points of the unit sphere, radians: [B, d] → [B, B]."""
    return torch.arccos((points @ points.T).clamp(-_CLAMP, _CLAMP))
