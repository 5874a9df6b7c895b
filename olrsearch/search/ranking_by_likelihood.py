"""Ranking images by the likelihood of their means under the Gaussian of a set of words.

Notation: N images (rows of a view), d dimensions.

Source: paper 003 (an image is represented by its mean, a label by its Gaussian). Negated words are ours, as
in `ranking_by_divergence`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.search.kl.view import check_means
from olrsearch.search.page import ranked
from olrsearch.search.query.ast import canonical
from olrsearch.search.ranking_by_divergence import match_penalty, term_shares
from olrsearch.search.results import LIKELIHOOD
from olrsearch.search.word_terms import query_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64, Bool
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.view import KlView
    from olrsearch.search.page import Page
    from olrsearch.search.word_terms import WordProbabilities, WordTerm

_BLOCK_NUMBERS: Final = 1 << 19


def likely_words(
    view: KlView,
    terms: Sequence[WordTerm],
    prior: Gaussians,
    probabilities: WordProbabilities,
    *,
    count: int = 20,
    offset: int = 0,
    allowed: Bool | None = None,
) -> Page:
    """Rank images by ln N(μ; prior of the set), μ their means, exactly.

    Args:
        view: The images.
        terms: The words.
        prior: From `match_prior`.
        probabilities: Of these words, over the same view.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        allowed: bool [N], the images that count; all when None.

    Returns:
        Hits by falling log-likelihood, nats, less what negated words take off; contributions as in
        `match_words`.

    Raises:
        VectorError: a mean holds NaN or infinity; the image is named.
    """
    distances = likelihood_distances(view, prior)
    penalty = match_penalty(terms, probabilities)
    total = distances if penalty is None else distances + penalty
    page = ranked(
        canonical(query_of(terms)),
        view.ids,
        total,
        lambda rows: [(LIKELIHOOD, -distances[rows], None), *term_shares(terms, probabilities, rows)],
        count=count,
        offset=offset,
        allowed=allowed,
    )
    return replace(page, exact=True)


def likelihood_distances(view: KlView, prior: Gaussians) -> F64:
    """−ln N(μ; prior) of all images, float64 [N] nats.

    Args:
        view: The images.
        prior: A batch of one.

    Raises:
        VectorError: a mean holds NaN or infinity; the image is named.
    """
    out = np.empty(len(view))
    step = max(1, _BLOCK_NUMBERS // view.size)
    for number, rows, alive in view.layout():
        part = view.parts[number]
        found = np.empty(len(part.ids))
        for start in range(0, len(found), step):
            block = slice(start, start + step)
            mean = part.mean[block].astype(np.float64)
            check_means(part.ids[block], mean)
            found[block] = -prior.log_likelihood(mean)[0]
        out[rows] = found if alive is None else found[alive]
    return out
