"""JMVAE: an encoder of image and label at once, and one of each by itself that is drawn to it.

Source: paper 003, section 3, equation 5; Suzuki et al., "Joint Multimodal Learning with Deep
Generative Models", 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.encoders.vae.gaussians import divergence, divergence_from_standard, draw
from olrsearch.encoders.vae.likelihoods import image_error, label_error

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.config import JmvaeConfig
    from olrsearch.encoders.vae.network import Part, VaeNetwork
    from olrsearch.encoders.vae.objectives.batch import Batch

PARTS: Final[frozenset[Part]] = frozenset({"joint", "label_decoder"})


def losses(network: VaeNetwork, batch: Batch, config: JmvaeConfig) -> dict[str, Tensor]:
    """−ln p(x|z) − ln p(l|z) + KL(q(z|x, l) ‖ N(0, I)) + α (KL(q(z|x, l) ‖ q(z|x)) + KL(… ‖ q(z|l))).

    z is one draw of q(z|x, l).
    """
    if network.label_decoder is None:
        raise TypeError("JMVAE needs a decoder of labels")
    vectors = network.vectors(batch.labels)
    of_both = network.of_both(batch.seen, vectors)
    points = draw(of_both, batch.generator)
    error = image_error(network, network.decoder(points), batch.seen).mean()
    missed = label_error(network.label_decoder(points), batch.labels, one=batch.one).mean()
    spread = divergence_from_standard(of_both).mean()
    apart = divergence(of_both, network.of_images(batch.seen)).mean()
    apart = apart + divergence(of_both, network.of_labels(vectors)).mean()
    return {
        "loss": error + missed + spread + config.alpha * apart,
        "images": error,
        "labels": missed,
        "kl": spread,
        "apart": apart,
    }
