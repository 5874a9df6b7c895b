"""CVAE: encoder and decoder are both told the label, and nothing of it is in the latent space.

An image cannot be encoded without its label, so no store is filled with it: it is here to compare.

Source: paper 003, section 3, equation 4 (its sign before the divergence is a misprint); Sohn et al.,
"Learning Structured Output Representation Using Deep Conditional Generative Models", 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from olrsearch.encoders.vae.gaussians import divergence_from_standard, draw
from olrsearch.encoders.vae.likelihoods import image_error

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.config import CvaeConfig
    from olrsearch.encoders.vae.network import Part, VaeNetwork
    from olrsearch.encoders.vae.objectives.batch import Batch

PARTS: Final[frozenset[Part]] = frozenset({"conditional"})


def losses(network: VaeNetwork, batch: Batch, _config: CvaeConfig) -> dict[str, Tensor]:
    """−ln p(x|z, l) + KL(q(z|x, l) ‖ N(0, I)), z one draw of q(z|x, l)."""
    vectors = network.vectors(batch.labels)
    of_images = network.of_images(torch.cat([batch.seen, vectors], dim=1))
    points = torch.cat([draw(of_images, batch.generator), vectors], dim=1)
    error = image_error(network, network.decoder(points), batch.seen).mean()
    spread = divergence_from_standard(of_images).mean()
    return {"loss": error + spread, "images": error, "kl": spread}
