"""Table 2 of paper 002: few images of each digit, alone, varied by hand, and with pictures between them.

A classifier is taught by some shots of each digit, drawn from the training images, and asked about test
images. Beside the shots it is given as many varied copies (shifted, turned, scaled), or pictures that an
encoder decodes on the way between two shots of a digit. In the leaking protocol that encoder was told the
labels of all training images. In the other it was told those of the other five digits alone: the digits of
its pictures it saw unlabelled.

Notation: n images, c copies a digit, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import torch

from olrsearch.encoders.trainer.data import augment, to_planes
from olrsearch.encoders.trainer.distortion import turn_and_zoom
from olrsearch.maths.neighbours import nearest_rows, vote
from olrsearch_benchmarks.papers.atnl.digits import Digits
from olrsearch_benchmarks.papers.atnl.judge import Judge
from olrsearch_benchmarks.papers.atnl.table1 import is_spherical, ways

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from olrsearch.core.arrays import F64, U8
    from olrsearch.encoders.protocol import PosteriorEncoder

Extra = Literal["none", "augmentation", "hallucination", "both"]
Classifier = Literal["kNN", "CNN"]

EXTRAS: Final[tuple[Extra, ...]] = ("none", "augmentation", "hallucination", "both")
GROUPS: Final = (tuple(range(5)), tuple(range(5, 10)))
"""The digits that one encoder of the protocol without leaks is told, and those that the other is."""

PLAIN: Final[dict[Classifier, float]] = {"kNN": 0.615, "CNN": 0.863}
"""What the poster's classifiers reach with the shots alone."""

_COPIES: Final = 60
"""Copies a digit, whatever they are."""
_SHARES: Final = (0.25, 0.5, 0.75)
_SHIFT, _ROTATION, _ZOOM = 2, 15.0, 0.1
_STEPS: Final = 150
_SHOTS: Final = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)


@dataclass(frozen=True, slots=True, eq=False)
class FewShots:
    """What one classifier reaches under one protocol.

    Attributes:
        classifier: Which.
        shots: Images of each digit.
        neighbours: k; 0 for the network.
        leaking: Whether the encoder was told the labels of the shots' digits.
        accuracy: Share of the test images that are read rightly, float64 [draws], by what was given
            beside the shots.
    """

    classifier: Classifier
    shots: int
    neighbours: int
    leaking: bool
    accuracy: Mapping[Extra, F64]


def draw_shots(digits: Digits, shots: int, seed: int) -> Digits:
    """Some images of each digit."""
    rng = np.random.default_rng([seed, 0xF5])
    rows = [rng.choice(np.flatnonzero(digits.classes == digit), shots, replace=False) for digit in range(10)]
    return digits[np.concatenate(rows)]


def augmented(shots: Digits, seed: int) -> Digits:
    """Copies of shots, shifted, turned and scaled at random: as many of each digit."""
    rng = np.random.default_rng([seed, 0xA9])
    rows = np.concatenate([rng.choice(np.flatnonzero(shots.classes == d), _COPIES) for d in range(10)])
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.from_numpy(shots.pixels[rows])
    planes = to_planes(augment(pixels, flip=False, shift=_SHIFT, generator=generator))
    turned = turn_and_zoom(planes, zoom=_ZOOM, rotation=_ROTATION, generator=generator)
    return Digits(turned.round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), shots.classes[rows])


