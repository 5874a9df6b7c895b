"""ATNL: an auto-encoder on the unit sphere, where angles follow the order of labels.

    loss = w · −ln p(x | z) + w_t · mean over triplets of [θ(a, p) − θ(a, n) + m]₊,   z = f(x) / ‖f(x)‖

θ is the angle between two points, arccos of the clamped cosine. The poster has positives at most one step
from the anchor and negatives farther (`graded` = false). Graded, every image fewer steps away is a positive
for every image more steps away, and m is asked for each step between them: then the steps lie along an arc.

Graded, the arc is also kept straight (`straight`): the mean of a step is to lie half-way between the means of
the steps before and after it. Without that the steps lie in order on a path that winds.

What is decoded is a point a little beside the image's own (`noise`): a decoder that has only seen points of
images draws nothing sensible between them.

An image that shows no label of the order is decoded, but is in no triplet.

Source: paper 002, figures 2 and 3. The poster gives no formula; docs/papers.md says what was settled.
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

_AROUND = (1, 2)
"""How many steps before and after one lie those that it should be half-way between."""


def atnl_losses(
    config: AtnlConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: reconstruction, nats an image, and the angular loss, radians."""
    points = on_sphere(network(planes))
    noise = torch.randn(points.shape, generator=generator).to(points.device) / config.size**0.5
    error = bernoulli_error(network.decoder(on_sphere(points + config.noise * noise)), planes).mean()
    ranks = torch.from_numpy(config.steps().ranks(labels.cpu().numpy())).to(points.device)
    placed = ranks >= 0
    angular = angular_loss(config, points[placed], ranks[placed])
    total = config.reconstruction_weight * error + config.scale * config.triplet_weight * angular
    return {"loss": total, "reconstruction": error, "angular": angular}


def angular_loss(config: AtnlConfig, points: Tensor, ranks: Tensor) -> Tensor:
    """The mean over triplets, radians.

    Args:
        config: Margin, `graded` and `straight`.
        points: float [B, d] of the unit sphere, in random order.
        ranks: int64 [B], their steps.
    """
    apart = (ranks[:ANCHORS, None] - ranks[None, :]).abs()
    loss = triplet_loss(among(angles(points, points)), apart, config.margin, graded=config.graded)
    return loss + config.straight * bend(points, ranks) if config.graded and config.straight else loss


def bend(points: Tensor, ranks: Tensor) -> Tensor:
    """How far steps' means lie from half-way between those around them: mean angle, radians; 0 without any.

    Args:
        points: float [B, d] of the unit sphere.
        ranks: int64 [B], their steps.
    """
    steps = torch.arange(int(ranks.max()) + 1 if len(ranks) else 0, device=points.device)
    shown = (ranks[:, None] == steps).to(points.dtype)
    means, counts = on_sphere(shown.T @ points), shown.sum(dim=0)
    found, present = [points.new_zeros(0)], counts > 0
    for apart in _AROUND:
        low, step, high = slice(-2 * apart), slice(apart, -apart), slice(2 * apart, None)
        known = present[low] & present[step] & present[high]
        half = on_sphere(means[low] + means[high])[known]
        found.append(torch.arccos((half * means[step][known]).sum(dim=1).clamp(-_CLAMP, _CLAMP)))
    every = torch.cat(found)
    return every.sum() / max(1, len(every))


def angles(points: Tensor, others: Tensor) -> Tensor:
    """Angles between points of the unit sphere, radians: [A, d] and [B, d] → [A, B]."""
    return torch.arccos((points @ others.T).clamp(-_CLAMP, _CLAMP))
