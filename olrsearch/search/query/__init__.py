"""The query language: text → frozen syntax tree → canonical spelling."""

from olrsearch.search.query.ast import (
    And,
    Literal,
    Node,
    Not,
    Or,
    canonical,
    conjunction,
    conjuncts,
    disjunction,
    label_names,
    literals,
    negation,
    negation_normal_form,
    weighted,
)
from olrsearch.search.query.parser import parse
from olrsearch.search.query.resolve import resolve_names
from olrsearch.search.query.where import parse_where

__all__ = [
    "And",
    "Literal",
    "Node",
    "Not",
    "Or",
    "canonical",
    "conjunction",
    "conjuncts",
    "disjunction",
    "label_names",
    "literals",
    "negation",
    "negation_normal_form",
    "parse",
    "parse_where",
    "resolve_names",
    "weighted",
]
