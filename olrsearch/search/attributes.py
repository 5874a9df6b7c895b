"""Attribute queries: which images most probably have these labels and lack those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.search.page import Page, ranked
from olrsearch.search.query.ast import Not, Or, canonical, resolve_names, weighted
from olrsearch.search.query.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.core.arrays import F64, Bool
    from olrsearch.search.index.view import Images
    from olrsearch.search.query.ast import Node


class LiteralScores(Protocol):
    """Log-probabilities of literals: of labels (`LabelScores`), or of words (`WordProbabilities`)."""

    @property
    def view(self) -> Images:
        """The N images."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names that a query may use."""

    def literal_values(self) -> Callable[[str, bool], F64]:
        """See `evaluate`: log-probabilities [N] of a name, or of its absence."""
        ...


def query_values(node: Node, scores: LiteralScores) -> F64:
    """The log-probability of a query for all images, float64 [N] in the view's rows.

    Raises:
        UnknownLabelError: the query names a label that the scores do not have.
        QueryError: a name fits several labels.
    """
    return evaluate(resolve_names(node, scores.label_names), scores.literal_values())[0]


def search_attributes(
    node: Node,
    scores: LiteralScores,
    *,
    count: int = 20,
    offset: int = 0,
    min_score: float | None = None,
    allowed: Bool | None = None,
) -> Page:
    """Rank all images by the log-probability that they satisfy a query.

    Args:
        node: The parsed query; names are matched with the scores' labels here.
        scores: Log-probabilities of labels, by the evidence that counts.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        min_score: Cut-off on the score in nats, ≤ 0 to let anything through.
        allowed: bool [N] in the view's rows, the images that count; all when None.

    Returns:
        Hits by falling score. For a conjunction the contributions are its terms, and they
        add up to the score; for a disjunction they are its alternatives, each with its own value.

    Raises:
        UnknownLabelError: the query names a label the encoder does not have.
        QueryError: a name fits several labels, or the cut-off is NaN.
    """
    resolved = resolve_names(node, scores.label_names)
    if min_score is not None and np.isnan(min_score):
        raise QueryError("the score cut-off is not a number, expected nats such as -1.5")
    literal_value = scores.literal_values()
    values, terms = evaluate(resolved, literal_value)
    if len(terms) == 1 and isinstance(terms[0][0], Or):
        # One alternative is enough, so the alternatives are what explains a hit.
        top = terms[0][0]
        terms = [
            (weighted(child, top.weight), evaluate(child, literal_value)[0] * top.weight)
            for child in top.children
        ]
    return ranked(
        canonical(resolved),
        scores.view.ids,
        -values,
        lambda rows: [
            (canonical(term), value[rows], np.exp(value[rows] / _weight(term))) for term, value in terms
        ],
        count=count,
        offset=offset,
        max_distance=None if min_score is None else -min_score,
        allowed=allowed,
    )


def _weight(node: Node) -> float:
    """The factor that a term's value carries, whose exp() would be no probability."""
    return node.child.weight if isinstance(node, Not) else node.weight
