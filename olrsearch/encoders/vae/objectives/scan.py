"""SCAN: a β-VAE of the images, and label Gaussians fitted to what it makes of them.

The label encoder learns beside the β-VAE, not after it, and changes nothing of it: its minimum is the
same, and one training serves.

Source: paper 003, section 3; Higgins et al., "SCAN: Learning Hierarchical Compositional Visual
Concepts", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.encoders.vae.gaussians import Diagonal, divergence, divergence_from_standard, draw
from olrsearch.encoders.vae.likelihoods import image_error

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.config import ScanConfig
    from olrsearch.encoders.vae.network import Part, VaeNetwork
    from olrsearch.encoders.vae.objectives.batch import Batch

PARTS: Final[frozenset[Part]] = frozenset()


def losses(network: VaeNetwork, batch: Batch, config: ScanConfig) -> dict[str, Tensor]:
    """−ln p(x|z) + β KL(q(z|x) ‖ N(0, I)), and KL(q(z|x) ‖ q(z|l)) for the label encoder alone."""
    of_images = network.of_images(batch.seen)
    decoded = network.decoder(draw(of_images, batch.generator))
    error = image_error(network, decoded, batch.seen).mean()
    spread = divergence_from_standard(of_images).mean()
    fixed = Diagonal(of_images.mean.detach(), of_images.variance.detach())
    apart = divergence(fixed, network.of_labels(network.vectors(batch.labels))).mean()
    return {
        "loss": error + config.beta * spread + apart,
        "images": error,
        "kl": spread,
        "apart": apart,
    }
