"""What every encoder offers, whatever network is behind it.

Notation: L labels, B images in a batch, k numbers a label, H × W pixels; of posteriors, W words,
d dimensions and T = d(d+1)/2 numbers of a triangle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from olrsearch.core.errors import IncompatibleEncoderError

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.folder.fit_file import TrainingFit
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.readout import Readout


class Posteriors(NamedTuple):
    """What a posterior encoder makes of a batch: Gaussians N(μ, C Cᵀ).

    Attributes:
        mean: μ, float32 [B, d].
        factor: C, float32 [B, T]: lower Cholesky factors packed row by row, see `triangles.pack`.
            No eigenvalue of a covariance is below σ₀², `gaussian.SIGMA0` squared.
    """

    mean: F32
    factor: F32


class Encoder(Protocol):
    """A trained model, whatever it makes of an image; `model_config.layout_of` tells which of the two."""

    @property
    def kind(self) -> str:
        """The registered kind, as in `config.json`."""

    @property
    def fingerprint(self) -> str:
        """sha256 of configuration and weights, 64 hexadecimal digits.

        What encoders of two fingerprints make of images is never compared.
        """

    @property
    def labels(self) -> tuple[str, ...]:
        """The L label names, in the order of the embeddings; the W words of an encoder of posteriors."""

    @property
    def k(self) -> int:
        """Numbers a label; the dimensions d of posteriors."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of the pixels that `encode` takes."""

    @property
    def crop(self) -> str:
        """How an image is cropped before it is scaled to `input_size`: 'none' or 'center'."""

    def encode(self, pixels: U8) -> F32 | Posteriors:
        """Encode a batch of images.

        Deterministic; what an image becomes does not depend on the others in the batch beyond
        rounding.

        Args:
            pixels: uint8 [B, H, W, 3], RGB; B may be 0. Not changed.

        Returns:
            Embeddings float32 [L, B, k], label-major; or posteriors, means float32 [B, d] and
            packed factors float32 [B, T].

        Raises:
            IncompatibleEncoderError: pixels of another shape or type.
        """


@runtime_checkable
class LabelEncoder(Encoder, Protocol):
    """A trained model that gives an image one vector per label."""

    @property
    def readout(self) -> Readout:
        """The linear function from label embeddings to raw logits."""

    def encode(self, pixels: U8) -> F32:
        """See `Encoder.encode`."""


@runtime_checkable
class PosteriorEncoder(Encoder, Protocol):
    """A trained model that gives an image a Gaussian in the space its words lie in."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Its words and where they lie, float64 [W, d]."""

    @property
    def has_decoder(self) -> bool:
        """Whether `decode` can draw points."""

    def encode(self, pixels: U8) -> Posteriors:
        """See `Encoder.encode`."""

    def decode(self, points: F32) -> U8:
        """Draw points of the latent space.

        Args:
            points: float32 [m, d]; m may be 0. Not changed.

        Returns:
            uint8 [m, H, W, 3], RGB, of the decoder's height and width; grey images have three equal
            channels.

        Raises:
            EncoderError: points of another shape, or an encoder without decoder.
        """


@runtime_checkable
class MeasuringEncoder(Encoder, Protocol):
    """A trained model that can tell how well images fit those it was trained on."""

    @property
    def training_fit(self) -> TrainingFit | None:
        """What it is told by; None where the model folder has no statistics."""

    def features(self, pixels: U8) -> F32 | None:
        """What the network sees of images, float32 [B, D]; None where it cannot be looked into."""

    def encode_with_fit(self, pixels: U8) -> tuple[F32 | Posteriors, F32 | None]:
        """What `encode` makes of a batch, and each image's fit, float32 [B], 0 to 1; None where unknown."""


def check_pixels(pixels: U8, input_size: tuple[int, int]) -> None:
    """Refuse pixels that an encoder of this input size cannot take.

    Raises:
        IncompatibleEncoderError: not uint8 [B, H, W, 3] of this H and W.
    """
    height, width = input_size
    if pixels.dtype.name != "uint8" or pixels.ndim != 4 or pixels.shape[1:] != (height, width, 3):
        raise IncompatibleEncoderError(
            f"pixels of type {pixels.dtype} and shape {tuple(pixels.shape)}; this encoder takes "
            f"uint8 [images, {height}, {width}, 3]: scale images to its input_size"
        )
