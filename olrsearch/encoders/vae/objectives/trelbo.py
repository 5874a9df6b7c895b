"""TrELBO: three evidence lower bounds, of image and label at once and of each by itself.

Source: paper 003, section 3, equation 6; Vedantam et al., "Generative Models of Visually Grounded
Imagination", 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.encoders.vae.gaussians import divergence_from_standard, draw
from olrsearch.encoders.vae.likelihoods import image_error, label_error

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.encoders.vae.config import TrelboConfig
    from olrsearch.encoders.vae.network import Part, VaeNetwork
    from olrsearch.encoders.vae.objectives.batch import Batch

PARTS: Final[frozenset[Part]] = frozenset({"joint", "label_decoder"})


def losses(network: VaeNetwork, batch: Batch, config: TrelboConfig) -> dict[str, Tensor]:
    """−ln p(x|z) − λ₁ ln p(l|z) − ln p(x|z′) − λ₂ ln p(l|z″), and each Gaussian's KL(· ‖ N(0, I)).

    z is one draw of q(z|x, l), z′ of q(z|x), z″ of q(z|l).
    """
    if network.label_decoder is None:
        raise TypeError("TrELBO needs a decoder of labels")
    vectors = network.vectors(batch.labels)
    of_both = network.of_both(batch.seen, vectors)
    of_images, of_labels = network.of_images(batch.seen), network.of_labels(vectors)
    points = draw(of_both, batch.generator)
    error = image_error(network, network.decoder(points), batch.seen).mean()
    missed = label_error(network.label_decoder(points), batch.labels, one=batch.one).mean()
    seen = network.decoder(draw(of_images, batch.generator))
    error_alone = image_error(network, seen, batch.seen).mean()
    told = network.label_decoder(draw(of_labels, batch.generator))
    missed_alone = label_error(told, batch.labels, one=batch.one).mean()
    spread = divergence_from_standard(of_both).mean() + divergence_from_standard(of_images).mean()
    spread = spread + divergence_from_standard(of_labels).mean()
    total = error + config.lambda_1 * missed + error_alone + config.lambda_2 * missed_alone + spread
    return {"loss": total, "images": error_alone, "labels": missed, "kl": spread}
