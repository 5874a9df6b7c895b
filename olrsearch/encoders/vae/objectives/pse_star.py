"""PSE*: PSE with a classifier that reads the labels off the reconstruction.

Source: paper 003, section 2.1, equation 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.encoders.vae.gaussians import divergence, draw
from olrsearch.encoders.vae.likelihoods import image_error, label_error, reconstruction

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.config import PseStarConfig
    from olrsearch.encoders.vae.network import Part, VaeNetwork
    from olrsearch.encoders.vae.objectives.batch import Batch

PARTS: Final[frozenset[Part]] = frozenset({"classifier"})


def losses(network: VaeNetwork, batch: Batch, config: PseStarConfig) -> dict[str, Tensor]:
    """−ln p(x|z) − w ln p(l|x̂) + KL(q(z|x) ‖ q(z|l)), z one draw of q(z|x), x̂ decoded of it."""
    if network.classifier is None:
        raise TypeError("PSE* needs a classifier")
    of_images = network.of_images(batch.seen)
    of_labels = network.of_labels(network.vectors(batch.labels))
    decoded = network.decoder(draw(of_images, batch.generator))
    error = image_error(network, decoded, batch.seen).mean()
    read = network.classifier(reconstruction(network, decoded))
    missed = label_error(read, batch.labels, one=batch.one).mean()
    apart = divergence(of_images, of_labels).mean()
    return {
        "loss": error + config.label_weight * missed + apart,
        "images": error,
        "labels": missed,
        "kl": apart,
    }
