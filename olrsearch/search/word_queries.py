"""A word query before it is answered: what is ranked by, what a reader must know of it, how it is spelt.

Notation: N images (rows of a view), W own words.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.core.shown import shown
from olrsearch.maths.gaussian import check_shrinkage
from olrsearch.search.attributes import query_values
from olrsearch.search.fusion import fuse_ranks
from olrsearch.search.kl.query import SPELT, check_divergence
from olrsearch.search.query.ast import canonical
from olrsearch.search.ranking_by_divergence import match_penalty
from olrsearch.search.ranking_by_likelihood import likelihood_distances
from olrsearch.search.word_terms import MODES, query_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64, Bool
    from olrsearch.encoders.words.understanding import Understood
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.page import Page
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.search.word_terms import Mode, WordProbabilities, WordTerm

AttributesMode = Literal["filter", "rank"]
ATTRIBUTES_MODES: Final[tuple[AttributesMode, ...]] = get_args(AttributesMode)

LIKELY: Final = math.log(0.5)
"""The score from which on an attribute query holds of an image."""


class WordQuery(NamedTuple):
    """A word query, resolved: what is ranked by.

    Attributes:
        terms: What is asked for, in the encoder's words.
        understood: What each word that was written was taken for.
        chances: Their log-probabilities.
        mode: How the images are ranked.
        direction: Of the divergence.
        prior: Of the words that are to be there, or the product of their learned Gaussians.
        farthest: Whether the largest divergences come first.
    """

    terms: tuple[WordTerm, ...]
    understood: tuple[Understood, ...]
    chances: WordProbabilities
    mode: Mode
    direction: Divergence
    prior: Gaussians
    farthest: bool


class Attributes(NamedTuple):
    """An attribute query beside words.

    Attributes:
        spelling: The query in canonical spelling.
        values: float64 [N], log-probabilities in the rows of the posteriors; −∞ where there is none.
        held: bool [N], which images have one.
        notes: What a reader must know of it.
    """

    spelling: str
    values: F64
    held: Bool
    notes: tuple[str, ...]


def fused(
    opened: OpenPosteriors,
    query: WordQuery,
    attributes: Attributes,
    *,
    count: int,
    offset: int,
    allowed: Bool,
) -> Page:
    """Words and attributes by their ranks.

    Args:
        opened: The space of posteriors.
        query: The words.
        attributes: What the space of label embeddings says, in the same rows.
        count: Length of the page.
        offset: How many hits to leave out before it.
        allowed: bool [N], the images that are ranked.
    """
    if query.mode == "contains":
        distances = -query_values(query_of(query.terms), query.chances)
    else:
        distances = (
            likelihood_distances(opened.view, query.prior)
            if query.mode == "likelihood"
            else opened.index.distances(query.prior, query.direction).astype(np.float64)
        )
        penalty = match_penalty(query.terms, query.chances)
        distances = distances if penalty is None else distances + penalty
    page = fuse_ranks(
        opened.view.ids,
        {"words": -distances if query.farthest else distances, "attributes": -attributes.values},
        count=count,
        offset=offset,
        allowed=allowed,
    )
    notes = ["scores are 1/(60 + rank) by words and by attributes, added up"]
    if query.mode == "match":
        notes.append("ranks by divergence are those of the float32 scan")
    return replace(page, exact=query.mode != "match", notes=(*page.notes, *notes))


def check_modes(
    mode: str,
    direction: str | None,
    shrinkage: float | None,
    attributes_mode: str,
    *,
    farthest: bool,
    recipe: str | None = None,
) -> None:
    """Refuse options that are none, or that belong to the other mode.

    Raises:
        QueryError: they are.
        GaussianError: λ outside (0, 1], or no such direction.
    """
    for what, given, known in (
        ("mode", mode, MODES),
        ("way to use attributes", attributes_mode, ATTRIBUTES_MODES),
    ):
        if given not in known:
            raise QueryError(f"no {what} {shown(given)}: expected one of {', '.join(known)}")
    if direction is not None:
        check_divergence(direction)
    if shrinkage is not None:
        check_shrinkage(shrinkage)
    of_divergences = direction is not None or farthest or recipe is not None
    if mode == "contains" and (of_divergences or shrinkage is not None):
        raise QueryError(
            "direction, shrinkage, farthest and recipe are of divergences, and contained words have none: "
            "take the mode match"
        )
    if mode == "likelihood" and of_divergences:
        raise QueryError(
            "direction, farthest and recipe are of divergences, and a likelihood has none: take the mode "
            "match"
        )


def term_notes(query: WordQuery) -> list[str]:
    """What a reader must know of the words themselves."""
    notes = word_notes(query.terms, query.understood)
    if query.mode != "contains":
        absent = [term.spelling for term in query.terms if term.negated]
        if absent:
            notes.append(
                f"{', '.join(absent)}: adds weight · ln(1 + e^ratio) nats to the "
                f"{'divergence' if query.mode == 'match' else 'distance'}, an extension of ours"
            )
        if len(absent) == len(query.terms):
            notes.append("no word is to be there: the prior is N(0, I)")
    return notes


def word_notes(terms: Sequence[WordTerm], understood: Sequence[Understood]) -> list[str]:
    """What words were taken for, where they are none of the encoder's own."""
    notes = [str(found) for found in understood if found.basis != "label"]
    if strange := [term.name for term in terms if term.own is None]:
        notes.append(
            f"{', '.join(strange)}: by the vectors of the table, through the encoder's map; it was trained "
            "on no such word"
        )
    return notes


def spelt(query: WordQuery) -> str:
    """What was asked, as a heading."""
    words = canonical(query_of(query.terms))
    if query.mode == "contains":
        return words
    if query.mode == "likelihood":
        return f"{words}, by likelihood"
    far = "farthest by " if query.farthest else "by "
    return f"{words}, {far}{SPELT[query.direction]}"
