"""Pictures that a decoder made: of words, of an image, or of the way between two of them.

Notation: d dimensions of the latent space, H × W pixels.

Source: paper 003, figures 3 to 6; paper 002, figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from olrsearch.core.label_values import as_json
from olrsearch.core.made import MADE
from olrsearch.core.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from olrsearch.core.arrays import U8

MadeFrom = Literal["words", "image", "way"]
"""Samples of words, a reconstruction of an image, or steps between two ends."""


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A word that the encoder reads in a made picture.

    Attributes:
        word: The encoder's name of it.
        probability: Calibrated, 0 to 1; None where the word is not calibrated.
        ratio: See `WordEstimate`, nats.
    """

    word: str
    probability: float | None
    ratio: float

    def __str__(self) -> str:
        """`Bag 0.93`, or `Bag +4.1 nats`."""
        said = f"{self.ratio:+.1f} nats" if self.probability is None else f"{self.probability:.2f}"
        return f"{self.word} {said}"


@dataclass(frozen=True, slots=True)
class NearImage:
    """A stored image near the point of a made picture.

    Attributes:
        image_id: The image's stable id.
        key: The key its data set gave it.
        distance: KL(query‖image), nats; smaller is nearer. The query is the posterior of the image that was
            asked about, or else a Gaussian at the point, as wide as posteriors are on average.
    """

    image_id: int
    key: str
    distance: float


@dataclass(frozen=True, slots=True)
class AskedImage:
    """A real image that a made picture starts from.

    Attributes:
        name: Its key, or what was given.
        image_id: Its id; None outside the store.
        picture: A JPEG, not in JSON; None where the file is gone.
    """

    name: str
    image_id: int | None
    picture: bytes | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ImaginedPicture:
    """One picture that was made.

    Attributes:
        name: A name for its file, without suffix.
        caption: What it is.
        point: Where in the latent space it was decoded from, d numbers.
        share: How far on the way it lies, 0 to 1; None where there is no way.
        reads: What the encoder reads in it, the likeliest word first.
        near: The stored images nearest to the point, where they were asked for.
        pixels: uint8 [H, W, 3]; not in JSON.
        made: Always true.
    """

    name: str
    caption: str
    point: tuple[float, ...]
    pixels: U8 = field(compare=False, repr=False)
    share: float | None = None
    reads: tuple[ReadWord, ...] = ()
    near: tuple[NearImage, ...] = ()
    made: Literal[True] = True

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the pixels."""
        return {
            "made": True,
            "name": self.name,
            "caption": self.caption,
            "share": self.share,
            "reads": as_json(self.reads),
            "near": as_json(self.near),
            "point": list(self.point),
        }


@dataclass(frozen=True, slots=True)
class Imagined(Rows[ImaginedPicture]):
    """What `imagine` and `interpolate` return: pictures that nobody took.

    Attributes:
        question: What was asked, as a heading.
        of: What they are made of.
        space: The name of the space whose encoder made them.
        encoder: Its fingerprint.
        pictures: In order.
        asked: Real images that they start from.
        seed: Of the samples; None where nothing is drawn.
        temperature: What the standard deviations of samples were multiplied by; None where nothing is drawn.
        path: `line`, or `sphere` for the great circle; None where there is no way.
        notes: What a reader must know.
    """

    ROWS: ClassVar[str] = "pictures"

    question: str
    of: MadeFrom
    space: str
    encoder: str
    pictures: tuple[ImaginedPicture, ...]
    asked: tuple[AskedImage, ...] = ()
    seed: int | None = None
    temperature: float | None = None
    path: Literal["line", "sphere"] | None = None
    notes: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a picture; each says that it is made."""
        return [picture.to_dict() for picture in self.pictures]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels, JSON-ready."""
        return {
            "made": True,
            "question": self.question,
            "of": self.of,
            "space": self.space,
            "encoder": self.encoder,
            "seed": self.seed,
            "temperature": self.temperature,
            "path": self.path,
            "asked": [{"name": image.name, "image_id": image.image_id} for image in self.asked],
            "pictures": self.to_dicts(),
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """For a person: a line a picture, and what they are."""
        width = max((len(picture.caption) for picture in self.pictures), default=0)
        for number, picture in enumerate(self.pictures, 1):
            read = ", ".join(map(str, picture.reads))
            yield f"{number:>3}  {picture.caption:<{width}}  reads as {read}"
            for image in picture.near:
                yield f"       near: {image.key}  {image.distance:.3f} nats"
        yield MADE

    def _heading(self) -> str:
        return f"{self.question} (made, not found)"

    def _flat(self, row: ImaginedPicture) -> dict[str, Any]:
        reads = ", ".join(map(str, row.reads))
        near = ", ".join(image.key for image in row.near)
        return {"made": True, "caption": row.caption, "share": row.share, "reads": reads, "near": near}
