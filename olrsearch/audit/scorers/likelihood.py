"""Gaussians of the images with a label and without it: which of the two an embedding comes from.

Notation: N images, L labels, k numbers a label; n₊ and n₋ images of other folds that have a label and
that lack it, n = n₊ + n₋.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit

from olrsearch.audit.scorers.protocol import Explanation
from olrsearch.audit.scorers.vectors import known_outside, label_vectors
from olrsearch.maths.calibration import MIN_EXAMPLES, fit_calibration
from olrsearch.maths.covariance import shrunk_covariance

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, F64, I64
    from olrsearch.core.progress import Track

FEWEST: Final = 2
"""Images of either value, in other folds, without which a label has no evidence."""

MOST: Final = 20_000
"""Images that slope and offset are fitted on."""

_BLOCK: Final = 8192


class Likelihood:
    """P(present | e^l), from a Gaussian of the images that have the label and one of those that lack it.

    Both Gaussians are of other folds and share one covariance, shrunk by Ledoit and Wolf's rule: with a
    covariance of its own, a class whose given labels are partly wrong becomes wide and claims whatever
    lies far out (on CelebA with 5 % of labels flipped, average precision of finding the flips falls from
    .79 to .70). The log-odds, log N(e; μ₊, Σ) − log N(e; μ₋, Σ) + log(n₊ / n₋), are linear in e then.
    Embeddings are no Gaussians, so the odds are too sure of themselves: slope and offset are fitted to
    the given labels of the same images, as Platt does, where there are `MIN_EXAMPLES` of either value
    (.72 without).

    Source: paper 001, section 4.5, equations 4 (mean) and 5 (covariance);
        Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
    """

    name = "likelihood"
    summary = "which of two Gaussians an embedding comes from, of images with the label or without"

    def evidence(self, material: Material, *, track: Track) -> F32:
        """See `Scorer.evidence`.

        Raises:
            AuditError: embeddings of another shape or dtype, or that hold NaN.
        """
        out = np.full((material.labels, material.images), np.nan, np.float32)
        for label in track(range(material.labels), total=material.labels, what=self.name, unit="labels"):
            for fold in range(material.folds):
                present, absent = known_outside(material, fold, label)
                if min(len(present), len(absent)) < FEWEST:
                    continue
                vectors = label_vectors(material, fold, label)
                odds = fit_odds(vectors, present, absent, seed=material.seed)
                if odds is not None:
                    inside = material.inside(fold)
                    out[label, inside] = expit(odds.of(vectors[inside]))
        return out

    def explain(self, material: Material, row: int, label: int, present: float | None) -> Explanation:
        """The probability in words, with how many images each Gaussian stands for."""
        name = material.names[label]
        if present is None:
            return Explanation(f"other folds do not tell images with {name} from the others")
        have, lack = (len(rows) for rows in known_outside(material, int(material.fold[row]), label))
        text = (
            f"{name} is {present:.1%} likely by where the image lies between the {have:,} with it "
            f"and the {lack:,} without"
        )
        return Explanation(text)


@dataclass(frozen=True, slots=True, eq=False)
class Odds:
    """Log-odds that a label is present, linear in e^l.

    Attributes:
        weight: float64 [k].
        bias: Nats.
    """

    weight: F64
    bias: float

    def of(self, vectors: F32) -> F64:
        """Log-odds in nats, float64 [m], of vectors float32 [m, k]."""
        out = np.empty(len(vectors))
        for start in range(0, len(vectors), _BLOCK):
            block = vectors[start : start + _BLOCK].astype(np.float64)
            out[start : start + _BLOCK] = np.einsum("mk,k->m", block, self.weight) + self.bias
        return out


def fit_odds(vectors: F32, present: I64, absent: I64, *, seed: int = 0) -> Odds | None:
    """Two Gaussians of one covariance, calibrated.

    Args:
        vectors: float32 [N, k], finite.
        present: int64, rows that have the label, `FEWEST` or more.
        absent: int64, rows that lack it, as many.
        seed: Of the rows that slope and offset are fitted on, where there are more than `MOST`.

    Returns:
        None where all vectors of a class are equal, in both: nothing says how far apart they are.
    """
    means, residuals = zip(*(_residuals(vectors[rows]) for rows in (present, absent)), strict=True)
    covariance, _ = shrunk_covariance(np.concatenate(residuals))
    if not np.trace(covariance) > 0:
        return None
    # Least squares, so that a covariance that shrinking left singular needs no case of its own.
    weight = np.linalg.lstsq(covariance, means[0] - means[1], rcond=None)[0]
    bias = float(np.log(len(present) / len(absent)) - weight @ (means[0] + means[1]) / 2)
    return _calibrated(Odds(weight, bias), vectors, present, absent, seed)


def _residuals(vectors: F32) -> tuple[F64, F64]:
    """Mean float64 [k], and vectors less it, float64 [n, k]."""
    found = vectors.astype(np.float64)
    mean = found.mean(axis=0)
    found -= mean
    return mean, found


def _calibrated(odds: Odds, vectors: F32, present: I64, absent: I64, seed: int) -> Odds:
    """The odds with slope and offset fitted to what they say of labelled rows; as they are where few are."""
    if min(len(present), len(absent)) < MIN_EXAMPLES:
        return odds
    kept = [_some(rows, len(present) + len(absent), seed) for rows in (present, absent)]
    labels = np.repeat(np.array([1, -1], np.int8), [len(rows) for rows in kept])
    fitted = fit_calibration(odds.of(vectors[np.concatenate(kept)])[None], labels[:, None], ("label",))
    slope, offset = float(fitted.slope[0]), float(fitted.offset[0])
    # A value of which more than its share was kept seems more frequent than it is.
    offset += float(np.log(len(present) / len(kept[0])) - np.log(len(absent) / len(kept[1])))
    return Odds(odds.weight * slope, odds.bias * slope + offset)


def _some(rows: I64, total: int, seed: int) -> I64:
    """Of `total` rows `MOST`, of these by their share, but no fewer than can be fitted to."""
    most = max(MIN_EXAMPLES, round(MOST * len(rows) / total))
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng([seed, 0x11CE]).choice(rows, most, replace=False))
