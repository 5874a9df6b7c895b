"""Images beside the pictures that a decoder makes of their embeddings.

Notation: H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from olrsearch.core.made import MADE

if TYPE_CHECKING:
    from olrsearch.core.arrays import U8


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike a made picture and the original are.

    Attributes:
        ssim: Structural similarity, 1 for equal pictures.
        psnr: In dB; larger is more alike.
        mse: Mean squared error on the scale 0 to 1.
    """

    ssim: float
    psnr: float
    mse: float


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """What a decoder makes of an image's embedding.

    Attributes:
        name: Key or file of the image.
        image_id: None of one outside the store.
        picture: uint8 [H, W, 3], by the decoder; made, not found.
        linear: uint8 [H, W, 3], by ridge regression, to compare; made too.
        original: uint8 [H, W, 3], the part of the image that pictures show; None where its file is gone.
        likeness: Of the picture and the original; None without an original.
        linear_likeness: The same of the linear one.
    """

    name: str
    image_id: int | None
    picture: U8
    linear: U8
    original: U8 | None
    likeness: Likeness | None
    linear_likeness: Likeness | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict, without pixels."""
        return {
            "image": self.name,
            "image_id": self.image_id,
            "made": True,
            **_figures(self.likeness),
            "linear": _figures(self.linear_likeness),
        }


@dataclass(frozen=True, slots=True)
class Reconstructions:
    """Several of them, by one decoder.

    Attributes:
        space: Name of the space whose embeddings are decoded.
        images: In the order asked for.
        trained_on: How many images the decoder learnt from.
        notes: What the reader must know.
    """

    space: str
    images: tuple[Reconstruction, ...]
    trained_on: int
    notes: tuple[str, ...] = (MADE,)


def _figures(likeness: Likeness | None) -> dict[str, float | None]:
    if likeness is None:
        return dict.fromkeys(("ssim", "psnr", "mse"))
    return {"ssim": likeness.ssim, "psnr": likeness.psnr, "mse": likeness.mse}
