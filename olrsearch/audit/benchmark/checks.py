"""P4: whether estimated error rates tell what was injected, and what labels contradict themselves in (N5).

Labels had errors before, so an estimate is judged by its difference to the estimate on the labels as they
were.

Notation: N images, L labels.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.audit.benchmark.report import ContradictionCheck, EstimateCheck
from olrsearch.audit.scorers.rules import mine_rules, violations
from olrsearch.evaluation.data import find_label
from olrsearch.evaluation.metrics import finite_mean, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.audit.evidence.estimates import LabelErrors
    from olrsearch.audit.scorers.rules import Rule
    from olrsearch.core.arrays import F64, I8, I64


EXPECTED: Final = (
    ("No_Beard", "Goatee"),
    ("Straight_Hair", "Wavy_Hair"),
    *combinations(("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"), 2),
)
"""Pairs of CelebA's labels that P4 expects to exclude each other: nothing that mining sees."""


def check_estimates(
    noise: str,
    seed: int,
    original: I8,
    given: I8,
    before: Sequence[LabelErrors],
    after: Sequence[LabelErrors],
) -> EstimateCheck:
    """Estimates on noisy labels against what was injected.

    Args:
        noise: Title of the noise.
        seed: Of the noise.
        original: int8 [N, L].
        given: int8 [N, L], the same with errors.
        before: Estimates on the original, L of them.
        after: On the noisy labels.
    """
    flips = given != original
    injected = _share(flips, given != 0)
    rise = _rates(after, "total") - _rates(before, "total")
    low = np.array([one.total.low for one in after]) - _rates(before, "total")
    high = np.array([one.total.high for one in after]) - _rates(before, "total")
    usable = np.isfinite(low) & np.isfinite(high) & np.isfinite(injected)
    inside = (low <= injected) & (injected <= high)
    sides = {
        name: _rates(after, name) - _rates(before, name) - _share(flips & (given == value), given == value)
        for name, value in (("false_absent", -1), ("false_present", 1))
    }
    return EstimateCheck(
        noise=noise,
        seed=seed,
        injected=finite_mean(injected),
        estimated=finite_mean(rise),
        off=finite_mean(np.abs(rise - injected)),
        within=float(inside[usable].mean()) if usable.any() else float("nan"),
        false_absent=finite_mean(sides["false_absent"]),
        false_present=finite_mean(sides["false_present"]),
    )


def _rates(errors: Sequence[LabelErrors], which: str) -> F64:
    return np.array([getattr(one, which).rate for one in errors], np.float64)


def _share(part: np.ndarray, whole: np.ndarray) -> F64:
    return ratio(part.sum(axis=0), whole.sum(axis=0))


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
