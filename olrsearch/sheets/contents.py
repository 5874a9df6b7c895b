"""What a contact sheet shows, before it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from olrsearch.search.results import Contribution, Hit, Ranking

    # From an image's id to its JPEG, None where there is none; and such a function for many images.
    Picture: TypeAlias = Callable[[int], bytes | None]
    Pictures: TypeAlias = Callable[[Iterable[int], int], Picture]


@dataclass(frozen=True, slots=True)
class Bar:
    """One literal or label under a picture.

    Attributes:
        label: What is measured.
        text: Its value, as the reader sees it.
        fill: Length of the bar, 0 to 1; more is better.
    """

    label: str
    text: str
    fill: float


@dataclass(frozen=True, slots=True)
class Companion:
    """A small picture beside a card's own.

    Attributes:
        caption: What it is; on an HTML page what the pointer shows over it.
        picture: JPEG or PNG bytes; None where the file is gone and no thumbnail was kept.
    """

    caption: str
    picture: bytes | None


COMPANIONS: Final = 4
"""So many fit beside a picture; more are not shown."""


@dataclass(frozen=True, slots=True)
class Card:
    """One picture of a sheet.

    Attributes:
        title: Rank and key.
        score: The score as the reader sees it.
        picture: JPEG or PNG bytes; None where the file is gone and no thumbnail was kept.
        bars: One a contribution.
        wide: Whether the picture takes the whole width of an HTML page.
        companions: Small pictures beside it, at most `COMPANIONS`.
    """

    title: str
    score: str
    picture: bytes | None
    bars: tuple[Bar, ...] = ()
    wide: bool = False
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Cards under a heading of their own.

    Attributes:
        heading: What they have in common.
        summary: A line about them.
        cards: Best first.
    """

    heading: str
    summary: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of cards under a heading.

    Attributes:
        heading: The question.
        summary: One line: how many candidates, which generation.
        cards: The answers, best first.
        notes: What the reader must know.
        asked: Pictures that are part of the question (the image to be similar to).
        sections: More answers, each under its own heading.
    """

    heading: str
    summary: str
    cards: tuple[Card, ...]
    notes: tuple[str, ...] = ()
    asked: tuple[Card, ...] = ()
    sections: tuple[Section, ...] = ()


def ranking_sheet(ranking: Ranking, picture: Picture, *, asked: tuple[Card, ...] = ()) -> Sheet:
    """The sheet of a ranking.

    Args:
        ranking: Hits in order.
        picture: JPEG or PNG bytes of an image id, or None.
        asked: Pictures that are part of the question.
    """
    ranges = _ranges(ranking)
    shown = f"{len(ranking.hits)} of {ranking.total:,} images"
    if ranking.total != ranking.candidates:
        shown += f" above the cut-off ({ranking.candidates:,} ranked)"
    return Sheet(
        heading=ranking.query,
        summary=f"{shown} · generation {ranking.generation} · {'exact' if ranking.exact else 'approximate'}",
        cards=tuple(_card(hit, picture(hit.image_id), ranges) for hit in ranking.hits),
        notes=ranking.notes,
        asked=asked,
    )


def _card(hit: Hit, picture: bytes | None, ranges: dict[str, tuple[float, float]]) -> Card:
    # An attribute score is a log-probability: shown as the probability it stands for.
    chance = f"p = {math.exp(min(hit.score, 0.0)):#.3g}"
    score = chance if hit.is_probability else f"distance {hit.distance:.4g}"
    if hit.is_foreign:
        score += f" · foreign, fit {hit.fit:.3g}"
    return Card(
        title=f"{hit.rank}. {hit.key}",
        score=score,
        picture=picture,
        bars=tuple(_bar(part, ranges[part.literal]) for part in hit.top_contributions()),
    )


def _ranges(ranking: Ranking) -> dict[str, tuple[float, float]]:
    """The smallest and largest value of every literal on the page."""
    found: dict[str, tuple[float, float]] = {}
    for hit in ranking.hits:
        for part in hit.contributions:
            low, high = found.get(part.literal, (part.value, part.value))
            found[part.literal] = (min(low, part.value), max(high, part.value))
    return found


def _bar(part: Contribution, extent: tuple[float, float]) -> Bar:
    if part.probability is not None:
        return Bar(part.literal, f"{part.probability:.2f}", part.probability)
    # Distances have no natural end, and those of inner products may be negative: bars compare
    # the hits of the page, from a tenth (the farthest) to full (the nearest).
    low, high = extent
    share = (part.value - low) / (high - low) if high > low else 1.0
    return Bar(part.literal, f"{-part.value:.3g}", 0.1 + 0.9 * share)
