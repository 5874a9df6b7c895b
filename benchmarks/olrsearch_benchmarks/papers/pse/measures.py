"""What the paper measures of a model: reconstruction, annotation, generation.

Notation: N images, n pixels, d dimensions.

Source: paper 003, section 4.1, "Quantitative evaluation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from olrsearch.encoders.vae.gaussians import Diagonal, draw, log_densities
from olrsearch.encoders.vae.likelihoods import image_error
from olrsearch_benchmarks.papers.pse.digits import flat

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.core.arrays import F64, I64, U8, Bool
    from olrsearch.encoders.vae.network import VaeNetwork
    from olrsearch_benchmarks.papers.pse.judges import Judge

_CHUNK: Final = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What was measured of one model.

    Attributes:
        at_sample: Reconstruction error, nats an image, at a draw of its Gaussian.
        at_mean: The same at the mean.
        right: bool [N], whether the likeliest label is an image's own; None for a model that cannot tell.
        generated: Share of generated images that the judge reads as their label, one entry a repeat.
    """

    at_sample: float
    at_mean: float
    right: Bool | None
    generated: tuple[float, ...]

    @property
    def annotation(self) -> float:
        """Share of right labels; NaN for a model that cannot tell."""
        return float("nan") if self.right is None else float(self.right.mean())

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.at_sample:.2f} nats at a sample, {self.at_mean:.2f} at the mean, annotation "
            f"{100 * self.annotation:.2f} %, generation {100 * np.mean(self.generated):.2f} %"
        )


def measure(
    network: VaeNetwork,
    images: U8,
    classes: I64,
    judge: Judge,
    *,
    conditional: bool,
    samples: int,
    repeats: int,
    seed: int,
) -> Figures:
    """Measure a model on images that it has not seen.

    Args:
        network: The model.
        images: uint8 [N, 28, 28].
        classes: int64 [N].
        judge: Reads generated images.
        conditional: Whether encoder and decoder are told the label.
        samples: Images generated for each label,
        repeats: and how often.
        seed: Of everything drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    seen, own = torch.from_numpy(flat(images)), torch.from_numpy(classes)
    nats = {"sample": 0.0, "mean": 0.0}
    right = []
    with torch.inference_mode():
        words = network.of_labels(network.inputs)
        for part, labels in zip(torch.split(seen, _CHUNK), torch.split(own, _CHUNK), strict=True):
            told = network.inputs[labels] if conditional else part.new_zeros(len(part), 0)
            of_images = network.of_images(torch.cat([part, told], dim=1))
            for name, points in (("sample", draw(of_images, generator)), ("mean", of_images.mean)):
                decoded = network.decoder(torch.cat([points, told], dim=1))
                nats[name] += float(image_error(network, decoded, part).sum())
            if not conditional:
                right.append(log_densities(of_images.mean, words).argmax(dim=1) == labels)
        generated = [
            _generated(network, words, judge, generator, samples, conditional) for _ in range(repeats)
        ]
    return Figures(
        nats["sample"] / len(images),
        nats["mean"] / len(images),
        None if conditional else torch.cat(right).numpy(),
        tuple(generated),
    )


def _generated(
    network: VaeNetwork,
    words: Diagonal,
    judge: Judge,
    generator: torch.Generator,
    samples: int,
    conditional: bool,
) -> float:
    """Share of generated images that the judge reads as their label."""
    hits = 0
    for label in range(len(network.inputs)):
        if conditional:
            points = torch.randn(samples, words.mean.shape[1], generator=generator)
            points = torch.cat([points, network.inputs[label].expand(samples, -1)], dim=1)
        else:
            points = draw(
                Diagonal(*(one[label].expand(samples, -1) for one in (words.mean, words.variance))), generator
            )
        hits += sum(_hits(network, part, judge, label) for part in torch.split(points, _CHUNK))
    return hits / (samples * len(network.inputs))


def _hits(network: VaeNetwork, points: Tensor, judge: Judge, label: int) -> int:
    return int((judge.classes(torch.sigmoid(network.decoder(points))) == label).sum().item())


def mean_right(runs: list[Figures]) -> F64:
    """Of each image, the share of the runs whose likeliest label is its own, float64 [N]."""
    found = [run.right for run in runs if run.right is not None]
    shares: F64 = np.mean(np.array(found, np.float64), axis=0)
    return shares
