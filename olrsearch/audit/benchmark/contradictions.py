"""N5: whether mined rules find what labels contradict themselves in, and how often twins disagree."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.benchmark.report import ContradictionCheck
from olrsearch.audit.scorers.rules import mine_rules, violations
from olrsearch.evaluation.data import find_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.audit.scorers.rules import Rule
    from olrsearch.core.arrays import I8, I64

EXPECTED: Final = (
    ("No_Beard", "Goatee"),
    ("Straight_Hair", "Wavy_Hair"),
    *combinations(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"), 2),
)
"""Pairs of CelebA's labels that P4 expects to exclude each other: nothing that mining sees."""


def check_contradictions(
    label_names: Sequence[str], given: I8, *, twins: I64 | None, seed: int
) -> ContradictionCheck:
    """Mine rules, under these names and under others, and compare images of the same picture.

    Args:
        label_names: L names.
        given: int8 [N, L].
        twins: int64 [P, 2], rows that show the same picture; None where nobody looked.
        seed: Of the order of the labels under other names.
    """
    rules = mine_rules(label_names, given)
    places = [tuple(find_label(label_names, name) for name in pair) for pair in EXPECTED]
    expected = [frozenset((place, 1) for place in pair) for pair in places if None not in pair]
    mined = {_conditions(rule) for rule in rules}
    order = np.random.default_rng([seed, 0x0EA3]).permutation(len(label_names))
    renamed = mine_rules([f"label {place}" for place in range(len(order))], given[:, order])
    counts = Counter(violations(rules, given)[1].tolist())
    disagreeing = disagreements = 0
    if twins is not None:
        one, other = given[twins[:, 0]], given[twins[:, 1]]
        differ = one * other < 0
        disagreeing, disagreements = int(differ.any(axis=1).sum()), int(differ.sum())
    return ContradictionCheck(
        rules=tuple(rule.text for rule in rules),
        violations=tuple(counts[place] for place in range(len(rules))),
        expected=len(expected) or None,
        surfaced=sum(pair in mined for pair in expected),
        renamed={_conditions(rule, order) for rule in renamed} == mined,
        twins=None if twins is None else len(twins),
        disagreeing=disagreeing,
        disagreements=disagreements,
    )


def _conditions(rule: Rule, order: I64 | None = None) -> frozenset[tuple[int | None, int]]:
    """A rule's two conditions as (label, value); of labels in another order, by their place before it."""
    labels = rule.labels if order is None else tuple(int(order[label]) for label in rule.labels)
    return frozenset(zip(labels, rule.values, strict=True))
