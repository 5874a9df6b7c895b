"""PSE: a variational auto-encoder whose prior is the learned Gaussian of an image's labels.

Source: paper 003, section 2, equation 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.encoders.vae.gaussians import divergence, draw
from olrsearch.encoders.vae.likelihoods import image_error

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.config import PseConfig
    from olrsearch.encoders.vae.network import Part, VaeNetwork
    from olrsearch.encoders.vae.objectives.batch import Batch

PARTS: Final[frozenset[Part]] = frozenset()


def losses(network: VaeNetwork, batch: Batch, _config: PseConfig) -> dict[str, Tensor]:
    """−ln p(x|z) + KL(q(z|x) ‖ q(z|l)), z one draw of q(z|x); nats an image."""
    of_images = network.of_images(batch.seen)
    of_labels = network.of_labels(network.vectors(batch.labels))
    decoded = network.decoder(draw(of_images, batch.generator))
    error = image_error(network, decoded, batch.seen).mean()
    apart = divergence(of_images, of_labels).mean()
    return {"loss": error + apart, "images": error, "kl": apart}
