"""How well an audit ranks wrong entries, against errors that were put there.

Equal scores are one step of a ranking: nothing orders them, so average precision takes the precision at the
end of the step (as `sklearn.metrics.average_precision_score` does), and a cut through a step finds what a
random order within it would on average. An entry without a score (NaN) is one nobody would be sent to: no cut
reaches it, and all of these together are the last step, where an error is worth the base rate.

Notation: N images, L labels, E known entries (one label of one image), T of them wrong, C clusters
(identities).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, cluster_weights, interval
from olrsearch.evaluation.metrics import finite_mean, influence_by_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from olrsearch.core.arrays import F64, I8, I64, Bool, Floats

Value = TypeVar("Value", bound=np.generic)

FIRST: Final = 100
"""The cut that P@100 looks at."""
REVIEWED: Final = (1_000, 10_000)
"""How many entries a person, or several, would look through."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The known entries, label by label, and which of them are wrong.

    Attributes:
        shape: (N, L).
        place: int64 [E], positions in a flattened [L, N], ascending.
        wrong: bool [E].
    """

    shape: tuple[int, int]
    place: I64
    wrong: Bool

    @classmethod
    def of(cls, flips: Bool, given: I8) -> Entries:
        """Known entries of some labels.

        Args:
            flips: bool [N, L], what is wrong.
            given: int8 [N, L], 0 where nothing is known.

        Raises:
            BenchmarkError: shapes that differ, or flips of unknown entries.
        """
        if flips.shape != given.shape or given.ndim != 2:
            raise BenchmarkError(f"flips {flips.shape} of labels {given.shape}: expected [N, L] of both")
        known = given != 0
        if bool((flips & ~known).any()):
            raise BenchmarkError("entries that are unknown are said to be wrong: only known ones can be")
        place = np.flatnonzero(known.T)
        return cls((given.shape[0], given.shape[1]), place, flips.T.ravel()[place])

    @property
    def label(self) -> I64:
        """Position of each entry's label, int64 [E], ascending."""
        return self.place // self.shape[0]

    @property
    def image(self) -> I64:
        """Row of each entry's image, int64 [E]."""
        return self.place % self.shape[0]

    def of_labels(self, values: NDArray[Value]) -> NDArray[Value]:
        """What is said of the known entries, [E], of values [L, N].

        Raises:
            BenchmarkError: another shape.
        """
        if values.shape != self.shape[::-1]:
            raise BenchmarkError(
                f"scores {values.shape} of {self.shape[0]} images: expected {self.shape[::-1]}"
            )
        return values.ravel()[self.place]


@dataclass(frozen=True, slots=True, eq=False)
class EntryRanking:
    """Entries in steps of equal scores, the most suspicious first.

    Attributes:
        order: int64 [E], entries from first to last.
        ends: int64 [G], entries up to the end of each step.
        hits: int64 [G], wrong ones among them.
        flagged: How many entries have a score.
    """

    order: I64
    ends: I64
    hits: I64
    flagged: int

    @classmethod
    def of(cls, scores: Floats, wrong: Bool) -> EntryRanking:
        """The ranking that some scores make.

        Args:
            scores: float [E], smaller = more suspicious; NaN = nothing to say.
            wrong: bool [E].
        """
        order = np.argsort(scores, kind="stable")  # NaN is sorted to the end
        ranked = scores[order]
        flagged = len(ranked) - int(np.isnan(ranked).sum())
        last = np.ones(len(ranked), np.bool_)
        last[:-1] = (ranked[1:] != ranked[:-1]) & (np.arange(1, len(ranked)) <= flagged)
        ends = np.flatnonzero(last) + 1
        return cls(order, ends, np.cumsum(wrong[order], dtype=np.int64)[ends - 1], flagged)

    @property
    def errors(self) -> int:
        """T."""
        return int(self.hits[-1]) if len(self.hits) else 0

    def found(self, cut: int) -> float:
        """Wrong entries among the first `cut` that have a score, on average over the orders of equal ones."""
        cut = min(cut, self.flagged)
        if cut < 1:
            return 0.0
        step = int(np.searchsorted(self.ends, cut))
        before, hits = (int(self.ends[step - 1]), int(self.hits[step - 1])) if step else (0, 0)
        share = (cut - before) / (int(self.ends[step]) - before)
        return hits + share * (int(self.hits[step]) - hits)

    def average_precision(self) -> float:
        """Mean, over wrong entries, of the precision at the end of their step; NaN where nothing is wrong."""
        if not self.errors:
            return float("nan")
        gained = np.diff(self.hits, prepend=0)
        return float((gained * (self.hits / self.ends)).sum() / self.errors)

    def average_precision_at(self, cut: int) -> float:
        """The same over the first `cut` entries, divided by what a perfect ranking finds there."""
        possible = min(cut, self.errors)
        if not possible:
            return float("nan")
        cut = min(cut, self.flagged)
        whole = int(np.searchsorted(self.ends, cut, side="right"))
        gained = np.diff(self.hits[:whole], prepend=0)
        total = float((gained * (self.hits[:whole] / self.ends[:whole])).sum())
        found, before = self.found(cut), int(self.hits[whole - 1]) if whole else 0
        return (total + (found - before) * found / max(1, cut)) / possible

    def influence(self, wrong: Bool) -> F64:
        """What each entry adds to average precision (`influence_by_steps`), float64 [E]; NaN without any."""
        out = np.full(len(self.order), np.nan)
        if self.errors:
            out[self.order] = influence_by_steps(wrong[self.order], self.ends, self.hits)
        return out


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """One ranking of all entries.

    Attributes:
        auprc: Average precision over all entries.
        macro_auprc: The same of each label, averaged over labels with an error.
        precision_100: Share of wrong ones among the first 100.
        precision_t: Among the first T.
        lift_t: The same over the base rate.
        ap_t: Average precision at T.
        reviews_1000: Entries looked at per error found, over the first 1,000; NaN where none is found.
        reviews_10000: Over the first 10,000.
        scored: Share of entries that have a score.
    """

    auprc: float
    macro_auprc: float
    precision_100: float
    precision_t: float
    lift_t: float
    ap_t: float
    reviews_1000: float
    reviews_10000: float
    scored: float


