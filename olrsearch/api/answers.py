"""What verbs that rank images share: which hits are wanted, and how they are returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
) -> Ranking:
    """A page of answers with the keys of its images, as it is returned.

    Args:
        opened: The space that was asked.
        page: What was found.
        notes: What a reader must know of it.
        query: What was asked; as the page says when None.
        where: The condition that chose the images.
        understood: What words were taken for.
    """
    rows = opened.snapshot.images(page.ids.tolist())
    fits = plain_fits(fits_in(opened.segments, page.ids))
    hits = tuple(
        Hit(
            rank=page.first_rank + place,
            image_id=row.id,
            key=row.key,
            uri=row.uri,
            distance=float(page.distances[place]),
            score=-float(page.distances[place]),
            contributions=page.contributions[place],
            fit=fits[place],
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
    )


def _nothing(opened: OpenSpace | OpenPosteriors, page: Page, where: str | None) -> tuple[str, ...]:
    """Why a condition left no image to rank."""
    if where is None or page.candidates:
        return ()
    from olrsearch.search.filter_values import why_nothing

    return why_nothing(where, opened.snapshot)


def built_index(opened: OpenPosteriors, recipe: str | None) -> BuiltKl | None:
    """The index of a recipe; None for the exact search."""
    return None if recipe in {None, "exact"} else opened.built(str(recipe))
