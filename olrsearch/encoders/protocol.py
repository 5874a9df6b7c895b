"""What every encoder offers, whatever network is behind it.

Notation: L labels, B images in a batch, k numbers a label, H × W pixels; of posteriors, W words,
d dimensions and T = d(d+1)/2 numbers of a triangle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.words.vocabulary import Vocabulary
    from olrsearch.maths.readout import Readout


@runtime_checkable
class LabelEncoder(Protocol):
    """A trained model that gives an image one vector per label.

    Attributes:
        kind: The registered kind, as in `config.json`.
        fingerprint: sha256 of configuration and weights, 64 hexadecimal digits.
            Embeddings of two fingerprints are never compared.
        labels: The L label names, in the order of the embeddings.
        k: Numbers a label.
        input_size: (H, W) of the pixels `encode` takes.
        crop: How an image is cropped before it is scaled to `input_size`: 'none' or 'center'.
        readout: The linear function from label embeddings to raw logits.
    """

    @property
    def kind(self) -> str:
        """The registered kind."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identity of the model, 64 hexadecimal digits."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The L label names."""
        ...

    @property
    def k(self) -> int:
        """Numbers a label."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the pixels taken."""
        ...

    @property
    def crop(self) -> str:
        """'none' or 'center'."""
        ...

    @property
    def readout(self) -> Readout:
        """Label embeddings to raw logits."""
        ...

    def encode(self, pixels: U8) -> F32:
        """Encode a batch of images.

        Deterministic; an image's embedding does not depend on the others in the batch
        beyond rounding.

        Args:
            pixels: uint8 [B, H, W, 3], RGB; B may be 0. Not changed.

        Returns:
            float32 [L, B, k], label-major.

        Raises:
            IncompatibleEncoderError: pixels of another shape or type.
        """
        ...


class Posteriors(NamedTuple):
    """What a posterior encoder makes of a batch: Gaussians N(μ, C Cᵀ).

    Attributes:
        mean: μ, float32 [B, d].
        factor: C, float32 [B, T]: lower Cholesky factors packed row by row, see `gaussian.pack`.
            No eigenvalue of a covariance is below σ₀², `gaussian.SIGMA0` squared.
    """

    mean: F32
    factor: F32


@runtime_checkable
class PosteriorEncoder(Protocol):
    """A trained model that gives an image a Gaussian in the space its words lie in.

    Attributes:
        kind: The registered kind, as in `config.json`.
        fingerprint: sha256 of configuration and weights, 64 hexadecimal digits.
            Posteriors of two fingerprints are never compared.
        labels: Its W words, as data sets call their labels.
        k: Dimensions, d.
        input_size: (H, W) of the pixels `encode` takes.
        crop: How an image is cropped before it is scaled to `input_size`: 'none' or 'center'.
        vocabulary: Its words, and where they lie.
        has_decoder: Whether `decode` can draw points.
    """

    @property
    def kind(self) -> str:
        """The registered kind."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identity of the model, 64 hexadecimal digits."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The W words, as data sets call their labels."""
        ...

    @property
    def k(self) -> int:
        """Dimensions, d."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the pixels taken."""
        ...

    @property
    def crop(self) -> str:
        """'none' or 'center'."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The encoder's words and their vectors, float64 [W, d]."""
        ...

    @property
    def has_decoder(self) -> bool:
        """Whether points can be drawn."""
        ...

    def encode(self, pixels: U8) -> Posteriors:
        """Encode a batch of images.

        Deterministic; an image's posterior does not depend on the others in the batch
        beyond rounding.

        Args:
            pixels: uint8 [B, H, W, 3], RGB; B may be 0. Not changed.

        Returns:
            Means float32 [B, d] and packed factors float32 [B, T].

        Raises:
            IncompatibleEncoderError: pixels of another shape or type.
        """
        ...

    def decode(self, points: F32) -> U8:
        """Draw points of the latent space.

        Args:
            points: float32 [m, d]; m may be 0. Not changed.

        Returns:
            uint8 [m, H, W, 3], RGB, of the decoder's height and width.

        Raises:
            EncoderError: points of another shape, or an encoder without decoder.
        """
        ...


Encoder: TypeAlias = LabelEncoder | PosteriorEncoder
"""Either kind; `model_files.layout_of` tells which a model folder holds."""


def check_pixels(pixels: U8, input_size: tuple[int, int]) -> None:
    """Refuse pixels that an encoder of this input size cannot take.

    Raises:
        IncompatibleEncoderError: not uint8 [B, H, W, 3] of this H and W.
    """
    from olrsearch.core.errors import IncompatibleEncoderError

    height, width = input_size
    if pixels.dtype.name != "uint8" or pixels.ndim != 4 or pixels.shape[1:] != (height, width, 3):
        raise IncompatibleEncoderError(
            f"pixels of type {pixels.dtype} and shape {tuple(pixels.shape)}; this encoder takes "
            f"uint8 [images, {height}, {width}, 3]: scale images to its input_size"
        )
