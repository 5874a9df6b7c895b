"""What queries return: plain frozen values, the same from Python and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from olrsearch.core.counted import counted
from olrsearch.core.label_values import as_json
from olrsearch.core.rows import Rows, columns_of
from olrsearch.maths.fit import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.label_values import LabelValue
    from olrsearch.core.rows import Thumbnails
    from olrsearch.encoders.words.understanding import Understood

LIKELIHOOD: Final = "ln N(image; words)"
"""The contribution that is the log-likelihood of an image's mean under the Gaussian of a set of words."""

ALIKE: Final = "alike"
"""The contribution of how many labels an image is expected to share with an edited one: its logarithm."""

_IN_REPR: Final = 3
"""Hits that a ranking shows of itself on one line."""

Estimate = TypeVar("Estimate", "LabelEstimate", "WordEstimate")


@dataclass(frozen=True, slots=True)
class Contribution:
    """One literal's or one label's share of a hit.

    Attributes:
        literal: The literal as the query wrote it (`Smiling`, `!Male`, `Eyeglasses^2`),
            the label's name in a similarity query, or a divergence (`KL(query‖image)`).
        value: Its share of the hit's *score*: weighted log-probability (nats) in an
            attribute query or where words are contained, minus the weighted distance in a
            similarity query, minus the divergence (nats), or the log-likelihood (nats). Where words
            are ranked by one of these, a word that is to be there has the value 0: neither has shares
            of words.
        probability: The probability that the literal holds, 0 to 1; None in a
            similarity query and of a divergence.
    """

    literal: str
    value: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One image of a ranking.

    Attributes:
        rank: 1 for the nearest image of the whole ranking (not of the page).
        image_id: The image's stable id.
        key: The key its data set gave it.
        uri: Where its bytes lie, relative to the data set's root.
        distance: Smaller is nearer.
        score: −distance; for an attribute query the log-probability of the query, nats.
        contributions: One entry a literal, label or divergence. But for a disjunction they
            add up to `score`.
        fit: How well the image fits the encoder's training, 0 to 1, see `maths.fit`; None where unknown.
        similarity: For an answer by distances: the share of the other images that were ranked which
            lie farther, 1 for the nearest and 0 for the farthest. None where the score is a
            log-probability, which is readable itself.
    """

    rank: int
    image_id: int
    key: str
    uri: str
    distance: float
    score: float
    contributions: tuple[Contribution, ...] = ()
    fit: float | None = None
    similarity: float | None = field(default=None, compare=False)

    @property
    def is_foreign(self) -> bool:
        """Whether the image is unlike those that the encoder was trained on."""
        return self.fit is not None and self.fit < FOREIGN

    @property
    def is_probability(self) -> bool:
        """Whether the score is a log-probability: every contribution is one, and none a distance."""
        return bool(self.contributions) and all(part.probability is not None for part in self.contributions)

    @property
    def by_divergence(self) -> bool:
        """Whether a divergence, a likelihood or a likeness is among the contributions.

        Probabilities beside it explain no score.
        """
        whole = ("KL(", "Jeffreys", LIKELIHOOD)
        return any(part.literal == ALIKE or part.literal.startswith(whole) for part in self.contributions)

    @property
    def similarity_percent(self) -> str:
        """The similarity for people, `96.3 %`, rounded; empty where there is none."""
        return "" if self.similarity is None else f"{self.similarity:.1%}".replace("%", " %")

    def top_contributions(self, most: int = 6) -> tuple[Contribution, ...]:
        """All contributions if there are at most `most`, else the half as many that cost most, worst first.

        For people: forty labels under every picture explain nothing.
        """
        if len(self.contributions) <= most:
            return self.contributions
        return tuple(sorted(self.contributions, key=lambda part: part.value)[: most // 2])


@dataclass(frozen=True, slots=True)
class Ranking(Rows[Hit]):
    """An answer: hits in order of distance, ties by image id.

    `ranking[0]` is the first hit, `ranking[:5]` a ranking of the first five.

    Attributes:
        query: What was asked, in canonical spelling.
        hits: The page asked for.
        candidates: How many images were ranked (after filters and tombstones).
        total: How many of them pass the score cut-off; equals `candidates` without one.
        generation: The store generation that answered.
        exact: True when the order is proven to be that of a full scan.
        notes: What a reader must know (a stale calibration, images without embedding, …).
        understood: What words were taken for, where words were asked; see `Understood`.
        thumbnails: Pictures of the hits, for notebooks.
    """

    ROWS: ClassVar[str] = "hits"

    query: str
    hits: tuple[Hit, ...]
    candidates: int
    total: int
    generation: int
    exact: bool = True
    notes: tuple[str, ...] = ()
    understood: tuple[Understood, ...] = ()
    thumbnails: Thumbnails | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """The question and the first hits, on one line."""
        first = [f"{hit.key} {hit.score:.4g}" for hit in self.hits[:_IN_REPR]]
        rest = ["…"] if len(self) > len(first) else []
        return f"<Ranking {self._heading()}{': ' if first else ''}{', '.join([*first, *rest])}>"

    def _in_notebook(self, rows: Sequence[Hit]) -> list[dict[str, Any]]:
        """Hits without what says nothing new, and with what their fits mean."""
        found = [self._flat(hit) for hit in rows]
        same = all(hit.uri == hit.key for hit in rows)
        for hit, row in zip(rows, found, strict=True):
            if same:
                del row["uri"]
            if hit.is_foreign:
                row["fit"] = f"foreign ({hit.fit:.3g})"
        return found

    def _columns(self) -> list[str]:
        return columns_of(Hit, "contributions")

    def _flat(self, row: Hit) -> dict[str, Any]:
        """A hit with a column a contribution."""
        found: dict[str, Any] = as_json(row)
        for part in found.pop("contributions"):
            name = part["literal"]
            found[name if name not in found else f"{name} (contribution)"] = part["value"]
        return found

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a hit, keys as documented in the command reference.

        Where a word was taken for something else than a label of its name, every hit says so (`understood`).
        """
        taken = [found.to_dict() for found in self.understood if found.basis != "label"]
        return [as_json(hit) | ({"understood": taken} if taken else {}) for hit in self.hits]

    def _heading(self) -> str:
        return f"{self.query}: {len(self)} of {counted(self.total, 'image')}"


