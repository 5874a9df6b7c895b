"""The query language: text → frozen syntax tree → canonical spelling."""

from olrsearch.query.ast import (
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
from olrsearch.query.names import LabelNames, nearest_names, normalise_name, resolve_names
from olrsearch.query.parser import parse
from olrsearch.query.where import parse_where

__all__ = [
    "And",
    "LabelNames",
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
    "nearest_names",
    "negation",
    "negation_normal_form",
    "normalise_name",
    "parse",
    "parse_where",
    "resolve_names",
    "weighted",
]
