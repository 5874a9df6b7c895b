"""The syntax tree of attribute queries.

Trees are frozen, hashable and *normal*: nested conjunctions of weight 1 are flat (and
so are disjunctions), two negations cancel, and weights lie on literals, conjunctions
and disjunctions, never on negations — `(!a)^2` is `!a^2`, since a weight says how much
a condition matters, whichever way it points. `conjunction`, `disjunction`, `negation`
and `weighted` build normal trees; for these `parse(canonical(node)) == node`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from olrsearch.core.errors import QueryError
from olrsearch.core.names import LabelNames
from olrsearch.core.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RESERVED = frozenset({"and", "or", "not"})
"""Words that are operators, in any case; inside a name they need quotes."""

MAX_WEIGHT = 1e200
"""Largest weight of a condition or label: sums of weighted terms stay finite."""

_PLAIN_NAME = re.compile(r"\w[\w-]*(?: \w[\w-]*)*")


@dataclass(frozen=True, slots=True)
class Literal:
    """One label, asked to be present.

    Attributes:
        name: The label's name, as written until `resolve_names` replaces it.
        weight: Factor on the literal's log-probability, > 0.
    """

    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of its child; carries no weight of its own."""

    child: Literal | And | Or


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more children; `weight` > 0 multiplies the sum of their values."""

    children: tuple[Node, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of two or more children; `weight` > 0 multiplies its value."""

    children: tuple[Node, ...]
    weight: float = 1.0


Node: TypeAlias = Literal | Not | And | Or


def conjunction(children: Sequence[Node]) -> Node:
    """`a & b & …`, flat.

    Raises:
        QueryError: there are no children.
    """
    return _join(And, children)


def disjunction(children: Sequence[Node]) -> Node:
    """`a | b | …`, flat.

    Raises:
        QueryError: there are no children.
    """
    return _join(Or, children)


def negation(node: Node) -> Node:
    """`!node`; two negations cancel."""
    return node.child if isinstance(node, Not) else Not(node)


def weighted(node: Node, weight: float) -> Node:
    """`node^weight`; weights of weights multiply.

    Raises:
        QueryError: the weight, or its product with the node's own, is not above 0 and at most
            `MAX_WEIGHT`.
    """
    if isinstance(node, Not):
        return negation(weighted(node.child, weight))
    product = node.weight * weight
    if not (weight > 0 and 0 < product <= MAX_WEIGHT):
        raise QueryError(
            f"a weight must be a finite number above 0 (up to {MAX_WEIGHT:g}), found {shown(weight)}; "
            "leave a condition out to ignore it"
        )
    return replace(node, weight=product)


def _join(kind: type[And | Or], children: Sequence[Node]) -> Node:
    flat: list[Node] = []
    for child in children:
        if isinstance(child, kind) and child.weight == 1.0:
            flat.extend(child.children)
        else:
            flat.append(child)
    if not flat:
        raise QueryError("a query needs at least one label, found none")
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def canonical(node: Node) -> str:
    """The one spelling of a tree: `&`, `|`, `!`, and parentheses only where needed."""
    return _spell(node, parent=0)


def _spell(node: Node, parent: int) -> str:
    """Spell a node; `parent` is the binding strength around it: 0 none, 1 or, 2 and, 3 not."""
    if isinstance(node, Literal):
        return quote_name(node.name) + spell_weight(node.weight)
    if isinstance(node, Not):
        return "!" + _spell(node.child, 3)
    strength, sign = (2, " & ") if isinstance(node, And) else (1, " | ")
    text = sign.join(_spell(child, strength) for child in node.children)
    if node.weight != 1.0:
        return f"({text}){spell_weight(node.weight)}"
    return f"({text})" if parent >= strength else text


def quote_name(name: str) -> str:
    """A name as the parser reads it back: bare where it can be, else in double quotes."""
    bare = _PLAIN_NAME.fullmatch(name) and not RESERVED.intersection(name.casefold().split(" "))
    return name if bare else '"' + name.replace('"', '""') + '"'


def spell_weight(weight: float) -> str:
    """`^2`, `^0.5`; nothing for a weight of 1."""
    if weight == 1.0:
        return ""
    return "^" + repr(float(weight)).removesuffix(".0")


def negation_normal_form(node: Node) -> Node:
    """The same query with negations on literals only (De Morgan); weights stay where they are.

    Since or is defined by De Morgan, this changes no value: `!(a | b)^2` and
    `(!a & !b)^2` are the same function of the probabilities.
    """
    return _push(node, negate=False)


def _push(node: Node, *, negate: bool) -> Node:
    if isinstance(node, Literal):
        return Not(node) if negate else node
    if isinstance(node, Not):
        return _push(node.child, negate=not negate)
    children = [_push(child, negate=negate) for child in node.children]
    return weighted(_join(And if isinstance(node, And) != negate else Or, children), node.weight)


def resolve_names(node: Node, label_names: Sequence[str]) -> Node:
    """The same tree with every name in the label's own spelling; see `olrsearch.core.names`.

    Raises:
        UnknownLabelError: a name no label has; carries the nearest ones.
        QueryError: a name that several labels have.
    """
    return _resolve(node, LabelNames(label_names))


def _resolve(node: Node, names: LabelNames) -> Node:
    if isinstance(node, Literal):
        return replace(node, name=names.find(node.name))
    if isinstance(node, Not):
        return negation(_resolve(node.child, names))
    return weighted(_join(type(node), [_resolve(child, names) for child in node.children]), node.weight)


def literal_names(node: Node) -> tuple[str, ...]:
    """The names in a tree, each once, from left to right."""
    if isinstance(node, Literal):
        return (node.name,)
    parts = (node.child,) if isinstance(node, Not) else node.children
    return tuple(dict.fromkeys(name for part in parts for name in literal_names(part)))


def conjuncts(node: Node) -> tuple[Node, ...]:
    """The terms whose values add up to the query's value, in negation normal form.

    A weighted conjunction is spread over its terms, `(a & b)^2` into `a^2` and `b^2`,
    so the terms are literals (perhaps negated) and disjunctions.
    """
    return tuple(_terms(negation_normal_form(node), 1.0))


def _terms(node: Node, weight: float) -> Iterator[Node]:
    if isinstance(node, And):
        for child in node.children:
            yield from _terms(child, weight * node.weight)
    else:
        yield weighted(node, weight)