@dataclass(frozen=True, slots=True)
class LabelEstimate:
    """One predicted label of one image.

    Attributes:
        label: The label's name.
        probability: Calibrated probability that it is present, 0 to 1.
        norm: ‖e^l‖, the degree of presence as OLR has it.
        stored: −1 absent, 0 unknown, +1 present; None where nothing is stored.
    """

    label: str
    probability: float
    norm: float
    stored: LabelValue | None = None


@dataclass(frozen=True, slots=True)
class WordEstimate:
    """How likely one word is of one image.

    Attributes:
        word: The encoder's name of it, or what was asked for.
        probability: Calibrated probability that it is of the image, 0 to 1; None where nothing is calibrated.
        ratio: How much denser the posterior is at the word than at the encoder's own words on the
            average, nats.
        stored: −1 absent, 0 unknown, +1 present, of the label of this name; None where nothing is stored.
        own: Whether it is one of the encoder's own words.
        understood: What the word was taken for, where it is none of these: the figures are those of that
            label, the probability that of its absence where that is asked for.
    """

    word: str
    probability: float | None
    ratio: float
    stored: LabelValue | None = None
    own: bool = True
    understood: Understood | None = None


@dataclass(frozen=True, slots=True)
class Description(Rows[Estimate]):
    """What an image looks like to an encoder, in labels or in words.

    Attributes:
        image: Its key, or the file's name as it was given.
        image_id: None of a file outside the store.
        estimates: Most probable first.
        fit: How well it fits the encoder's training, 0 to 1, see `maths.fit`; None where unknown.
        notes: What a reader must know of this image.
    """

    ROWS: ClassVar[str] = "estimates"

    image: str
    image_id: int | None
    estimates: tuple[Estimate, ...]
    fit: float | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; of words that were taken for a label it says so (`understood`)."""
        out: dict[str, Any] = as_json(self)
        for row, item in zip(out["estimates"], self.estimates, strict=True):
            if row.pop("understood", None) is not None and isinstance(item, WordEstimate):
                row["understood"] = None if item.understood is None else item.understood.to_dict()
        return out

    def _heading(self) -> str:
        return self.image
