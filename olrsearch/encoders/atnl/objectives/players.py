"""A critic asked in two ways: as the player that learns, and as the one that is held fixed.

Notation: B images in a batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.func import functional_call

from olrsearch.core.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from olrsearch.encoders.atnl.network import AutoEncoder


def _critic(network: AutoEncoder) -> nn.Module:
    if network.critic is None:
        raise TrainingError("an adversarial objective needs a network with a critic")
    return network.critic


def answer_of(network: AutoEncoder, seen: Tensor) -> Tensor:
    """What the critic says, [B]; it learns from it."""
    answered: Tensor = _critic(network)(seen)
    return answered


def held_fixed(network: AutoEncoder, seen: Tensor) -> Tensor:
    """The same, [B], for the player against it: what it saw gets a gradient, the critic none."""
    critic = _critic(network)
    state = {name: value.detach() for name, value in critic.named_parameters()}
    answered: Tensor = functional_call(critic, state, (seen,))
    return answered
