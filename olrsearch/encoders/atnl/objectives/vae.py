"""VAE: the evidence lower bound, negated.

    loss = w · −ln p(x | z) + w_kl · KL(N(μ(x), σ²(x)) ‖ N(0, I)),   z = μ + σ ε, one draw

Source: Kingma and Welling (2014), equations 3 and 10; paper 002, table 1, column VAE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from olrsearch.encoders.atnl.network import split_spread
from olrsearch.encoders.trunks.decoder import bernoulli_error

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from olrsearch.encoders.atnl.config import VaeConfig
    from olrsearch.encoders.atnl.network import AutoEncoder


def vae_losses(
    config: VaeConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: reconstruction at a draw, and the divergence, nats an image."""
    del labels
    return bound(config, network, planes, generator)[0]


def bound(
    config: VaeConfig, network: AutoEncoder, planes: Tensor, generator: Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """The losses of the bound, and the means [B, d] for whatever is added to it."""
    mean, variance = split_spread(network(planes))
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    points = mean + variance.sqrt() * noise
    error = bernoulli_error(network.decoder(points), planes).mean()
    kl = 0.5 * (mean.square() + variance - 1.0 - variance.log()).sum(dim=1).mean()
    total = config.reconstruction_weight * error + config.kl_weight * kl
    return {"loss": total, "reconstruction": error, "kl": kl}, mean
