"""What an objective is given of a batch.

Notation: B images, L labels, n numbers that are seen of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images and their labels.

    Attributes:
        seen: float32 [B, n].
        labels: int8 [B, L], −1 absent, 0 unknown, +1 present.
        one: Whether each image has exactly one label.
        generator: Of what is drawn.
    """

    seen: Tensor
    labels: Tensor
    one: bool
    generator: Generator
