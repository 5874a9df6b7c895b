"""All evidence of an entry taken together: how probable it is that the label is truly present.

A logistic regression weighs what the scorers say against each other and against what is given. It is fitted
where the truth is known: on labels into which known errors were put, and on entries that people reviewed.

Notation: N images, L labels, S scorers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import expit, logit

from olrsearch.audit.evidence.checks import check_evidence
from olrsearch.core.errors import AuditError
from olrsearch.maths.logistic import fit_logistic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, I8, Bool, Floats

TETHER: Final = 300.0
"""How strongly a label's own weights are held to those of all labels together."""

HELD: Final = 100.0
"""How strongly reviews have to pull at the weight of a scorer."""
MOVING: Final = 1.0
"""The same for the constants of given present and given absent."""

CLIP: Final = 8.0
"""Evidence beyond these log-odds, either way, counts no more."""

_LEAST_SHARE: Final = 1e-4
_GIVEN: Final = 3  # columns after the scorers': given present, given absent, the label's log-odds
_FREQUENCY: Final = -1
GIVEN_PRESENT: Final = -3
"""Which of a label's weights is its constant for what is given as present."""
GIVEN_ABSENT: Final = -2
"""The same for absent."""


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """ln odds of present = Σ_s w_s (ln odds of scorer s − ln odds of the label) + what is given + label.

    Evidence counts by how far it moves the odds of the label away from its frequency; a scorer that says
    nothing moves them nowhere. What is given counts as present and as absent apart.

    Attributes:
        scorers: S names, in the order of the weights.
        weight: float64 [L, S + 3]: each label's weights, its constants for given present and given absent,
            and the factor of its ln odds.
        pooled: float64 [S + 3], weights of all labels together, for labels that are not among these.
        labels: L names.
    """

    scorers: tuple[str, ...]
    labels: tuple[str, ...]
    weight: F64
    pooled: F64

    def present(self, evidence: Mapping[str, F32], given: I8, labels: Sequence[str]) -> F32:
        """Probabilities that labels are truly present, all things taken together.

        Args:
            evidence: float32 [L', N] by scorer, NaN = says nothing.
            given: int8 [N, L'].
            labels: Names of the L' labels.

        Returns:
            float32 [L', N].

        Raises:
            AuditError: a scorer is missing, or shapes do not fit.
        """
        out = np.empty((len(labels), len(given)), np.float32)
        for row, odds in enumerate(self.log_odds(evidence, given, labels)):
            out[row] = expit(odds)
        return out

    def log_odds(self, evidence: Mapping[str, F32], given: I8, labels: Sequence[str]) -> Iterator[F64]:
        """The same as log-odds, label by label: L' times float64 [N]."""
        _check(self.scorers, evidence, given, labels)
        weights = enumerate(self.of(labels))
        return (_columns(self.scorers, evidence, given, row) @ weight for row, weight in weights)

    def of(self, labels: Sequence[str]) -> F64:
        """Weights of some labels, float64 [L', S + 3]: their own, or those of all where they have none."""
        known = {name: row for row, name in enumerate(self.labels)}
        own = [self.weight[known[name]] if name in known else self.pooled for name in labels]
        return np.stack(own) if own else self.weight[:0]

    def restricted(self, scorers: Sequence[str]) -> Combination:
        """The same with some scorers alone, in this order; what the others weighed is theirs, in proportion.

        Args:
            scorers: Which of the S; one that has no weight here gets none.

        Raises:
            AuditError: none of them weighs anything.
        """
        column = {name: place for place, name in enumerate(self.scorers)}
        kept = [column[name] for name in scorers if name in column]
        total, left = self.pooled[: len(column)].sum(), self.pooled[kept].sum()
        if left <= 0:
            raise AuditError(
                f"these weights say nothing of {', '.join(scorers) or 'no scorer'}: they are of "
                f"{', '.join(self.scorers)}; learn others from injected errors"
            )
        place = np.array([column.get(name, -1) for name in scorers])

        def chosen(weight: F64) -> F64:
            own = np.where(place >= 0, weight[..., place], 0.0) * (total / left)
            return np.concatenate([own, weight[..., -_GIVEN:]], axis=-1)

        return Combination(tuple(scorers), self.labels, chosen(self.weight), chosen(self.pooled))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` gives back the very same numbers."""
        return {
            "scorers": list(self.scorers),
            "labels": list(self.labels),
            "weight": self.weight.tolist(),
            "pooled": self.pooled.tolist(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Combination:
        """The combination `to_dict` described.

        Raises:
            AuditError: a field is missing, of another shape, or not finite.
        """
        try:
            scorers, labels = tuple(data["scorers"]), tuple(data["labels"])
            size = len(scorers) + _GIVEN
            # No labels, no rows: an empty list has lost how long they would be.
            weight = np.asarray(data["weight"], np.float64) if labels else np.empty((0, size))
            pooled = np.asarray(data["pooled"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise AuditError(f"weights of evidence are damaged ({error!r}): run the audit again") from error
        if weight.shape != (len(labels), size) or pooled.shape != (size,):
            raise AuditError(
                f"weights of evidence have the shapes {weight.shape} and {pooled.shape}, expected "
                f"{(len(labels), size)} and {(size,)}: run the audit again"
            )
        if not (np.isfinite(weight).all() and np.isfinite(pooled).all()):
            raise AuditError("weights of evidence are not finite: run the audit again")
        return cls(scorers, labels, weight, pooled)


def fit_combination(
    evidence: Mapping[str, F32], given: I8, truth: I8, labels: Sequence[str], *, weight: Floats | None = None
) -> Combination:
    """Weigh scorers where the truth is known.

    First all labels together; then each label's own weights, held to the common ones, so that a label with
    few errors to learn from keeps them.

    Args:
        evidence: float32 [L, N] by scorer, of the given labels; NaN = says nothing.
        given: int8 [N, L], with known errors in them.
        truth: int8 [N, L], without.
        labels: L names.
        weight: float [N, L] ≥ 0, how often an entry counts; once each when None.

    Raises:
        AuditError: shapes do not fit, evidence is no probability, or nothing is known.
    """
    scorers = tuple(evidence)
    _check(scorers, evidence, given, labels)
    for what, values in (("truth", truth), ("weights", weight)):
        if values is not None and values.shape != given.shape:
            raise AuditError(f"labels {given.shape} and {what} {values.shape}: expected one shape")
    parts = [_entries(scorers, evidence, given, truth, weight, row) for row in range(len(labels))]
    if not any(len(target) for _, target, _ in parts):
        raise AuditError("no entry has a known label, so there is nothing to weigh evidence by")
    start = np.zeros(len(scorers) + _GIVEN)
    start[: len(scorers)] = 1.0 / max(1, len(scorers))
    pooled = fit_logistic(parts, start, np.full(len(start), 1e-3), np.zeros(len(start)))
    tether = np.full(len(start), TETHER)
    own = [fit_logistic([part], pooled, tether, pooled) if len(part[1]) else pooled for part in parts]
    return Combination(scorers, tuple(labels), np.stack(own), pooled)


def adapt_combination(
    base: Combination,
    evidence: Mapping[str, F32],
    given: I8,
    truth: I8,
    labels: Sequence[str],
    *,
    frequency: Floats,
) -> Combination:
    """Let entries that people reviewed speak: each label's weights move from `base` as far as they ask for.

    Few reviews say little of what scorers are worth and much of the direction in which a label is wrong, so
    its constants for given present and given absent move easily, and the weights of scorers hardly.

    Args:
        base: What was known before.
        evidence: float32 [L, N] by scorer.
        given: int8 [N, L], before the review.
        truth: int8 [N, L], as reviewed; 0 where an entry was not.
        labels: L names.
        frequency: float [L], the labels' shares of present among all images, which these few cannot tell.

    Raises:
        AuditError: shapes do not fit, or a scorer is missing.
    """
    _check(base.scorers, evidence, given, labels)
    if truth.shape != given.shape or frequency.shape != (len(labels),):
        raise AuditError(
            f"labels {given.shape}, truth {truth.shape} and frequencies {frequency.shape} do not fit: "
            "expected twice [N, L], and [L]"
        )
    hold = np.full(len(base.pooled), HELD)
    hold[[GIVEN_PRESENT, GIVEN_ABSENT]] = MOVING
    own = []
    for row, before in enumerate(base.of(labels)):
        entries = _entries(base.scorers, evidence, given, truth, None, row, float(frequency[row]))
        own.append(fit_logistic([entries], before, hold, before) if len(entries[1]) else before)
    return Combination(base.scorers, tuple(labels), np.stack(own), base.pooled)


def odds_beyond(evidence: F32, base: float | F64) -> F64:
    """By how much evidence moves the log-odds away from those of the label, float64; 0 where it is NaN.

    Args:
        evidence: float32 [n], probabilities that the label is present, or [n, L]; NaN = nothing to say.
        base: Log-odds of the label, nats, or of L labels, float64 [L].
    """
    with np.errstate(divide="ignore"):  # of 0 and 1 the log-odds are infinite, and clipped at once
        odds = np.clip(logit(evidence.astype(np.float64)), -CLIP, CLIP)
    out: F64 = np.nan_to_num(odds - base, nan=0.0)
    return out


def _check(scorers: Sequence[str], evidence: Mapping[str, F32], given: I8, labels: Sequence[str]) -> None:
    if missing := [name for name in scorers if name not in evidence]:
        raise AuditError(f"no evidence of {', '.join(missing)}, found {', '.join(evidence) or 'none'}")
    if given.shape[1] != len(labels):
        raise AuditError(f"labels {given.shape} of {len(labels)} names: expected [N, L]")
    check_evidence({name: evidence[name] for name in scorers}, given)


def _columns(
    scorers: Sequence[str],
    evidence: Mapping[str, F32],
    given: I8,
    label: int,
    frequency: float | None = None,
    rows: Bool | slice = slice(None),
) -> F64:
    """What the weights of one label multiply, of some rows or all, float64 [n, S + 3]."""
    value = given[:, label]
    if frequency is None:
        frequency = int((value > 0).sum()) / max(1, int((value != 0).sum()))
    odds = float(logit(np.clip(frequency, _LEAST_SHARE, 1 - _LEAST_SHARE)))
    value = value[rows]
    out = np.empty((len(value), len(scorers) + _GIVEN))
    for column, name in enumerate(scorers):
        out[:, column] = odds_beyond(evidence[name][label][rows], odds)
    out[:, GIVEN_PRESENT] = value > 0
    out[:, GIVEN_ABSENT] = value < 0
    out[:, _FREQUENCY] = odds
    return out


def _entries(
    scorers: Sequence[str],
    evidence: Mapping[str, F32],
    given: I8,
    truth: I8,
    weight: Floats | None,
    label: int,
    frequency: float | None = None,
) -> tuple[F64, F64, F64]:
    """Columns, targets and weights of the entries of a label whose given value and truth are known."""
    known: Bool = (given[:, label] != 0) & (truth[:, label] != 0)
    often = np.ones(int(known.sum())) if weight is None else weight[known, label].astype(np.float64)
    columns = _columns(scorers, evidence, given, label, frequency, known)
    return columns, (truth[known, label] > 0).astype(np.float64), often