def hallucinated(shots: Digits, seed: int, encoder_of: Callable[[int], PosteriorEncoder]) -> Digits:
    """Pictures between two shots of a digit, decoded; of a single shot its reconstruction.

    Args:
        shots: Of every digit.
        seed: Of the pairs.
        encoder_of: The encoder that makes a digit's pictures.
    """
    rng = np.random.default_rng([seed, 0x4A])
    pixels: list[U8] = []
    for digit in range(10):
        encoder = encoder_of(digit)
        points = encoder.encode(shots.pixels[shots.classes == digit]).mean
        count = -(-_COPIES // len(_SHARES))
        first, second = (points[rng.integers(0, len(points), count)] for _ in range(2))
        way = ways(first, second, np.array(_SHARES), sphere=is_spherical(encoder))
        pixels.append(encoder.decode(way.reshape(-1, points.shape[1])[:_COPIES]))
    return Digits(np.concatenate(pixels), np.repeat(np.arange(10), _COPIES))


def joined(*parts: Digits) -> Digits:
    """Images of several parts."""
    return Digits(
        np.concatenate([part.pixels for part in parts]), np.concatenate([part.classes for part in parts])
    )


def knn_accuracy(taught: Digits, asked: Digits, neighbours: int) -> float:
    """Share of images that the vote of the nearest taught ones gets right, by pixels."""
    points, queries = (
        part.pixels[..., 0].reshape(len(part), -1).astype(np.float32) for part in (taught, asked)
    )
    return float((vote(taught.classes, nearest_rows(queries, points, neighbours)) == asked.classes).mean())


def cnn_accuracy(taught: Digits, asked: Digits, seed: int) -> float:
    """Share of images that a small network reads rightly, taught from nothing."""
    network = Judge(seed=seed).fit(taught, steps=_STEPS, shift=0)
    return float((network.read(asked.pixels) == asked.classes).mean())


def find_shots(
    digits: Digits, asked: Digits, classifier: Classifier, *, neighbours: int = 0, draws: int = 3
) -> int:
    """The number of shots with which a classifier comes nearest to what the poster's plain one reaches.

    Args:
        digits: Where shots are drawn from.
        asked: Images that are told apart: not those of the test.
        classifier: Which.
        neighbours: k, of kNN.
        draws: Draws of shots that are averaged.
    """

    def reached(shots: int) -> float:
        found = []
        for seed in range(draws):
            taught = draw_shots(digits, shots, 1000 + seed)
            found.append(
                knn_accuracy(taught, asked, neighbours)
                if classifier == "kNN"
                else cnn_accuracy(taught, asked, seed)
            )
        return float(np.mean(found))

    return min(_SHOTS, key=lambda shots: abs(reached(shots) - PLAIN[classifier]))


def measure_few_shots(
    digits: Digits,
    asked: Digits,
    classifier: Classifier,
    encoders: Sequence[PosteriorEncoder],
    *,
    shots: int,
    neighbours: int,
    draws: int,
) -> FewShots:
    """What a classifier reaches with each kind of addition.

    Args:
        digits: Where shots are drawn from.
        asked: Images that are told apart.
        classifier: Which.
        encoders: One that was told all labels; or two, the first told those of `GROUPS[0]` alone, the
            second those of `GROUPS[1]`: each makes the pictures of the digits that it was not told.
        shots: Of each digit.
        neighbours: k, of kNN.
        draws: Draws of shots, seeds 0, 1, ….
    """
    leaking = len(encoders) == 1
    accuracy: dict[Extra, list[float]] = {extra: [] for extra in EXTRAS}

    def encoder_of(digit: int) -> PosteriorEncoder:
        return encoders[0] if leaking else encoders[1 if digit in GROUPS[0] else 0]

    for seed in range(draws):
        taught = draw_shots(digits, shots, seed)
        varied, between = augmented(taught, seed), hallucinated(taught, seed, encoder_of)
        given = {
            "none": taught,
            "augmentation": joined(taught, varied),
            "hallucination": joined(taught, between),
            "both": joined(taught, varied, between),
        }
        for extra in EXTRAS:
            accuracy[extra].append(
                knn_accuracy(given[extra], asked, neighbours)
                if classifier == "kNN"
                else cnn_accuracy(given[extra], asked, seed)
            )
    return FewShots(
        classifier,
        shots,
        neighbours,
        leaking,
        {extra: np.array(values) for extra, values in accuracy.items()},
    )
