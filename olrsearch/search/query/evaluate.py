"""The value of a query for every image: log-probabilities of literals, put together by and, or and not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.maths.calibration import log_sigmoid
from olrsearch.search.query.ast import And, Node, Not, conjuncts
from olrsearch.search.query.ast import Literal as LabelLiteral

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olrsearch.core.arrays import F64


def log1m_exp(value: F64) -> F64:
    """log(1 − exp(x)) for x ≤ 0, float64; −inf at 0.

    Source: Mächler 2012, "Accurately computing log(1 − exp(−|a|))".
    """
    with np.errstate(divide="ignore"):
        near_zero = value > -np.log(2.0)
        out: F64 = np.where(
            near_zero, np.log(-np.expm1(np.where(near_zero, value, -1.0))), np.log1p(-np.exp(value))
        )
    return out


def log_either(values: Sequence[F64]) -> F64:
    """log(1 − Π(1 − exp v_i)): at least one of independent events; float64, ≤ 0.

    Precise at both ends: sums of tiny probabilities do not vanish (no −inf for finite
    values), and near certainty images keep their order.
    """
    total = values[0]
    missing = log1m_exp(values[0])
    for value in values[1:]:
        # a + b(1 − a), in logarithms: no difference of nearly equal numbers
        total = np.minimum(np.logaddexp(total, value + log1m_exp(total)), 0.0)  # rounding may leave 1e-17
        missing = missing + log1m_exp(value)
    sure = missing < -np.log(2.0)
    out: F64 = np.where(sure, log1m_exp(np.where(sure, missing, -1.0)), np.minimum(total, 0.0))
    return out


def literals(logits: Callable[[str], F64]) -> Callable[[str, bool], F64]:
    """The function `evaluate` asks: log p by name, or log(1 − p), of logits that are read once each."""
    known: dict[str, F64] = {}

    def literal_value(name: str, negate: bool) -> F64:
        if name not in known:
            known[name] = logits(name)
        return log_sigmoid(-known[name] if negate else known[name])

    return literal_value


def evaluate(node: Node, literal_value: Callable[[str, bool], F64]) -> tuple[F64, list[tuple[Node, F64]]]:
    """The value of a query for some images, and its parts.

    A literal's value is its weight times log p, or log(1 − p) if negated; a conjunction is
    the sum of its terms, a disjunction follows by De Morgan, and a weight multiplies.

    Args:
        node: The query, names resolved.
        literal_value: log-probabilities [n] of a label's presence, or of its absence where the
            second argument is true.

    Returns:
        Values float64 [n], and each term of the topmost conjunction (in negation normal
        form) with its values: these add up to the first, in this order, exactly.
    """
    terms = [(term, _value(term, literal_value)) for term in conjuncts(node)]
    total = terms[0][1].copy()
    for _, value in terms[1:]:
        total += value
    return total, terms


def _value(node: Node, literal_value: Callable[[str, bool], F64]) -> F64:
    """Value of a node in negation normal form."""
    if isinstance(node, LabelLiteral):
        return node.weight * literal_value(node.name, False)
    if isinstance(node, Not):
        if not isinstance(node.child, LabelLiteral):
            raise QueryError("a negation stands over a group: bring the query to negation normal form first")
        return node.child.weight * literal_value(node.child.name, True)
    parts = [_value(child, literal_value) for child in node.children]
    value = np.sum(parts, axis=0) if isinstance(node, And) else log_either(parts)
    out: F64 = node.weight * value
    return out
