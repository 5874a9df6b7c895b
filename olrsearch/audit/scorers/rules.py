"""Rules between labels: what excludes or implies what, mined from given labels or read from a user's file.

A rule is two *conditions* that no image should fulfil together, each a label and a value (+1 present,
−1 absent). Two labels present are an exclusion (`No_Beard` and `Goatee`); one present and one absent are
an implication (`Goatee` implies `Male`), and so are two absent (without `No_Beard` there is `Male`).

A pair of conditions is a rule where images fulfil both far less often than chance would have it, and the
rarer of the two hardly ever comes with the other. Names play no part in mining. Unknown labels count
nowhere: a pair is judged by the images that know both labels.

Notation: N images, L labels; the 2L conditions are numbered absent (0 … L−1), then present (L … 2L−1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
from scipy.special import gammainccinv

from olrsearch.core.arrays import blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.core.arrays import F64, I8, I64, Bool

Kind: TypeAlias = Literal["exclusion", "implication"]
Source: TypeAlias = Literal["mined", "file"]

MOST_LIFT: Final = 1 / 3
"""Largest upper limit of a mined rule's lift; see `Rule.limit`."""

LEAST_CONFIDENCE: Final = 0.95
"""Smallest confidence of a mined rule: what is broken more often is a habit."""

ALTERNATIVE_CONFIDENCE: Final = 0.9
"""Smallest confidence of an exclusion between labels that others already tell to be alternatives."""

LEVEL: Final = 0.05
"""Probability that the limit of any one pair of conditions is too low, of all pairs together."""

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Rule:
    """Two conditions that exclude each other, and how often they do.

    Attributes:
        labels: Positions of the two labels.
        names: Their names.
        values: The value of each that makes the condition: (1, 1) an exclusion; (1, −1) the first
            implies the second; (−1, −1) one of the two is always there.
        images: How many images know both labels.
        support: How many of these fulfil each condition.
        observed: How many fulfil both, and so break the rule.
        limit: Upper confidence limit of the lift, corrected for the number of pairs; inf without support.
        source: `mined` from given labels, or from a user's `file`.
    """

    labels: tuple[int, int]
    names: tuple[str, str]
    values: tuple[int, int]
    images: int = 0
    support: tuple[int, int] = (0, 0)
    observed: int = 0
    limit: float = np.inf
    source: Source = "mined"

    @property
    def kind(self) -> Kind:
        """What it says of the first label and the second."""
        return "exclusion" if self.values == (1, 1) else "implication"

    @property
    def expected(self) -> float:
        """How many images would break it by chance, were the two labels independent."""
        return self.support[0] * self.support[1] / self.images if self.images else 0.0

    @property
    def lift(self) -> float:
        """Observed by expected; NaN where nothing is expected."""
        return self.observed / self.expected if self.expected else np.nan

    @property
    def confidence(self) -> float:
        """1 − P(the commoner condition | the rarer one); NaN where neither or one alone has support."""
        rarer = min(self.support)
        return 1 - self.observed / rarer if rarer else np.nan

    @property
    def statement(self) -> str:
        """What it says, without numbers."""
        first, second = self.names
        if self.values == (1, 1):
            return f"{first} and {second} exclude each other"
        if self.values == (1, -1):
            return f"{first} implies {second}"
        return f"{first} or {second} is always there"

    @property
    def text(self) -> str:
        """What it says and how often it holds, in one sentence for people."""
        if not self.images:
            return f"{self.statement} (no image knows both)"
        rarer = 0 if self.support[0] <= self.support[1] else 1
        given, other = self.names[rarer], self.names[1 - rarer]
        if self.values == (1, 1):
            broken = "have both"
        else:
            owner = "with" if self.values[rarer] > 0 else "without"
            verb = "have" if self.values[1 - rarer] > 0 else "lack"
            broken = f"{owner} {given} {verb} {other}"
        return (
            f"{self.statement}: {self.observed:,} of {self.support[rarer]:,} {broken}, "
            f"{self.expected:,.0f} expected"
        )


