"""Matching the names people write with the names labels have.

`wavy hair`, `Wavy_Hair` and `WAVY-HAIR` are one name. An exact spelling always wins, so
even labels that differ in case alone can be told apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from olrsearch.core.names import LabelNames
from olrsearch.search.query.ast import And, Literal, Node, Not, conjunction, disjunction, negation, weighted

if TYPE_CHECKING:
    from collections.abc import Sequence


def resolve_names(node: Node, label_names: Sequence[str]) -> Node:
    """The same tree with every name in the label's own spelling.

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
    children = [_resolve(child, names) for child in node.children]
    joined = conjunction(children) if isinstance(node, And) else disjunction(children)
    return weighted(joined, node.weight)
