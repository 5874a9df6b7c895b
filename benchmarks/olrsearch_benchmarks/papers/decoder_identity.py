"""What made pictures tell of who is in them, to a network that has not seen what made them.

Notation: G pictures, F numbers a picture, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from olrsearch.encoders.trunks.frozen import INPUT_SIZE, FrozenTrunk
from olrsearch.evaluation.similar import identity_pool, told_of_identity
from olrsearch.evaluation.spaces import LabelSpace
from olrsearch.maths.principal import principal_components

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, I64, U8

_COMPONENTS: Final = 128
_BATCH: Final = 64


class Judge(Protocol):
    """Looks at pictures."""

    blocks: tuple[int, ...]
    """How many of the F numbers come from each of its maps."""

    def features(self, pictures: U8) -> F32:
        """uint8 [n, H, W, 3] → float32 [n, F]."""
        ...


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What some pictures tell.

    Attributes:
        pictures: Which: `images` for the images themselves, else by whom they were made.
        auc: Probability that two pictures of one person are nearer than two of different persons.
        recall_at_1: Share of the pictures whose nearest shows the same person, where there is another.
        own_first: Share of the pictures whose nearest among the images is the one it was made of.
    """

    pictures: str
    auc: float
    recall_at_1: float
    own_first: float


class TrunkJudge:
    """EfficientNet-Lite0 as ImageNet left it: it has met neither faces by name nor any decoder.

    Pictures are laid where they lie in an aligned face, 218 × 178 pixels; beyond, their edges go on.

    Raises:
        TrainingError: the package that holds its weights is not installed.
    """

    def __init__(self) -> None:
        self._trunk = FrozenTrunk()
        self.blocks = self._trunk.blocks

    def features(self, pictures: U8) -> F32:
        """See `Judge.features`."""
        from PIL import Image

        height, width = INPUT_SIZE
        above = (height - width) // 2
        parts = []
        for start in range(0, len(pictures), _BATCH):
            batch = [
                np.pad(
                    np.asarray(Image.fromarray(picture).resize((width, width), Image.Resampling.BICUBIC)),
                    ((above, height - width - above), (0, 0), (0, 0)),
                    mode="edge",
                )
                for picture in pictures[start : start + _BATCH]
            ]
            parts.append(self._trunk.features(np.stack(batch)))
        return np.concatenate(parts)


def disclosed(
    judge: Judge, originals: U8, made: Mapping[str, U8], persons: I64, *, seed: int = 0
) -> tuple[Disclosed, ...]:
    """What the images and pictures made of them tell of who is in them.

    Principal components of what the judge sees are those of all of these together, so that what made
    pictures have in common and images lack does not hide what tells them apart.

    Args:
        judge: Looks at them.
        originals: uint8 [G, H, W, 3].
        made: By whom → uint8 [G, H, W, 3].
        persons: int64 [G], −1 unknown.
        seed: Of the identities compared, where there are many.
    """
    names = ("images", *made)
    seen = [judge.features(pictures) for pictures in (originals, *made.values())]
    found = principal_components(np.concatenate(seen), _COMPONENTS, groups=judge.blocks, seed=seed)
    # Each kind about its own middle: a shift that all made pictures share says nothing of anybody.
    kinds = [_unit(part - part.mean(axis=0)) for part in np.split(found, len(names))]
    pool = identity_pool(persons, np.random.default_rng([seed, 0x1DE]))
    out = []
    for name, vectors in zip(names, kinds, strict=True):
        told = told_of_identity(LabelSpace("ip", vectors[None], by_label=False), pool, persons[pool])
        nearest = (vectors @ kinds[0].T).argmax(axis=1)
        own = float((nearest == np.arange(len(nearest))).mean())
        out.append(Disclosed(name, told.auc, told.recall_at_1, own))
    return tuple(out)


def _unit(vectors: F32) -> F32:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: F32 = vectors / np.maximum(lengths, np.float32(1e-12))
    return found
