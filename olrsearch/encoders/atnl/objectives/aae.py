"""AAE: an auto-encoder whose points a critic cannot tell from draws of N(0, I).

    loss = w · −ln p(x | z) + w_a · −ln D(z)          of encoder and decoder, D held fixed
         + −ln D(ε) − ln(1 − D(z)),  ε ~ N(0, I)      of the critic, z held fixed

Both parts are in one sum: what each holds fixed gets no gradient from it, and Adam keeps its moments for
each parameter, so one step of the sum is one step of both players.

Source: Makhzani et al. (2016), "Adversarial Autoencoders", section 2; paper 002, figure 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nnf

from olrsearch.encoders.atnl.objectives.players import answer_of, held_fixed
from olrsearch.encoders.trunks.decoder import bernoulli_error

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from olrsearch.encoders.atnl.config import AaeConfig
    from olrsearch.encoders.atnl.network import AutoEncoder


def aae_losses(
    config: AaeConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: reconstruction, nats an image, and both parts of the game."""
    del labels
    points = network(planes)
    error = bernoulli_error(network.decoder(points), planes).mean()
    drawn = torch.randn(points.shape, generator=generator).to(points.device)
    fooling = nnf.softplus(-held_fixed(network, points)).mean()
    critic = (
        nnf.softplus(-answer_of(network, drawn)) + nnf.softplus(answer_of(network, points.detach()))
    ).mean()
    total = config.reconstruction_weight * error + config.scale * config.adversary_weight * fooling + critic
    return {"loss": total, "reconstruction": error, "fooling": fooling, "critic": critic}
