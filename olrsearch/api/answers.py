"""What verbs that rank images share: which hits are wanted, and how they are returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.api.thumbnails import Thumbnails
from olrsearch.search.results import Hit, Ranking
from olrsearch.search.spaces.fits import fits_in, foreign_notes, plain_fits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from olrsearch.encoders.words.understanding import Understood
    from olrsearch.search.kl.built import BuiltKl
    from olrsearch.search.page import Page
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.search.spaces.posteriors import OpenPosteriors


def ranking(
    opened: OpenSpace | OpenPosteriors,
    page: Page,
    notes: Iterable[str] = (),
    *,
    query: str | None = None,
    where: str | None = None,
    understood: tuple[Understood, ...] = (),
    farthest: bool = False,
) -> Ranking:
    """A page of answers with the keys of its images, as it is returned.

    Args:
        opened: The space that was asked.
        page: What was found.
        notes: What a reader must know of it.
        query: What was asked; as the page says when None.
        where: The condition that chose the images.
        understood: What words were taken for.
        farthest: Whether the farthest image has rank 1.
    """
    rows = opened.snapshot.images(page.ids.tolist())
    fits = plain_fits(fits_in(opened.segments, page.ids))
    by_probability = [
        bool(parts) and all(part.probability is not None for part in parts) for parts in page.contributions
    ]
    hits = tuple(
        Hit(
            rank=page.first_rank + place,
            image_id=row.id,
            key=row.key,
            uri=row.uri,
            distance=float(page.distances[place]) + 0.0,  # no −0.0
            score=0.0 - float(page.distances[place]),
            contributions=page.contributions[place],
            fit=fits[place],
            similarity=None
            if by_probability[place]
            else _similarity(page.first_rank + place, page.candidates, farthest=farthest),
        )
        for place, row in enumerate(rows)
    )
    return Ranking(
        query=page.query if query is None else query,
        hits=hits,
        candidates=page.candidates,
        total=page.total,
        generation=opened.snapshot.generation,
        exact=page.exact,
        notes=(
            *page.notes,
            *notes,
            *foreign_notes(fits, opened.info.name),
            *_nothing(opened, page, where),
            *opened.coverage_notes(),
        ),
        understood=understood,
        thumbnails=Thumbnails(opened.snapshot),
    )


def _similarity(rank: int, candidates: int, *, farthest: bool) -> float:
    """The share of the other images that lie farther."""
    if candidates < 2:
        return 1.0
    place = rank - 1 if not farthest else candidates - rank
    return 1.0 - place / (candidates - 1)


def _nothing(opened: OpenSpace | OpenPosteriors, page: Page, where: str | None) -> tuple[str, ...]:
    """Why a condition left no image to rank."""
    if where is None or page.candidates:
        return ()
    from olrsearch.search.filter_values import why_nothing

    return why_nothing(where, opened.snapshot)


def built_index(opened: OpenPosteriors, recipe: str | None) -> BuiltKl | None:
    """The index of a recipe; None for the exact search."""
    return None if recipe in {None, "exact"} else opened.built(str(recipe))
