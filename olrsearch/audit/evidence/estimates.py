"""How many labels are wrong, in each direction, with an interval.

A stored *absent* that is truly present is a *false absent*, a stored *present* that is truly absent a *false
present*. What the evidence contradicts is partly wrong labels and partly images that the scorers misjudge;
which of the two is seen from the curve of `evidence.flip_curve`: errors that hit any image alike give
it a floor and a ceiling. Beside these an estimate allows for two things that no curve can tell apart:

* images to which scorers are as blind as noise is: behind floor and ceiling may stand as many of them, which
  are no errors then, as `BLIND` times those that scorers find ambiguous, of which there are Σ min(p, 1 − p);
* errors among the ambiguous images, where people err most: from none to all of what is ambiguous, spread
  over it evenly or the denser the more ambiguous.

Which of the two, and how much of it, is drawn anew in every one of `DRAWS` draws, with a curve by its
weight, and with it how many errors there are. The interval is from the 5th to the 95th percentile of the
draws, and the estimate is their median.

Notation: N images, L labels, S scorers, D draws, B bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from olrsearch.audit.evidence.checks import check_evidence, check_labels, check_values
from olrsearch.audit.evidence.flip_curve import bin_scores, fit_curves
from olrsearch.audit.evidence.pooled_score import pooled_score
from olrsearch.core.groups import cluster_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.audit.evidence.flip_curve import Bins, Curves
    from olrsearch.core.arrays import F32, F64, I8, I64, Bool

DRAWS: Final = 2000
"""Draws an estimate is made of."""

BLIND: Final = 0.5
"""Images that only look like errors, at most, for each that is ambiguous; chosen by coverage."""

LEVEL: Final = 0.9
"""Of the intervals."""

FEWEST: Final = 5
"""Entries of either given value without which nothing is said of a label."""

BLURRED: Final = 2 / 3
"""Share of the rarer value that may be ambiguous before errors cannot be told from what is hard to see."""

_TRUST: Final = 0.1  # what a review says of its bin: it is of the most suspicious entry, not of any
_LEFT: Final = DRAWS // 5  # draws that reviews must leave, effectively: fewer would be the chance of a few
_EDGE: Final = 1e-12


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """Wrong entries among those of one given value, or among all known ones.

    Attributes:
        rate: Share of `entries` that is wrong; NaN where the data cannot tell.
        low: Lower end of the 90 % interval of the share.
        high: Upper end.
        count: Wrong entries, known ones included; NaN where the data cannot tell.
        count_low: Lower end.
        count_high: Upper end.
        entries: How many entries there are.
    """

    rate: float
    low: float
    high: float
    count: float
    count_low: float
    count_high: float
    entries: int


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """Wrong entries of one label.

    Attributes:
        label: Its name.
        false_absent: Stored absent, truly present; shares of the entries stored as absent.
        false_present: Stored present, truly absent; shares of the entries stored as present.
        total: Both, of all known entries.
        identifiable: Whether the evidence tells present from absent well enough to tell errors from images
            that are hard; where not, the interval is as wide as that leaves it.
        note: Why not; empty where it is.
    """

    label: str
    false_absent: ErrorEstimate
    false_present: ErrorEstimate
    total: ErrorEstimate
    identifiable: bool
    note: str = ""


class _Chances(NamedTuple):
    """Probability that an entry is wrong, by draw and bin."""

    absent: F64
    """Of those given as absent, float64 [D, B]."""
    present: F64
    """Of those given as present, float64 [D, B]."""
    blur: float
    """Ambiguous images, as a share of those of the rarer value."""


def estimate_errors(
    names: Sequence[str],
    given: I8,
    evidence: Mapping[str, F32],
    identity: I64,
    *,
    reviewed: I8 | None = None,
    seed: int = 0,
) -> tuple[LabelErrors, ...]:
    """Estimate how many entries of each label are wrong, in each direction.

    Errors people have found are counted as found, and entries they have cleared as right; the estimate covers
    the others. Both also tell how much of what is as suspicious is wrong, so that it does no harm that people
    look at the most suspicious entries first.

    Args:
        names: L labels.
        given: int8 [N, L] of −1, 0 unknown, +1; unknown entries are not counted.
        evidence: float32 [L, N] by scorer, out-of-fold probabilities that labels are present; NaN = nothing
            to say.
        identity: int64 [N], −1 unknown: entries of one person are not independent.
        reviewed: int8 [N, L], +1 what is given was found wrong, −1 it was found right, 0 not reviewed. What
            it says of unknown entries is left out, for they have no value to be wrong.
        seed: Of the draws: equal seeds, equal estimates.

    Returns:
        One a label, in the order of the names.

    Raises:
        AuditError: shapes that do not fit, or values that are none of theirs.
    """
    check_labels(names, given, identity)
    check_evidence(evidence, given)
    if reviewed is not None:
        check_values("reviewed entries", reviewed, given)
    cluster = cluster_of(identity)
    half = np.random.default_rng([seed, 0x4A1F]).random(int(cluster.max(initial=0)) + 1)[cluster] < 0.5
    out = []
    for label, name in enumerate(names):
        rows = np.flatnonzero(given[:, label])
        judged = np.zeros(len(rows), np.int8) if reviewed is None else reviewed[rows, label]
        said = [found[label, rows] for found in evidence.values()]
        rng = np.random.default_rng([seed, label, 0xE571])
        out.append(_estimate(name, given[rows, label] > 0, said, cluster[rows], half[rows], judged, rng))
    return tuple(out)


def _estimate(
    name: str,
    present: Bool,
    evidence: Sequence[F32],
    cluster: I64,
    half: Bool,
    judged: I8,
    rng: np.random.Generator,
) -> LabelErrors:
    """One label from its known entries: given values bool [n], S times float32 [n], and so on."""
    spoken = np.zeros(len(present), np.bool_)
    for said in evidence:
        spoken |= np.isfinite(said)
    sides = {True: int(present[spoken].sum()), False: int((~present[spoken]).sum())}
    if min(sides.values()) < FEWEST:
        return _nothing(name, present, judged, sides[True], sides[False])
    usable = [said[spoken] for said in evidence if bool(np.isfinite(said[spoken]).any())]
    bins = bin_scores(pooled_score(usable, present[spoken], half[spoken]), present[spoken])
    curves = fit_curves(bins, _spread(bins, present[spoken], cluster[spoken]))
    chances = _chances(curves, bins, rng)
    kept = _kept(_agreement(chances, bins, present[spoken], judged[spoken]), rng)
    blurred = chances.blur > BLURRED
    counts, known = [], []
    for side, chance in ((~present, chances.absent), (present, chances.present)):
        open_ = side & (judged == 0)
        drawn = rng.binomial(bins.counted(open_[spoken]).astype(np.int64), np.clip(chance[kept], 0.0, 1.0))
        silent = int((open_ & ~spoken).sum())  # no scorer speaks of these: as wrong as the others on average
        mean = chance[kept] @ bins.counted(side[spoken]) / max(1, int((side & spoken).sum()))
        wrong = int((side & (judged > 0)).sum())
        known.append(wrong)
        counts.append(wrong + drawn.sum(axis=1) + rng.binomial(silent, np.clip(mean, 0.0, 1.0)))
    # Where hardly any image is clear, all that looks wrong may be what is hard to see.
    least = known if blurred else [len(present), len(present)]
    note = f"the scorers hardly tell images with {name} from those without: errors cannot be told apart"
    return LabelErrors(
        name,
        _summary(counts[0], int((~present).sum()), least[0]),
        _summary(counts[1], int(present.sum()), least[1]),
        _summary(counts[0] + counts[1], len(present), sum(least)),
        identifiable=not blurred,
        note=note if blurred else "",
    )


def _spread(bins: Bins, present: Bool, cluster: I64) -> float:
    """By how much more entries of a person vary together than apart; 1 or more."""
    share = ((bins.present + 0.5) / (bins.count + 1))[bins.of]
    residual = (present - share) / np.sqrt(share * (1 - share))
    together = np.bincount(cluster, weights=residual)
    return max(1.0, float(together @ together) / float(residual @ residual))


def _chances(curves: Curves, bins: Bins, rng: np.random.Generator) -> _Chances:
    """How probable errors are, in every bin, by draws of a curve and of what it cannot tell.

    Given as present are p (1 − f₁) + (1 − p) f₀ of a bin, with p the share that truly is, and f₀, f₁ how
    often absent and present ones are turned round: at random with ρ₀ and ρ₁, or, for being ambiguous, with
    x. What the S-curve shows is p (1 − x) + (1 − p) x then, of which p follows.
    """
    which = rng.choice(len(curves.weight), DRAWS, p=curves.weight)
    floor, ceiling = curves.floor[which, None], curves.ceiling[which, None]
    shown = curves.truly(which, bins.score)
    ambiguous = np.minimum(shown, 1 - shown)
    # Above 0: how much of what is ambiguous is errors; below 0: how much of the errors is ambiguity.
    lean = rng.uniform(-1.0, 1.0, (DRAWS, 1))
    # People may err as often on all that is ambiguous as on what is most so, or on that above all.
    most = (2 * ambiguous) ** rng.uniform(0.0, 1.0, (DRAWS, 1))
    doubtful = np.maximum(lean, 0.0) * ambiguous * most
    truly = (shown - doubtful) / np.maximum(1 - 2 * doubtful, _EDGE)
    up = doubtful * (1 - ceiling) + (1 - doubtful) * floor
    down = doubtful * (1 - floor) + (1 - doubtful) * ceiling
    as_present = truly * (1 - down) + (1 - truly) * up
    blind = BLIND * np.maximum(-lean, 0.0) * (ambiguous @ bins.count)[:, None]
    absent = truly * down / np.maximum(1 - as_present, _EDGE)
    present = (1 - truly) * up / np.maximum(as_present, _EDGE)
    rarer = np.minimum(shown @ bins.count, (1 - shown) @ bins.count)
    return _Chances(
        _less(absent, bins.count - bins.present, blind),
        _less(present, bins.present, blind),
        float(np.mean(ambiguous @ bins.count / np.maximum(rarer, _EDGE))),
    )


def _less(chance: F64, entries: F64, blind: F64) -> F64:
    """Chances float64 [D, B] so much smaller that `blind` [D, 1] fewer of the entries [B] are wrong."""
    wrong = (chance @ entries)[:, None]
    return chance * np.maximum(0.0, 1 - blind / np.maximum(wrong, _EDGE))


def _agreement(chances: _Chances, bins: Bins, present: Bool, judged: I8) -> F64:
    """Log-likelihood of what people found, of every draw; float64 [D]."""
    out = np.zeros(DRAWS)
    if judged.any():
        for side, chance in ((~present, chances.absent), (present, chances.present)):
            out += np.log(np.maximum(chance, _EDGE)) @ bins.counted(side & (judged > 0))
            out += np.log(np.maximum(1 - chance, _EDGE)) @ bins.counted(side & (judged < 0))
    return _TRUST * out


def _kept(likelihood: F64, rng: np.random.Generator) -> I64:
    """Draws that agree with the reviews, int64 [D], chosen by the likelihood float64 [D] of these.

    Many reviews would leave a handful of draws. The likelihood is then raised to a power below 1, of which
    at least `_LEFT` are left, in the sense of the effective sample size 1 / Σ weight².
    """
    likelihood = likelihood - likelihood.max()
    while True:
        weight = np.exp(likelihood)
        if weight.sum() ** 2 >= _LEFT * (weight @ weight):
            return rng.choice(len(likelihood), DRAWS, p=weight / weight.sum())
        likelihood = 0.8 * likelihood


def _summary(counts: I64, entries: int, least: int) -> ErrorEstimate:
    """Median and interval of drawn numbers of errors, int64 [D]; the interval begins at `least` or below."""
    tail = (1 - LEVEL) / 2
    low, middle, high = np.quantile(counts, [tail, 0.5, 1 - tail], method="inverted_cdf").tolist()
    return _counted(float(min(low, least)), float(middle), float(high), entries)


def _counted(low: float, middle: float, high: float, entries: int) -> ErrorEstimate:
    whole = float(entries) if entries else float("nan")
    return ErrorEstimate(middle / whole, low / whole, high / whole, middle, low, high, entries)


def _nothing(name: str, present: Bool, judged: I8, have: int, lack: int) -> LabelErrors:
    """Nothing but what people found: everything else may be wrong, or nothing."""

    def bounds(side: Bool) -> ErrorEstimate:
        entries, wrong, right = (int((side & mask).sum()) for mask in (judged < 2, judged > 0, judged < 0))
        middle = float(wrong) if wrong + right == entries else float("nan")
        return _counted(float(wrong), middle, float(entries - right), entries)

    note = (
        f"{have:,} entries of {name} given as present and {lack:,} as absent have evidence: expected "
        f"{FEWEST} of each at least to estimate how many are wrong"
    )
    every = np.ones_like(present)
    return LabelErrors(name, bounds(~present), bounds(present), bounds(every), identifiable=False, note=note)
