"""What a contact sheet shows, before it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from olrsearch.core.counted import counted

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
        made: Whether it shows pictures that were made: a PNG then says so in its metadata, too.
    """

    heading: str
    summary: str
    cards: tuple[Card, ...]
    notes: tuple[str, ...] = ()
    asked: tuple[Card, ...] = ()
    sections: tuple[Section, ...] = ()
    made: bool = False


def ranking_sheet(ranking: Ranking, picture: Picture, *, asked: tuple[Card, ...] = ()) -> Sheet:
    """The sheet of a ranking.

    Args:
        ranking: Hits in order.
        picture: JPEG or PNG bytes of an image id, or None.
        asked: Pictures that are part of the question.
    """
    extent = _extent(ranking)
    shown = f"{len(ranking.hits)} of {counted(ranking.total, 'image')}"
    if ranking.total != ranking.candidates:
        shown += f" above the cut-off ({ranking.candidates:,} ranked)"
    found = "nothing better was missed" if ranking.exact else "by an index: a few of the best may be missing"
    return Sheet(
        heading=ranking.query,
        summary=f"{shown} · {found} · state {ranking.generation} of the store",
        cards=tuple(_card(hit, picture(hit.image_id), extent) for hit in ranking.hits),
        notes=(*_legend(ranking, extent), *ranking.notes),
        asked=asked,
    )


def _card(hit: Hit, picture: bytes | None, extent: tuple[float, float] | None) -> Card:
    # An attribute score is a log-probability: shown as the probability it stands for.
    chance = f"p = {math.exp(min(hit.score, 0.0)):#.3g}"
    alike = "" if hit.similarity is None else f"{hit.similarity_percent} · "
    score = chance if hit.is_probability else f"{alike}score {hit.score:z.4g}"
    if hit.is_foreign:
        score += " · foreign"
    return Card(
        title=f"{hit.rank}. {hit.key}",
        score=score,
        picture=picture,
        bars=tuple(_bar(part, extent) for part in hit.top_contributions()),
    )


def _legend(ranking: Ranking, extent: tuple[float, float] | None) -> tuple[str, ...]:
    """What the numbers and bars of a ranking mean."""
    if not ranking.hits:
        return ()
    parts = [part for hit in ranking.hits for part in hit.contributions]
    lines = []
    if ranking.hits[0].is_probability:
        lines.append("p: probability that all of it holds; bars: of each part, full is certain")
    else:
        lines.append(
            f"96 %: nearer than that share of the other {ranking.candidates - 1:,} images that were ranked; "
            "score: minus the distance, larger is nearer, and may be above or below 0"
        )
        if any(part.probability is not None for part in parts):
            lines.append("bars with numbers from 0 to 1: probability of each part, full is certain")
    if extent is not None:
        low, high = extent
        lines.append(
            f"bars of scores: {_which(ranking)} adds to the score, all on one scale, full is "
            f"{high:z.3g}, the best of this sheet, and a tenth {low:z.3g}"
        )
    if any(hit.is_foreign for hit in ranking.hits):
        lines.append("foreign: unlike the images that the encoder was trained on")
    return tuple(lines)


def _which(ranking: Ranking) -> str:
    if any(len(hit.top_contributions()) < len(hit.contributions) for hit in ranking.hits):
        return "the parts most apart, and what each"
    return "what each part"


def _extent(ranking: Ranking) -> tuple[float, float] | None:
    """The smallest and largest value of all parts that are no probabilities; None where there are none."""
    values = [
        part.value for hit in ranking.hits for part in hit.top_contributions() if part.probability is None
    ]
    return (min(values), max(values)) if values else None


def _bar(part: Contribution, extent: tuple[float, float] | None) -> Bar:
    if part.probability is not None or extent is None:
        chance = part.probability or 0.0
        return Bar(part.literal, f"{chance:.2f}", chance)
    # Scores have no natural end: bars compare the parts on the page, from a tenth (the farthest) to full.
    low, high = extent
    share = (part.value - low) / (high - low) if high > low else 1.0
    return Bar(part.literal, f"{part.value:z.3g}", 0.1 + 0.9 * share)
