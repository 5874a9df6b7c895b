"""What every encoder offers, whatever network is behind it.

Notation: L labels, B images in a batch, k numbers a label, H × W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from olrsearch.arrays import F32, U8
    from olrsearch.readout import Readout


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


def check_pixels(pixels: U8, input_size: tuple[int, int]) -> None:
    """Refuse pixels that an encoder of this input size cannot take.

    Raises:
        IncompatibleEncoderError: not uint8 [B, H, W, 3] of this H and W.
    """
    from olrsearch.errors import IncompatibleEncoderError

    height, width = input_size
    if pixels.dtype.name != "uint8" or pixels.ndim != 4 or pixels.shape[1:] != (height, width, 3):
        raise IncompatibleEncoderError(
            f"pixels of type {pixels.dtype} and shape {tuple(pixels.shape)}; this encoder takes "
            f"uint8 [images, {height}, {width}, 3]: scale images to its input_size"
        )
