"""Layouts: what a space holds of an image, and in which arrays.

Notation: L labels, n images of a segment, k numbers a label; of posteriors, k is their dimension d
and T = k(k+1)/2 the numbers of a packed Cholesky factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from olrsearch._version import __version__
from olrsearch.core.errors import StoreVersionError
from olrsearch.maths.triangles import triangle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import Layout

LABELS: Final = "labels"
POSTERIOR: Final = "posterior"

EMBEDDINGS: Final = "embeddings"
MEAN: Final = "mean"
FACTOR: Final = "factor"
FIT: Final = "fit"
"""Of segments of every layout, where the encoder measures it: how well each image fits its training."""

HELD: Final[Mapping[Layout, str]] = {LABELS: "label embeddings", POSTERIOR: "posteriors"}
"""What the images of a space have, in words."""


class ArrayForm(NamedTuple):
    """One float32 array of a segment.

    Attributes:
        name: Of the array; its file is called so, with `.npy`.
        shape: For given L, n and k.
        axis: The image's.
        axes: What the axes are, in words.
    """

    name: str
    shape: tuple[int, ...]
    axis: int
    axes: str

    @property
    def file(self) -> str:
        """The name of its file in a segment's folder."""
        return f"{self.name}.npy"


def array_forms(layout: Layout, labels: int, count: int, k: int) -> tuple[ArrayForm, ...]:
    """The arrays a segment holds beside its ids.

    Args:
        layout: `labels`: embeddings [L, n, k]; `posterior`: mean [n, k] and factor [n, T].
        labels: L.
        count: n.
        k: Numbers a label, or dimensions.
    """
    if layout == LABELS:
        return (ArrayForm(EMBEDDINGS, (labels, count, k), 1, "labels, images, numbers a label"),)
    return (
        ArrayForm(MEAN, (count, k), 0, "images, dimensions"),
        ArrayForm(FACTOR, (count, triangle(k)), 0, "images, numbers of a packed triangle"),
    )


def fit_form(count: int) -> ArrayForm:
    """The array of fits that a segment of any layout may hold, for given n."""
    return ArrayForm(FIT, (count,), 0, "images")


def image_axes(layout: Layout) -> dict[str, int]:
    """Which axis of each array is the image's, by the array's name."""
    return {form.name: form.axis for form in array_forms(layout, 0, 0, 0)}


def as_layout(name: str, *, where: str) -> Layout:
    """A layout by the name that a store keeps.

    Args:
        name: As stored.
        where: The space, for the message.

    Raises:
        StoreVersionError: no program up to this one knows it.
    """
    for layout in HELD:
        if layout == name:
            return layout
    raise StoreVersionError(
        f"{where} has the layout {name!r}; olrsearch {__version__} knows {', '.join(HELD)}: install a newer "
        "olrsearch"
    )
