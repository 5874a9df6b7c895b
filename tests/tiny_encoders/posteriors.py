"""A deterministic encoder of posteriors in numpy, for tests.

Beside `tiny`: the same coarse features of an image, which fixed random directions turn into the mean
and the Cholesky factor of a Gaussian. Its words are unit vectors that mean nothing, but its posteriors
depend on the pixels alone and similar images have similar posteriors. It may also have Gaussians of its
words, fitted to images, and a decoder that draws one colour.

Notation: W words, B images, d = W dimensions, T = d(d+1)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from olrsearch.core.errors import EncoderError
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.folder.model_files import read_tensors, read_vocabulary, save_model
from olrsearch.encoders.protocol import Posteriors, check_pixels
from olrsearch.encoders.registry import Kind
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.gaussian import SIGMA0
from olrsearch.maths.triangles import cholesky, pack, triangle, unpack
from tiny_encoders.labels import grid_features

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, U8

_SPREAD = 0.1
"""What the numbers of a factor are scaled by, so that posteriors are narrower than words are apart."""

KIND = Kind("tiny_encoders.posteriors:load")
"""What the entry point of this kind names."""


@dataclass(frozen=True, eq=False)
class TinyPosteriorEncoder:
    """The encoder; build one with `create` or `load`.

    Attributes:
        labels: The W words.
        input_size: (H, W), both at least 4.
        crop: 'none' or 'center'.
        directions: float32 [d + T, features], fixed random directions.
        vocabulary: The words, unit vectors.
        shrinkage: λ that priors of its words are meant to have; None where Gaussians were learned.
        colours: float32 [3, d], from a point to the colour it is decoded to; None without a decoder.
        fingerprint: sha256 of configuration and weights.
    """

    kind: ClassVar[str] = "tiny-posterior"

    labels: tuple[str, ...]
    input_size: tuple[int, int]
    crop: str
    directions: F32
    vocabulary: Vocabulary
    shrinkage: float | None
    colours: F32 | None
    fingerprint: str

    @property
    def has_decoder(self) -> bool:
        """Whether it decodes."""
        return self.colours is not None

    @property
    def k(self) -> int:
        """Dimensions, d."""
        return self.vocabulary.size

    def encode(self, pixels: U8) -> Posteriors:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [B, d] and [B, T]."""
        check_pixels(pixels, self.input_size)
        numbers = _numbers(pixels, self.directions)
        loose = unpack(_SPREAD * numbers[:, self.k :], self.k)
        covariance = loose @ loose.swapaxes(1, 2) + SIGMA0**2 * np.eye(self.k)
        factor = pack(cholesky(covariance))
        return Posteriors(numbers[:, : self.k].astype(np.float32), factor.astype(np.float32))

    def decode(self, points: F32) -> U8:
        """One colour a point, brighter to the right.

        Raises:
            EncoderError: it has no decoder.
        """
        if self.colours is None:
            raise EncoderError(f"{len(points)} points, and this encoder has no decoder: name one that has")
        height, width = self.input_size
        colours = 255 / (1 + np.exp(-np.asarray(points, np.float64) @ self.colours.T.astype(np.float64)))
        shading = np.linspace(0.5, 1, width)[None, None, :, None]
        drawn = np.broadcast_to(colours[:, None, None, :] * shading, (len(points), height, width, 3))
        return drawn.round().astype(np.uint8)

    @classmethod
    def create(
        cls,
        root: Path,
        labels: Sequence[str],
        *,
        input_size: tuple[int, int] = (32, 32),
        crop: str = "none",
        shrinkage: float = 0.1,
        decoder: bool = False,
        learned: Callable[[Callable[[U8], F32]], Vocabulary] | None = None,
        more: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> TinyPosteriorEncoder:
        """Write an encoder to `root/<fingerprint>/` and open it.

        Args:
            root: The folder that holds models.
            labels: The words; their number is W and d.
            input_size: (H, W).
            crop: 'none' or 'center'.
            shrinkage: λ, recorded for whoever makes priors; not where Gaussians are learned.
            decoder: Whether it decodes.
            learned: Makes a vocabulary with learned Gaussians of d = W dimensions; it is given the function
                from pixels to means. None takes points.
            more: Further keys of the configuration.
            seed: Another seed, another encoder.
        """
        size = len(labels)
        features = grid_features(np.zeros((1, *input_size, 3), np.uint8)).shape[1]
        drawn = np.random.default_rng(seed).standard_normal((size + triangle(size), features))
        directions = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        vocabulary = (
            Vocabulary.one_hot(tuple(labels))
            if learned is None
            else learned(lambda pixels: _numbers(pixels, directions)[:, :size].astype(np.float32))
        )
        config: dict[str, Any] = {
            "kind": cls.kind,
            "layout": "posterior",
            "labels": list(labels),
            "k": size,
            "input_size": list(input_size),
            "crop": crop,
            **({"shrinkage": shrinkage} if learned is None else {}),
            "words": vocabulary.to_config(),
            **(more or {}),
        }
        tensors = {"directions": directions, **vocabulary.to_tensors()}
        if decoder:
            tensors["colours"] = np.random.default_rng([seed, 3]).normal(0, 1, (3, size)).astype(np.float32)
        return cls.load(save_model(Path(root), config, tensors))

    @classmethod
    def load(cls, path: Path) -> TinyPosteriorEncoder:
        """Open a model folder.

        Raises:
            ModelFileError: missing or damaged files.
        """
        config = read_config(path)
        names = [name for name in ("directions", "colours") if name in config["tensors"]]
        tensors = read_tensors(path, names)
        return cls(
            labels=tuple(config["labels"]),
            input_size=(int(config["input_size"][0]), int(config["input_size"][1])),
            crop=str(config["crop"]),
            directions=tensors["directions"],
            vocabulary=read_vocabulary(path),
            shrinkage=config.get("shrinkage"),
            colours=tensors.get("colours"),
            fingerprint=str(config["fingerprint"]),
        )


def _numbers(pixels: U8, directions: F32) -> F64:
    """What is made of images, float64 [B, d + T], so that batches do not matter."""
    found: F64 = grid_features(pixels) @ directions.astype(np.float64).T
    return found


def load(path: Path) -> TinyPosteriorEncoder:
    """The registry's entry: open a model folder of kind 'tiny-posterior'."""
    return TinyPosteriorEncoder.load(path)
