"""Labels that training can learn nothing about: all known values are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8


def single_valued(labels: I8, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the labels whose known values are all present, or all absent.

    Args:
        labels: int8 [n, L], −1 absent, 0 unknown, +1 present.
        names: The L names.
    """
    return tuple(
        name
        for name, values in zip(names, labels.T, strict=True)
        if not ((values > 0).any() and (values < 0).any())
    )
