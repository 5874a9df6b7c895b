"""How often a label is given as its score rises: an S-curve between a floor and a ceiling.

Where the score leaves no doubt that a label is absent, it is given all the same as often as absent entries
are turned round; where there is no doubt that it is present, it is missing as often as present ones are.
With z the normal score of an entry's rank, Φ⁻¹(rank / n), and p(z) the probability that the label is truly
present,

    P(given present | z) = ρ₀ + (1 − ρ₀ − ρ₁) p(z),    p(z) = σ(b (z − m)), b > 0,

which is what noise makes of it that flips absent entries with the probability ρ₀ and present ones with ρ₁,
whatever the image. It is also the curve that psychology fits to answers of people who guess and lapse.

The two rates are not read off the ends of the curve, where few entries lie, but inferred from its shape: an
S-curve goes on falling, and noise does not. Ranks, for what a score says of itself is of no use here: one
that is calibrated to given labels stops falling where noise begins. Of two normal classes, of which one is
rare, z is what normal scores were to begin with, and the S-curve is their posterior probability. All pairs of
rates on a grid are kept, weighed by the data.

Source: Natarajan et al. (2013), "Learning with Noisy Labels"; Menon et al. (2015), "Learning from Corrupted
Binary Labels via Class-Probability Estimation", equation 6; Wichmann and Hill (2001), "The psychometric
function: I. Fitting, sampling, and goodness of fit", equation 1.

Notation: n entries, B bins, G curves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit, ndtri

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I64, Bool

BINS: Final = 100
"""Bins of entries that neighbour each other in score."""

HIGHEST: Final = 0.5
"""Noise that turns round more than half is no noise but another label."""

_LOWEST: Final = 3e-4
_FEW: Final = 0.003  # rates far below this are alike before the data are seen, rates above by their ratio
_NODES, _WANTED, _ROUNDS = 13, 7, 5
_DROP: Final = 7.0  # nats below the best beyond which no curve is looked for
_STEEP, _SLOPE = 1.0, 2.0  # mean and standard deviation of ln b, from useless scores to steps
_CENTRE: Final = 3.0  # standard deviation of m, in those of z
_STEPS, _GAIN = 40, 1e-3  # at most; and nats by which a step must better some curve to be followed by another
_EDGE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Entries of one label, by score.

    Attributes:
        of: int64 [n], the bin of each entry.
        count: float64 [B], entries.
        present: float64 [B], how many of them are given as present.
        score: float64 [B], normal scores z, ascending.
    """

    of: I64
    count: F64
    present: F64
    score: F64

    def counted(self, chosen: Bool) -> F64:
        """How many of the chosen entries, bool [n], lie in each bin; float64 [B]."""
        return np.bincount(self.of[chosen], minlength=len(self.count)).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Curves that may have made the data.

    Attributes:
        floor: float64 [G], ρ₀, probability that an absent entry is given as present.
        ceiling: float64 [G], ρ₁, that a present one is given as absent.
        centre: float64 [G], m.
        slope: float64 [G], b.
        weight: float64 [G], their probabilities given the data; they sum to 1.
    """

    floor: F64
    ceiling: F64
    centre: F64
    slope: F64
    weight: F64

    def truly(self, which: I64, score: F64) -> F64:
        """p(s) of the curves `which`, int64 [m], at scores float64 [B]; float64 [m, B]."""
        out: F64 = expit(self.slope[which, None] * (score - self.centre[which, None]))
        return out


def bin_scores(score: F64, present: Bool) -> Bins:
    """Put entries into `BINS` bins, each with about the same share of both given values.

    A bin holds a share of the present entries plus a share of the absent ones that sum to the same: of a
    rare label too, several bins then lie where it is.

    Args:
        score: float64 [n].
        present: bool [n], the given values, some of either.
    """
    share = np.where(present, 0.5 / present.sum(), 0.5 / (~present).sum())
    order = np.argsort(score, kind="stable")
    middle = np.cumsum(share[order]) - share[order] / 2
    number = np.empty(len(score), np.int64)
    number[order] = np.minimum((middle * BINS).astype(np.int64), BINS - 1)
    _, of = np.unique(number, return_inverse=True)
    count = np.bincount(of).astype(np.float64)
    given = np.bincount(of[present], minlength=len(count)).astype(np.float64)
    return Bins(of.astype(np.int64), count, given, ndtri((np.cumsum(count) - count / 2) / len(score)))


def fit_curves(bins: Bins, spread: float = 1.0) -> Curves:
    """Every curve of a grid of (ρ₀, ρ₁) with the best centre and slope, weighed by how well it fits.

    The grid is laid again, finer, around what fits, until some of its nodes fall where the weight is.

    Args:
        bins: Entries by score.
        spread: By how much more the counts vary than independent entries would; 1 or more.
    """
    axes = [_nodes(0.0, HIGHEST), _nodes(0.0, HIGHEST)]
    # Where as many lie above as are given as present; after that, the best curve of the round before.
    start = (float(ndtri(1 - bins.present.sum() / bins.count.sum())), _STEEP)
    for round_ in range(_ROUNDS):
        floor, ceiling = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        likelihood, centre, log_slope = _fit(bins, floor, ceiling, start)
        best = int(likelihood.argmax())
        start = (float(centre[best]), float(log_slope[best]))
        likelihood = (likelihood - likelihood.max()) / spread
        near = (likelihood > -_DROP).reshape(len(axes[0]), len(axes[1]))
        sides = (near.any(axis=1), near.any(axis=0))
        if round_ == _ROUNDS - 1 or min(side.sum() for side in sides) >= _WANTED:
            break
        axes = [_around(axis, side) for axis, side in zip(axes, sides, strict=True)]
    prior = np.add.outer(*(_prior(axis) for axis in axes)).ravel()
    weight = np.exp(likelihood + prior - (likelihood + prior).max())
    return Curves(floor, ceiling, centre, np.exp(log_slope), weight / weight.sum())


def _nodes(low: float, high: float) -> F64:
    """Rates from low to high, in equal ratios; 0 stands before the lowest there is."""
    if low < _LOWEST:
        return np.concatenate([[0.0], np.geomspace(_LOWEST, max(high, 2 * _LOWEST), _NODES - 1)])
    return np.geomspace(low, high, _NODES)


def _around(axis: F64, near: Bool) -> F64:
    """Nodes of the part that fits and one step beyond."""
    where = np.flatnonzero(near)
    return _nodes(float(axis[max(where[0] - 1, 0)]), float(axis[min(where[-1] + 1, len(axis) - 1)]))


def _prior(axis: F64) -> F64:
    """Logarithm of the prior probability of each node, uniform in ln(ρ + `_FEW`)."""
    place = np.log(axis + _FEW)
    edges = np.concatenate([place[:1], (place[1:] + place[:-1]) / 2, place[-1:]])
    return np.log(np.diff(edges))


def _fit(bins: Bins, floor: F64, ceiling: F64, start: tuple[float, float]) -> tuple[F64, F64, F64]:
    """Best centre and slope of each pair of rates, and how well they fit.

    Fisher scoring in (m, ln b) with Levenberg's damping, of all pairs at once. Weak normal priors keep the
    slope of a step finite, and the centre of a curve that is none near the entries.

    Args:
        bins: Entries by score.
        floor: float64 [G].
        ceiling: float64 [G].
        start: m and ln b to begin with.

    Returns:
        Log-likelihood with priors, m, and ln b; float64 [G] each.
    """
    count, present, score = bins.count, bins.present, bins.score
    floor, ceiling = floor[:, None], ceiling[:, None]
    span = np.maximum(1.0 - floor - ceiling, _EDGE)

    def value(centre: F64, log_slope: F64) -> F64:
        curve = np.clip(floor + span * expit(np.exp(log_slope) * (score - centre)), _EDGE, 1 - _EDGE)
        fit = present * np.log(curve) + (count - present) * np.log1p(-curve)
        out: F64 = fit.sum(axis=1, keepdims=True)
        return out - 0.5 * ((log_slope - _STEEP) / _SLOPE) ** 2 - 0.5 * (centre / _CENTRE) ** 2

    centre, log_slope = np.full_like(floor, start[0]), np.full_like(floor, start[1])
    damping = np.full_like(floor, 1e-3)
    best = value(centre, log_slope)
    for _ in range(_STEPS):
        slope = np.exp(log_slope)
        shape = expit(slope * (score - centre))
        curve = np.clip(floor + span * shape, _EDGE, 1 - _EDGE)
        steep, spread = span * shape * (1 - shape), curve * (1 - curve)
        pull, information = (present - count * curve) / spread * steep, count * steep**2 / spread
        # How the inner b (z − m) moves with m and with ln b.
        inner = (-slope, slope * (score - centre))
        gradient = (
            (pull * inner[0]).sum(axis=1, keepdims=True) - centre / _CENTRE**2,
            (pull * inner[1]).sum(axis=1, keepdims=True) - (log_slope - _STEEP) / _SLOPE**2,
        )
        mixed = (information * inner[0] * inner[1]).sum(axis=1, keepdims=True)
        own = (
            ((information * inner[0] ** 2).sum(axis=1, keepdims=True) + 1 / _CENTRE**2) * (1 + damping),
            ((information * inner[1] ** 2).sum(axis=1, keepdims=True) + 1 / _SLOPE**2) * (1 + damping),
        )
        determinant = own[0] * own[1] - mixed**2
        steps = (
            np.clip((own[1] * gradient[0] - mixed * gradient[1]) / determinant, -1, 1),
            np.clip((own[0] * gradient[1] - mixed * gradient[0]) / determinant, -1, 1),
        )
        found = value(centre + steps[0], log_slope + steps[1])
        better = found >= best
        centre = np.where(better, centre + steps[0], centre)
        log_slope = np.where(better, log_slope + steps[1], log_slope)
        damping = np.where(better, damping / 5, damping * 8)
        gained, best = found - best, np.where(better, found, best)
        if bool((better & (gained < _GAIN)).all()):
            break
    return best.ravel(), centre.ravel(), log_slope.ravel()
