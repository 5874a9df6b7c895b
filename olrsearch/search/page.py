"""Pages of an answer: which there can be, and one before the store's keys and uris are put in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from olrsearch.core.counted import counted
from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.search.index.topk import top_k
from olrsearch.search.results import Contribution

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import F64, I64, Bool

Share: TypeAlias = "tuple[str, F64, F64 | None]"
"""A term of a query, as hits have it: its spelling, values float64 [n], and probabilities if any."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Ranked ids with what each hit is made of.

    Attributes:
        query: What was asked, in canonical spelling.
        ids: int64 [n], nearest first, ties by id.
        distances: float64 [n], smaller is nearer; a score is −distance.
        contributions: One tuple a hit; see `Contribution`.
        first_rank: Rank of the first hit in the whole ranking, 1 without an offset.
        candidates: How many images were ranked.
        total: How many of these are within the cut-off.
        exact: True when the order is that of a full scan.
        notes: What a reader must know.
    """

    query: str
    ids: I64
    distances: F64
    contributions: tuple[tuple[Contribution, ...], ...]
    first_rank: int
    candidates: int
    total: int
    exact: bool = True
    notes: tuple[str, ...] = ()


def ranked(
    query: str,
    ids: I64,
    distances: F64,
    shares: Callable[[I64], Sequence[Share]],
    *,
    count: int,
    offset: int,
    max_distance: float | None = None,
    allowed: Bool | None = None,
) -> Page:
    """The page of a ranking of all images.

    Args:
        query: What was asked, in canonical spelling.
        ids: int64 [N], of the images; they decide between equal distances.
        distances: float64 [N], smaller is nearer.
        shares: For rows, what their hits are made of, see `by_hit`.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        max_distance: Cut-off, inclusive.
        allowed: bool [N], the images that are ranked at all; all when None.

    Raises:
        VectorError: a distance is NaN.
    """
    found = top_k(distances, ids, count, offset=offset, max_distance=max_distance, allowed=allowed)
    return Page(
        query=query,
        ids=ids[found.rows],
        distances=distances[found.rows],
        contributions=by_hit(shares(found.rows), len(found.rows)),
        first_rank=offset + 1,
        candidates=found.candidates,
        total=found.total,
        notes=length_notes(count, found.total, offset, found.candidates),
    )


def by_hit(shares: Sequence[Share], count: int) -> tuple[tuple[Contribution, ...], ...]:
    """Contributions, one tuple a hit.

    Args:
        shares: Of each term.
        count: Hits.
    """
    return tuple(
        tuple(
            # 0.0 added: no hit owes anything a share of −0
            Contribution(name, float(value[place]) + 0.0, None if chance is None else float(chance[place]))
            for name, value, chance in shares
        )
        for place in range(count)
    )


def check_page(k: int, offset: int) -> None:
    """Refuse a page of nothing, or one before the first.

    Raises:
        QueryError: it is.
    """
    if k < 1 or offset < 0:
        raise QueryError(
            f"a page has k ≥ 1 entries from offset ≥ 0, found k = {shown(k)} and offset = {shown(offset)}"
        )


def length_notes(count: int, total: int, offset: int, candidates: int) -> tuple[str, ...]:
    """Why a page is shorter than asked for, if it is."""
    if offset + count <= total:
        return ()
    asked = counted(count, "hit from rank", "hits from rank")
    if total == candidates:
        found = counted(total, "image is all there is", "images are all there are")
    else:
        found = (
            f"{counted(total, 'image')} of {candidates:,} {'passes' if total == 1 else 'pass'} the cut-off"
        )
    return (f"{asked} {offset + 1} {'was' if count == 1 else 'were'} asked for, and {found}",)
