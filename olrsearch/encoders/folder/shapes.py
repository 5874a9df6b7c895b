"""The shape of images that an encoder expects, and which others it would see squashed.

A shape is a width divided by a height. An encoder that crops to its own shape squashes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from olrsearch.encoders.folder.fit_file import FIT
from olrsearch.encoders.folder.model_config import read_companion, read_config

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from olrsearch.core.arrays import Bool

_STRETCH: Final = 1.25
"""How many times wider or narrower an image may be than those of the training."""


class Shapes(NamedTuple):
    """Shapes of the training images: the narrowest and the widest that are usual."""

    low: float
    high: float

    def squashed(self, widths: np.typing.NDArray[np.int64], heights: np.typing.NDArray[np.int64]) -> Bool:
        """Which images are seen squashed, bool [n]; of sizes in pixels, int64 [n] each."""
        shapes = widths / heights
        found: Bool = (shapes < self.low / _STRETCH) | (shapes > self.high * _STRETCH)
        return found

    def said(self) -> str:
        """For people."""
        if self.high < self.low * 1.02:
            return f"{self.low:.2f} times as wide as high"
        return f"{self.low:.2f} to {self.high:.2f} times as wide as high"


def expected_shapes(folder: Path) -> Shapes | None:
    """What the encoder of a model folder expects; None where it crops images to its own shape.

    Where nothing tells the shapes of its training images, the shape of its input is taken.

    Raises:
        ModelFileError: the model's configuration or `fit.json` is damaged.
    """
    config = read_config(folder)
    if config["crop"] != "none":
        return None
    content = read_companion(folder, FIT)
    if content is not None:
        low, high = content["shapes"]
        return Shapes(float(low), float(high))
    height, width = config["input_size"]
    return Shapes(width / height, width / height)
