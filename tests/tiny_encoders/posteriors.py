"""A deterministic encoder of posteriors in numpy, for tests.

Beside `tiny`: the same coarse features of an image, which fixed random directions turn into the mean
and the Cholesky factor of a Gaussian. Its words are unit vectors that mean nothing, but its posteriors
depend on the pixels alone and similar images have similar posteriors.

Notation: W words, B images, d = W dimensions, T = d(d+1)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

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
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, U8

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
        shrinkage: λ that priors of its words are meant to have.
        fingerprint: sha256 of configuration and weights.
    """

    kind: ClassVar[str] = "tiny-posterior"
    has_decoder: ClassVar[bool] = False

    labels: tuple[str, ...]
    input_size: tuple[int, int]
    crop: str
    directions: F32
    vocabulary: Vocabulary
    shrinkage: float
    fingerprint: str

    @property
    def k(self) -> int:
        """Dimensions, d."""
        return self.vocabulary.size

    def encode(self, pixels: U8) -> Posteriors:
        """See `Encoder.encode`: uint8 [B, H, W, 3] → float32 [B, d] and [B, T]."""
        check_pixels(pixels, self.input_size)
        # float64 inside, so batches do not matter.
        numbers = grid_features(pixels) @ self.directions.astype(np.float64).T
        loose = unpack(_SPREAD * numbers[:, self.k :], self.k)
        covariance = loose @ loose.swapaxes(1, 2) + SIGMA0**2 * np.eye(self.k)
        factor = pack(cholesky(covariance))
        return Posteriors(numbers[:, : self.k].astype(np.float32), factor.astype(np.float32))

    def decode(self, points: F32) -> NoReturn:
        """It has no decoder.

        Raises:
            EncoderError: always.
        """
        raise EncoderError(f"{len(points)} points, and this encoder has no decoder: name one that has")

    @classmethod
    def create(
        cls,
        root: Path,
        labels: Sequence[str],
        *,
        input_size: tuple[int, int] = (32, 32),
        crop: str = "none",
        shrinkage: float = 0.1,
        seed: int = 0,
    ) -> TinyPosteriorEncoder:
        """Write an encoder to `root/<fingerprint>/` and open it.

        Args:
            root: The folder that holds models.
            labels: The words; their number is W and d.
            input_size: (H, W).
            crop: 'none' or 'center'.
            shrinkage: λ, recorded for whoever makes priors.
            seed: Another seed, another encoder.
        """
        vocabulary = Vocabulary.one_hot(tuple(labels))
        size = vocabulary.size
        features = grid_features(np.zeros((1, *input_size, 3), np.uint8)).shape[1]
        drawn = np.random.default_rng(seed).standard_normal((size + triangle(size), features))
        directions = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        config: dict[str, Any] = {
            "kind": cls.kind,
            "layout": "posterior",
            "labels": list(labels),
            "k": size,
            "input_size": list(input_size),
            "crop": crop,
            "shrinkage": shrinkage,
            "words": vocabulary.to_config(),
        }
        return cls.load(save_model(Path(root), config, {"directions": directions, **vocabulary.to_tensors()}))

    @classmethod
    def load(cls, path: Path) -> TinyPosteriorEncoder:
        """Open a model folder.

        Raises:
            ModelFileError: missing or damaged files.
        """
        config, tensors = read_config(path), read_tensors(path, ("directions",))
        return cls(
            labels=tuple(config["labels"]),
            input_size=(int(config["input_size"][0]), int(config["input_size"][1])),
            crop=str(config["crop"]),
            directions=tensors["directions"],
            vocabulary=read_vocabulary(path),
            shrinkage=float(config["shrinkage"]),
            fingerprint=str(config["fingerprint"]),
        )


def load(path: Path) -> TinyPosteriorEncoder:
    """The registry's entry: open a model folder of kind 'tiny-posterior'."""
    return TinyPosteriorEncoder.load(path)