def audit_figures(scores: Floats, entries: Entries) -> AuditFigures:
    """Figures of one method.

    Args:
        scores: float [L, N], smaller = more suspicious; NaN = nothing to say.
        entries: What is wrong.

    Raises:
        BenchmarkError: scores of another shape.
    """
    taken = entries.of_labels(scores)
    ranking = EntryRanking.of(taken, entries.wrong)
    errors, count = ranking.errors, len(taken)
    precision = ranking.found(errors) / errors if errors else float("nan")
    reviews = [_reviews(ranking, cut) for cut in REVIEWED]
    return AuditFigures(
        auprc=ranking.average_precision(),
        macro_auprc=finite_mean(label_average_precisions(taken, entries)),
        precision_100=ranking.found(FIRST) / FIRST,
        precision_t=precision,
        lift_t=precision / (errors / count) if errors else float("nan"),
        ap_t=ranking.average_precision_at(errors),
        reviews_1000=reviews[0],
        reviews_10000=reviews[1],
        scored=ranking.flagged / count if count else float("nan"),
    )


def label_average_precisions(taken: Floats, entries: Entries) -> F64:
    """Average precision of each label's own ranking, float64 [L]; NaN for a label without errors.

    Args:
        taken: float [E], of the known entries.
        entries: What is wrong.
    """
    out = np.full(entries.shape[1], np.nan)
    for label, part in enumerate(_parts(entries)):
        out[label] = EntryRanking.of(taken[part], entries.wrong[part]).average_precision()
    return out


def auprc_influence(scores: Floats, entries: Entries, cluster: I64) -> F64:
    """What each cluster of images adds to average precision, to first order, float64 [2, C].

    The first row is of all entries together, the second of the mean over labels with an error. A bootstrap by
    identity is then one product with how often each cluster is drawn (`resampled`).

    Args:
        scores: float [L, N], smaller = more suspicious.
        entries: What is wrong.
        cluster: int64 [N], 0 … C−1 (`olrsearch.core.groups.cluster_of`).
    """
    taken = entries.of_labels(scores)
    together = EntryRanking.of(taken, entries.wrong).influence(entries.wrong)
    apart, labels = np.zeros(len(taken)), 0
    for part in _parts(entries):
        wrong = entries.wrong[part]
        if wrong.any():
            labels += 1
            apart[part] = EntryRanking.of(taken[part], wrong).influence(wrong)
    member, count = cluster[entries.image], int(cluster.max(initial=-1)) + 1
    return np.stack(
        [
            np.bincount(member, weights=values, minlength=count)
            for values in (together, apart / max(1, labels))
        ]
    )


def resampled(influence: F64, estimate: float, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The bootstrap interval of something whose influence is known.

    Args:
        influence: float64 [C], of each cluster; of a difference, the difference of the two.
        estimate: On the data as they are.
        seed: Equal seeds draw equal clusters, which is what pairs comparisons.
        resamples: How many.
    """
    clusters = np.arange(len(influence))
    # Influences of all entries add up to 0, so what is drawn anew needs no "− 1".
    drawn = [influence @ times for times in cluster_weights(clusters, seed=seed, resamples=resamples)]
    return interval(estimate + np.concatenate(drawn), estimate)


def perfect_precision(injected: float, natural: float) -> float:
    """Precision of an auditor who finds every wrong entry, where only injected errors count as such.

    Errors that were there before count as false alarms, and a flip of one of them makes it right.

    Args:
        injected: Share of entries that were flipped.
        natural: Share that was wrong before, independently.

    Returns:
        A share; NaN where nothing is wrong.
    """
    right, wrong = injected * (1.0 - natural), natural * (1.0 - injected)
    return right / (right + wrong) if right + wrong > 0 else float("nan")


def _reviews(ranking: EntryRanking, cut: int) -> float:
    found = ranking.found(cut)
    return min(cut, ranking.flagged) / found if found else float("nan")


def _parts(entries: Entries) -> list[slice]:
    """Each label's entries; they lie together."""
    bounds = np.searchsorted(entries.label, np.arange(entries.shape[1] + 1))
    return [slice(int(low), int(high)) for low, high in pairwise(bounds)]