def mine_rules(names: Sequence[str], given: I8) -> tuple[Rule, ...]:
    """The rules that given labels follow, the surest first.

    The number of images that break a rule is taken for a Poisson count. A pair is a rule where the
    upper confidence limit of its mean, at `LEVEL` over all pairs of conditions (Bonferroni), is at
    most `MOST_LIFT` times the number expected of independent labels, and where its confidence is at
    least `LEAST_CONFIDENCE`. Where five of the six pairs of four labels are exclusions in this sense, the
    four are alternatives (colours of hair), and their sixth pair is a rule as soon as the limit of its lift
    is below 1 and its confidence at least `ALTERNATIVE_CONFIDENCE`. Rules are ordered by the limit: strict
    ones with much support come first. Labels with one class, or with a few positives, are in no rule.

    Args:
        names: Of the L labels; they are put into the rules and decide nothing.
        given: int8 [N, L] of −1, 0, +1; not changed.

    Source: exact limits of a Poisson mean, Garwood (1936), Biometrika 28, 437-442.
    """
    labels = len(names)
    observed, support, limit = counts = _counts(given)
    rarer = np.minimum(support, support.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        broken = observed / rarer
    strict = (limit <= MOST_LIFT) & (broken <= 1 - LEAST_CONFIDENCE)
    weak = (limit < 1) & (broken <= 1 - ALTERNATIVE_CONFIDENCE)
    one, two = np.nonzero(np.triu(strict | _alternatives(strict, weak), 1))
    found = [
        never((c % labels, d % labels), (1 if c >= labels else -1, 1 if d >= labels else -1), names)
        for c, d in zip(one.tolist(), two.tolist(), strict=True)
    ]
    return tuple(sorted(_filled(found, *counts), key=lambda rule: (rule.limit, rule.labels, rule.values)))


def never(
    labels: tuple[int, int], values: tuple[int, int], names: Sequence[str], *, source: Source = "mined"
) -> Rule:
    """The rule that no image fulfils two conditions, not yet counted.

    The present condition comes first; of two alike, the lower position.

    Args:
        labels: Positions of two different labels.
        values: −1 or +1 for each.
        names: Of all L labels.
        source: Where it is from.
    """
    (value, label), (second_value, second) = sorted(
        zip(values, labels, strict=True), key=lambda condition: (-condition[0], condition[1])
    )
    return Rule((label, second), (names[label], names[second]), (value, second_value), source=source)


def count_rules(rules: Iterable[Rule], given: I8) -> tuple[Rule, ...]:
    """The same rules with the numbers they have in these labels, in the same order.

    Args:
        rules: Mined elsewhere, or read from a file.
        given: int8 [N, L]; not changed.
    """
    return tuple(_filled(rules, *_counts(given)))


def violations(rules: Sequence[Rule], given: I8) -> tuple[I64, I64]:
    """Which images break which rules.

    Args:
        rules: R rules.
        given: int8 [N, L]; an unknown label breaks nothing.

    Returns:
        Rows of images and positions of rules, int64 [n] each, ordered by rule and then by row.
    """
    rows = [np.flatnonzero((given[:, rule.labels] == rule.values).all(axis=1)) for rule in rules]
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(rows), np.repeat(np.arange(len(rules)), [len(some) for some in rows])


def _counts(given: I8) -> tuple[F64, F64, F64]:
    """What given labels say of each two conditions, float64 [2L, 2L] each.

    Returns:
        How many images fulfil both; how many fulfil one (rows) and know the other's label (columns); and the
        upper confidence limits of the lift, inf without support, and for a label itself.
    """
    labels = given.shape[1]
    observed = np.zeros((2 * labels, 2 * labels))
    for block in blocks_of(given, _BLOCK):
        fulfilled = np.concatenate([block < 0, block > 0], axis=1).astype(np.float32)
        observed += fulfilled.T @ fulfilled  # sums of at most _BLOCK ones are exact in float32
    support = observed + np.roll(observed, labels, axis=1)
    pairs = max(1, 2 * labels * (labels - 1))
    images = support + np.roll(support, labels, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = support * support.T / images
        limit: F64 = gammainccinv(observed + 1, LEVEL / pairs) / expected
    place = np.arange(2 * labels) % labels
    limit[~(expected > 0) | (place[:, None] == place)] = np.inf
    return observed, support, limit


def _alternatives(strict: Bool, weak: Bool) -> Bool:
    """Weak exclusions of two labels that both exclude two labels that exclude each other, bool [2L, 2L]."""
    labels = len(strict) // 2
    exclude = strict[labels:, labels:]
    out = np.zeros_like(strict)
    for a, b in np.argwhere(weak[labels:, labels:]):
        both = np.flatnonzero(exclude[a] & exclude[b])
        out[labels + a, labels + b] = exclude[np.ix_(both, both)].any()
    return out


def _filled(rules: Iterable[Rule], observed: F64, support: F64, limit: F64) -> list[Rule]:
    labels = len(observed) // 2
    out = []
    for rule in rules:
        c, d = (label + labels * (value > 0) for label, value in zip(rule.labels, rule.values, strict=True))
        out.append(
            replace(
                rule,
                images=int(support[c, d] + support[(c + labels) % (2 * labels), d]),
                support=(int(support[c, d]), int(support[d, c])),
                observed=int(observed[c, d]),
                limit=float(limit[c, d]),
            )
        )
    return out
