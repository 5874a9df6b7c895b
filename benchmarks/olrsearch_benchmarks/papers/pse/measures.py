"""What the paper measures of a model: reconstruction, annotation, generation.

Notation: N images, n pixels, d dimensions.

Source: paper 003, section 4.1, "Quantitative evaluation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from olrsearch.encoders.vae.gaussians import draw
from olrsearch.encoders.vae.likelihoods import image_error
from olrsearch.encoders.vae.training import image_means
from olrsearch.encoders.words.learned import fit_learned_words
from olrsearch.maths.gaussian import Gaussians
from olrsearch_benchmarks.papers.pse.digits import flat

if TYPE_CHECKING:
    from torch import Tensor

    from olrsearch.core.arrays import F64, Bool
    from olrsearch.encoders.vae.network import VaeNetwork
    from olrsearch_benchmarks.papers.pse.digits import Digits
    from olrsearch_benchmarks.papers.pse.judges import Judge

_CHUNK: Final = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What the labels' Gaussians tell and make.

    Attributes:
        right: bool [N], whether the likeliest label is an image's own.
        generated: Share of generated images that the judge reads as their label, one entry a repeat.
    """

    right: Bool | None
    generated: tuple[float, ...]

    @property
    def annotation(self) -> float:
        """Share of right labels; NaN for a model that cannot tell."""
        return float("nan") if self.right is None else float(self.right.mean())

    @property
    def generation(self) -> float:
        """Mean over the repeats."""
        return float(np.mean(self.generated))


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What was measured of one model.

    Attributes:
        at_sample: Reconstruction error, nats an image, at a draw of its Gaussian.
        at_mean: The same at the mean.
        learned: By the label encoder's Gaussians, the paper's; of CVAE by its prior.
        fitted: By Gaussians with full covariances, fitted to the training images' means; None of CVAE.
    """

    at_sample: float
    at_mean: float
    learned: Told
    fitted: Told | None

    def __str__(self) -> str:
        """One line for people."""
        parts = [f"{self.at_sample:.2f} nats at a sample, {self.at_mean:.2f} at the mean"]
        for name, told in (("", self.learned), ("fitted ", self.fitted)):
            if told is not None:
                parts.append(f"{name}annotation {100 * told.annotation:.2f} %")
                parts.append(f"{name}generation {100 * told.generation:.2f} %")
        return ", ".join(parts)


def measure(
    network: VaeNetwork,
    digits: Digits,
    judge: Judge,
    *,
    conditional: bool,
    samples: int,
    repeats: int,
    seed: int,
) -> Figures:
    """Measure a model on the test images.

    Args:
        network: The model.
        digits: The data set; Gaussians are fitted to its training images.
        judge: Reads generated images.
        conditional: Whether encoder and decoder are told the label.
        samples: Images generated for each label,
        repeats: and how often; of fitted Gaussians once.
        seed: Of everything drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    seen, own = torch.from_numpy(flat(digits.test_images)), torch.from_numpy(digits.test_classes)
    count = len(seen)
    nats = {"sample": 0.0, "mean": 0.0}
    with torch.inference_mode():
        for part, labels in zip(torch.split(seen, _CHUNK), torch.split(own, _CHUNK), strict=True):
            told = network.inputs[labels] if conditional else part.new_zeros(len(part), 0)
            of_images = network.of_images(torch.cat([part, told], dim=1))
            for name, points in (("sample", draw(of_images, generator)), ("mean", of_images.mean)):
                decoded = network.decoder(torch.cat([points, told], dim=1))
                nats[name] += float(image_error(network, decoded, part).sum())
    errors = (nats["sample"] / count, nats["mean"] / count)
    if conditional:
        prior = _standard(network)
        made = _generated(network, prior, judge, generator, samples, repeats, told=True)
        return Figures(*errors, Told(None, made), None)
    means = image_means(network, flat(digits.test_images))
    found = []
    for words, times in ((learned_words(network), repeats), (fitted_words(network, digits), 1)):
        right = words.log_likelihood(means).argmax(axis=0) == digits.test_classes
        found.append(Told(right, _generated(network, words, judge, generator, samples, times)))
    return Figures(*errors, *found)


def learned_words(network: VaeNetwork) -> Gaussians:
    """The label encoder's Gaussians."""
    with torch.inference_mode():
        words = network.of_labels(network.inputs)
    deviation = words.variance.double().sqrt().numpy()
    return Gaussians(words.mean.double().numpy(), deviation[:, :, None] * np.eye(deviation.shape[1]))


def fitted_words(network: VaeNetwork, digits: Digits) -> Gaussians:
    """Gaussians with full covariances, fitted to the means of the training images."""
    images = digits.training()
    points = image_means(network, flat(digits.images[images.train]))
    return fit_learned_words(points, images.labels[images.train], digits.labels, absent=False).present


def _standard(network: VaeNetwork) -> Gaussians:
    """N(0, I) for every label."""
    count, size = len(network.inputs), network.label.out_features // 2
    return Gaussians(np.zeros((count, size)), np.tile(np.eye(size), (count, 1, 1)))


def _generated(
    network: VaeNetwork,
    words: Gaussians,
    judge: Judge,
    generator: torch.Generator,
    samples: int,
    repeats: int,
    *,
    told: bool = False,
) -> tuple[float, ...]:
    """Shares of generated images that the judge reads as their label; `told` decodes with the label."""
    means, factors = (torch.from_numpy(one).float() for one in (words.mean, words.factor))
    shares = []
    for _ in range(repeats):
        hits = 0
        for label, (mean, factor) in enumerate(zip(means, factors, strict=True)):
            points = mean + torch.randn(samples, len(mean), generator=generator) @ factor.T
            if told:
                points = torch.cat([points, network.inputs[label].expand(samples, -1)], dim=1)
            hits += sum(_hits(network, part, judge, label) for part in torch.split(points, _CHUNK))
        shares.append(hits / (samples * len(means)))
    return tuple(shares)


def _hits(network: VaeNetwork, points: Tensor, judge: Judge, label: int) -> int:
    with torch.inference_mode():
        drawn = torch.sigmoid(network.decoder(points))
    return int((judge.classes(drawn) == label).sum().item())


def mean_right(runs: list[Figures]) -> F64:
    """Of each image, the share of the runs whose likeliest label is its own, float64 [N]."""
    found = [run.learned.right for run in runs if run.learned.right is not None]
    shares: F64 = np.mean(np.array(found, np.float64), axis=0)
    return shares
