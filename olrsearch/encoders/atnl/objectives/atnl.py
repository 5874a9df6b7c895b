"""ATNL: an auto-encoder on the unit sphere, where angles follow the order of labels.

    loss = w · −ln p(x | z) + w_t · mean over triplets of [θ(a, p) − θ(a, n) + m]₊,   z = f(x) / ‖f(x)‖

θ is the angle between two points, arccos of the clamped cosine. The poster has positives at most one step
from the anchor and negatives farther (`graded` = false). Graded, every image fewer steps away is a positive
for every image more steps away, and m is asked for each step between them: then the steps lie along an arc.

Graded, anchors are not images alone. Half-way between two images, along the sphere, there is to be what
stands half-way in the order: so such points are anchors too (`between`), which keeps the arc straight.

What is decoded is a point a little beside the image's own (`noise`): a decoder that has only seen points of
images draws nothing sensible between them.

An image that shows no label of the order is decoded, but is in no triplet.

Source: paper 002, figures 2 and 3. The poster gives no formula; this one is settled in PROTOCOLS.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from olrsearch.encoders.atnl.network import on_sphere
from olrsearch.encoders.atnl.objectives.triplets import ANCHORS, among, triplet_loss
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
    points = on_sphere(network(planes))
    noise = torch.randn(points.shape, generator=generator).to(points.device) / config.size**0.5
    error = bernoulli_error(network.decoder(on_sphere(points + config.noise * noise)), planes).mean()
    ranks = torch.from_numpy(config.steps().ranks(labels.cpu().numpy())).to(points.device)
    placed = ranks >= 0
    angular = angular_loss(config, points[placed], ranks[placed].float())
    total = config.reconstruction_weight * error + config.triplet_weight * angular
    return {"loss": total, "reconstruction": error, "angular": angular}


def angular_loss(config: AtnlConfig, points: Tensor, ranks: Tensor) -> Tensor:
    """The mean over triplets, radians.

    Args:
        config: Margin, `graded` and `between`.
        points: float [B, d] of the unit sphere, in random order.
        ranks: float [B], their steps.
    """
    apart = (ranks[:ANCHORS, None] - ranks[None, :]).abs()
    loss = triplet_loss(among(angles(points, points)), apart, config.margin, graded=config.graded)
    count = min(ANCHORS, len(points) // 2)
    if not (config.graded and config.between and count):
        return loss
    first, second = points[:count], points[count : 2 * count]
    # Of points that are nearly opposite nothing is half-way.
    near = (first * second).sum(dim=1) > 0
    middle = on_sphere(first + second)[near]
    ranked = 0.5 * (ranks[:count] + ranks[count : 2 * count])[near]
    apart = (ranked[:, None] - ranks[None, :]).abs()
    return 0.5 * (loss + triplet_loss(angles(middle, points), apart, config.margin, graded=True))


def angles(points: Tensor, others: Tensor) -> Tensor:
    """Angles between points of the unit sphere, radians: [A, d] and [B, d] → [A, B]."""
    return torch.arccos((points @ others.T).clamp(-_CLAMP, _CLAMP))
