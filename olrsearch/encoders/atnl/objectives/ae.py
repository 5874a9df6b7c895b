"""AE: a plain auto-encoder.

    loss = w · −ln p(x | z),   z = f(x)

Source: paper 002, table 1, column AE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.encoders.trunks.decoder import bernoulli_error

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from olrsearch.encoders.atnl.config import AeConfig
    from olrsearch.encoders.atnl.network import AutoEncoder


def ae_losses(
    config: AeConfig, network: AutoEncoder, planes: Tensor, labels: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """See `stage.Objective`: reconstruction, nats an image."""
    del labels, generator
    points = network(planes)
    error = bernoulli_error(network.decoder(points), planes).mean()
    return {"loss": config.reconstruction_weight * error, "reconstruction": error}
