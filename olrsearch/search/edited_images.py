"""What edits return: probabilities before and after, and pictures where there is a decoder. All is made.

Notation: L labels, k numbers a label, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from olrsearch.core.label_values import as_json
from olrsearch.core.rows import Rows

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, U8

_SEEN: Final = 0.05
"""Change of a probability that is worth a line."""


@dataclass(frozen=True, slots=True)
class EditedLabel:
    """One label of an edited image.

    Attributes:
        label: Its name.
        asked: `added`, `removed`, or None where it was not asked for.
        before: Its probability before the edit, by readout and calibration, 0 to 1.
        after: Its probability after it. Along directions these are what the edit aimed at; whether a picture
            shows it is another question (docs/editing.md).
    """

    label: str
    asked: str | None
    before: float
    after: float

    @property
    def change(self) -> float:
        """By how much the probability changed, −1 to 1."""
        return self.after - self.before


@dataclass(frozen=True, slots=True, eq=False)
class MadePictures:
    """What a decoder makes of an image's embedding.

    Attributes:
        before: uint8 [H, W, 3], of the embedding as it is: how well the decoder knows the image.
        after: uint8 [H, W, 3], of the edited one.
    """

    before: U8
    after: U8


@dataclass(frozen=True, slots=True, eq=False)
class EditedImage(Rows[EditedLabel]):
    """An image with labels added and removed. It is made, and so are its pictures.

    Attributes:
        image: Its key, or the file's name as it was given.
        image_id: None of a file outside the store.
        edits: What was asked, `+Smiling -Eyeglasses`.
        way: `directions` or `paper`.
        labels: Asked ones first, then the others by how much they changed.
        embedding: float32 [L, k], edited.
        pictures: None in a space without a decoder.
        fit: How well the image fits the encoder's training, 0 to 1; None where unknown.
        notes: What a reader must know.
    """

    ROWS: ClassVar[str] = "labels"

    image: str
    image_id: int | None
    edits: str
    way: str
    labels: tuple[EditedLabel, ...]
    embedding: F32 = field(repr=False)
    pictures: MadePictures | None = field(default=None, repr=False)
    fit: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[EditedLabel, ...]:
        """The labels that were asked for."""
        return tuple(item for item in self.labels if item.asked is not None)

    @property
    def changed(self) -> tuple[EditedLabel, ...]:
        """Others whose probability changed by so much that it is worth a line."""
        return tuple(item for item in self.labels if item.asked is None and abs(item.change) >= _SEEN)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict without arrays; `made` says that nothing in it was found."""
        return {
            "image": self.image,
            "image_id": self.image_id,
            "edits": self.edits,
            "way": self.way,
            "made": True,
            "has_pictures": self.pictures is not None,
            "labels": [as_json(item) for item in self.labels],
            "fit": self.fit,
            "notes": list(self.notes),
        }

    def _heading(self) -> str:
        return f"{self.image} {self.edits}"


@dataclass(frozen=True, slots=True, eq=False)
class EditedCell:
    """One edit of a grid.

    Attributes:
        edits: What was asked, the strength in it.
        strength: Factor on the strengths that were given.
        probabilities: Of the asked labels after the edit, by name.
        picture: uint8 [H, W, 3]; None in a space without a decoder.
    """

    edits: str
    strength: float
    probabilities: dict[str, float]
    picture: U8 | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class EditGrid(Rows[EditedCell]):
    """An image with one edit after the other, each in several strengths; of several edits all together last.

    Attributes:
        image: Its key, or the file's name as it was given.
        image_id: None of a file outside the store.
        way: `directions` or `paper`.
        strengths: A column each.
        cells: Row by row.
        before: uint8 [H, W, 3], what the decoder makes of the embedding as it is; None without one.
        notes: What a reader must know.
    """

    ROWS: ClassVar[str] = "cells"

    image: str
    image_id: int | None
    way: str
    strengths: tuple[float, ...]
    cells: tuple[EditedCell, ...]
    before: U8 | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a cell, without pictures; `made` says that nothing in it was found."""
        return [self._flat(cell) for cell in self.cells]

    def _flat(self, row: EditedCell) -> dict[str, Any]:
        return {
            "image": self.image,
            "edits": row.edits,
            "way": self.way,
            "strength": row.strength,
            "made": True,
            "probabilities": row.probabilities,
        }

    def _heading(self) -> str:
        return f"{self.image}, edited"
