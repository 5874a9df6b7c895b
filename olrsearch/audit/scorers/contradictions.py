"""Evidence from rules: an image's other labels exclude this one, or imply it.

Notation: N images, L labels; n rows of one fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.audit.scorers.rules import Rule, count_rules, mine_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32
    from olrsearch.core.progress import Track

MOST_BROKEN: Final = 0.01
"""What a rule of the user's is taken to be broken by at most, whatever the labels say of it."""


class _Verdict(NamedTuple):
    """What one rule says of one label when another one has a certain value."""

    broken: float  # the probability of what the rule excludes
    present: float  # that of the label
    target: int
    trigger: int
    value: int
    rule: Rule


class Contradictions:
    """How often a label is present where another one has the value it has, by the surest rule.

    Rules are mined from the other folds, so none about an image has counted it. A rule speaks of a label
    when the image's other label fulfils its condition: the probability of the excluded value is the share
    of images of the other folds that break the rule so, plus half an image for and half against (Jeffreys'
    prior). Of several rules the one that is broken least often counts. Rules of the user's are taken at
    their word: their share is at most `MOST_BROKEN`. Where no rule speaks there is no evidence.

    Args:
        own: Rules of the user's for the labels of the material (`read_rules`).
    """

    name = "contradictions"
    summary = "other labels of the image exclude or imply it, by mined rules and the user's"

    def __init__(self, own: Sequence[Rule] = ()) -> None:
        self._own = tuple(own)

    def evidence(self, material: Material, *, track: Track) -> F32:
        """Probabilities that labels are present, float32 [L, N]; NaN where no rule speaks."""
        out = np.full((material.labels, material.images), np.nan, np.float32)
        for fold in track(range(material.folds), total=material.folds, what=self.name, unit="folds"):
            rows = material.inside(fold)
            given = material.given[rows]
            # The surest are written last, over the others.
            for verdict in reversed(self._verdicts(material, fold)):
                out[verdict.target, rows[given[:, verdict.trigger] == verdict.value]] = verdict.present
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """The rule that counts, with its numbers."""
        given = material.given[row]
        speaking = [
            verdict
            for verdict in self._verdicts(material, int(material.fold[row]))
            if verdict.target == label and given[verdict.trigger] == verdict.value
        ]
        if present is None or not speaking:
            return Explanation("no rule about it applies to this image's other labels")
        verdict = speaking[0]
        state = "present" if verdict.value > 0 else "absent"
        whose = " (a rule of the user's)" if verdict.rule.source == "file" else ""
        text = f"{material.names[verdict.trigger]} is given as {state}, and {verdict.rule.text}{whose}"
        return Explanation(text)

    def _verdicts(self, material: Material, fold: int) -> list[_Verdict]:
        """What rules say of the images of a fold, the surest first."""
        given = material.given[material.fold != fold]
        own = count_rules(self._own, given)
        # Of a rule that is both mined and the user's, the user's comes last and stays.
        mined = mine_rules(material.names, given)
        rules = {(rule.labels, rule.values): rule for rule in (*mined, *own)}
        found = []
        for rule in rules.values():
            most = MOST_BROKEN if rule.source == "file" else 1.0
            for target, trigger in ((0, 1), (1, 0)):
                broken = min((rule.observed + 0.5) / (rule.support[trigger] + 1), most)
                present = broken if rule.values[target] > 0 else 1 - broken
                labels = rule.labels[target], rule.labels[trigger]
                found.append(_Verdict(broken, present, *labels, rule.values[trigger], rule))
        return sorted(found, key=lambda verdict: verdict.broken)
