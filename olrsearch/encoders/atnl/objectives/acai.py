"""ACAI: an auto-encoder whose mixtures of two points decode to what a critic takes for unmixed images.

    loss = w · −ln p(x | z) + λ n ‖D(x̂_α)‖²                                 of encoder and decoder, D fixed
         + ‖D(x̂_α) − α‖² + ‖D(γ x + (1 − γ) x̂)‖²                            of the critic, images fixed

x̂_α decodes α z₁ + (1 − α) z₂, with α ~ U(0, ½) and z₂ of another image of the batch; x̂ decodes z. n is the
number of an image's pixels and colours: the paper's reconstruction is a mean over these, here it is a sum.

Source: Berthelot et al. (2019), "Understanding and Improving Interpolation in Autoencoders via an Adversarial
Regularizer", section 3, with λ = .5 and γ = .2; paper 002, figure 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from olrsearch.encoders.atnl.objectives.players import answer_of, held_fixed
from olrsearch.encoders.trunks.decoder import bernoulli_error

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from olrsearch.encoders.atnl.config import AcaiConfig
    from olrsearch.encoders.atnl.network import AutoEncoder

_WHITE = 255.0


def acai_losses(
    config: AcaiConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: reconstruction, nats an image, and both parts of the game."""
    del labels
    points = network(planes)
    logits = network.decoder(points)
    error = bernoulli_error(logits, planes).mean()
    share = 0.5 * torch.rand(len(points), 1, generator=generator).to(points.device)
    mixed = _pictures(network.decoder(share * points + (1 - share) * points.roll(1, dims=0)))
    fooling = held_fixed(network, mixed).square().mean()
    shown = config.realism * planes + (1 - config.realism) * _pictures(logits.detach())
    critic = (
        (answer_of(network, mixed.detach()) - share[:, 0]).square() + answer_of(network, shown).square()
    ).mean()
    numbers = logits[0].numel()
    total = config.reconstruction_weight * (error + config.adversary_weight * numbers * fooling) + critic
    return {"loss": total, "reconstruction": error, "fooling": fooling, "critic": critic}


def _pictures(logits: Tensor) -> Tensor:
    """Expected images, [B, 1 or 3, H, W] → pixels [B, 3, H, W], 0–255."""
    return torch.sigmoid(logits).expand(-1, 3, -1, -1) * _WHITE
