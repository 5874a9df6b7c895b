"""An order among labels: what comes before what, and at which step an image stands.

Notation: N images, L labels, K steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.counted import counted
from olrsearch.core.errors import TrainingError
from olrsearch.core.names import LabelNames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8, I64, Bool

ALTERNATIVE: Final = "|"
"""Stands between labels that are one step together, as it means `or` in queries."""

NOWHERE: Final = -1
"""The step of an image that shows no label of an order."""

_LEAST: Final = 2
"""Examples that every step needs: an anchor, and a positive at the same step."""


@dataclass(frozen=True, slots=True)
class Order:
    """Steps of labels, lowest first.

    Attributes:
        names: Of each of the K steps, as it was written.
        columns: Of each step the places of its labels among the L, one or more.
    """

    names: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, steps: Sequence[str], labels: Sequence[str]) -> Order:
        """The order that somebody wrote.

        Args:
            steps: A label each, or several with | between them.
            labels: The L labels there are.

        Raises:
            TrainingError: fewer than two steps, or a label twice.
            UnknownLabelError: a label that is not there.
        """
        if not any(step.strip() for step in steps):
            raise TrainingError(
                "the labels have no order: name them from the lowest to the highest with --order A,B,C, "
                "or take the degree of one with --degree LABEL"
            )
        found = LabelNames(labels)
        columns = []
        for step in steps:
            parts = [part.strip() for part in step.split(ALTERNATIVE)]
            if not all(parts):
                raise TrainingError(
                    f"the order has the step {step!r}: expected a label, or labels with {ALTERNATIVE} between"
                )
            columns.append(tuple(found.position(part) for part in parts))
        flat = [column for step in columns for column in step]
        twice = next((column for column in flat if flat.count(column) > 1), None)
        if twice is not None:
            raise TrainingError(f"the order names {labels[twice]} twice: name every label once")
        if len(steps) < 2:
            raise TrainingError(
                f"an order of one step, {steps[0]}: name two labels or more, with commas, lowest first"
            )
        return cls(tuple(steps), tuple(columns))

    def __len__(self) -> int:
        """Steps, K."""
        return len(self.names)

    def shown(self, labels: I8) -> Bool:
        """Which steps images show, bool [N, K]: a step is shown where one of its labels is present."""
        return np.stack([(labels[:, list(step)] > 0).any(axis=1) for step in self.columns], axis=1)

    def ranks(self, labels: I8) -> I64:
        """The step of each image, int64 [N]: the highest it shows; `NOWHERE` where it shows none.

        Args:
            labels: int8 [N, L], −1/0/+1.
        """
        shown = self.shown(labels)
        highest = len(self) - 1 - np.argmax(shown[:, ::-1], axis=1)
        ranks: I64 = np.where(shown.any(axis=1), highest, NOWHERE).astype(np.int64)
        return ranks

    def check(self, labels: I8, *, gap: int = 0) -> None:
        """Refuse images that no order can be learnt from.

        Args:
            labels: int8 [n, L], of the training images.
            gap: How many steps a positive is away at most: negatives are farther.

        Raises:
            TrainingError: a step with fewer than two images, all images at one step, or an order too
                short to have negatives.
        """
        counts = np.bincount(self.ranks(labels) + 1, minlength=len(self) + 1)[1:]
        few = [f"{name} ({count})" for name, count in zip(self.names, counts.tolist(), strict=True)
               if count < _LEAST]  # fmt: skip
        if few:
            raise TrainingError(
                f"too few training images at {', '.join(few)}: a step needs {counted(_LEAST, 'image')} whose "
                "highest label it is; leave the step out, or join it to its neighbour with |"
            )
        if len(self) <= gap + 1:
            raise TrainingError(
                f"in an order of {len(self)} steps no image is more than {counted(gap, 'step')} away: name "
                f"{gap + 2} steps or more, or set graded=true"
            )
