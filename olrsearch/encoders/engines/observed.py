"""A network that also tells what it sees: averages of its trunk's feature maps beside what it makes of them.

Notation: B images, H × W pixels, D features, m numbers that the network makes of an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


class _Trunk(Protocol):
    seen: int

    def maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps on the way, and those the network goes on with."""


@runtime_checkable
class Observable(Protocol):
    """A network whose trunk can be looked into."""

    normalise: Callable[[Tensor], Tensor]
    trunk: _Trunk

    def answer(self, features: Tensor) -> Tensor:
        """What the network makes of its trunk's features."""


def features_of(network: nn.Module) -> int:
    """D of a network; 0 for one that cannot be looked into, as those of plug-ins need not be."""
    return network.trunk.seen if isinstance(network, Observable) and hasattr(network.trunk, "seen") else 0


class ObservedNetwork(nn.Module):
    """Pixels 0–255 [B, 3, H, W] → float32 [B, m + D]: the network's own numbers, then the features.

    Args:
        network: `Observable`; its layers are shared, not copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        *seen, features = self.network.trunk.maps(self.network.normalise(pixels))  # type: ignore[operator,union-attr]
        made: Tensor = self.network.answer(features)  # type: ignore[operator]
        return torch.cat([made.flatten(1), *(part.mean(dim=(2, 3)).float() for part in seen)], dim=1)
