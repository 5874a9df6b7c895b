"""Turning raw logits into probabilities, label by label.

Notation: L labels, N images.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import CalibrationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, I8, Bool

_log = logging.getLogger(__name__)

MIN_EXAMPLES = 5
"""Present and absent examples a label needs, each, before anything is fitted to it."""

MIN_SLOPE = 1e-3
"""Per standard deviation of the logits: keeps the order of images where logits say nothing."""

_ITERATIONS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """p_l = sigmoid(slope_l · z_l + offset_l) for raw logits z.

    Attributes:
        slope: float64 [L], > 0: calibration never reorders images by one label.
        offset: float64 [L].
        label_revision: The revision of the stored labels it was fitted to; None for the identity, and
            for one that came with the encoder.
        split: The images it was fitted on, in words (`selection`, `val`); empty for the identity.
        count: How many images these were.
        uncalibrated: Names of labels that had too few examples and keep the raw logit.
    """

    slope: F64
    offset: F64
    label_revision: int | None = None
    split: str = ""
    count: int = 0
    uncalibrated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.slope.ndim != 1 or self.slope.shape != self.offset.shape:
            raise CalibrationError(
                f"slope {self.slope.shape} and offset {self.offset.shape} must be two vectors of one length"
            )
        if not (np.isfinite(self.slope).all() and np.isfinite(self.offset).all() and (self.slope > 0).all()):
            raise CalibrationError(
                "a calibration needs finite offsets and finite slopes above 0: run calibrate again"
            )

    @classmethod
    def identity(cls, count: int) -> Calibration:
        """The calibration that leaves `count` labels' logits as they are."""
        return cls(np.ones(count), np.zeros(count))

    def logits(self, raw: F32 | F64, label_positions: Sequence[int]) -> F64:
        """Calibrated logits, float64 [m, N], of raw ones [m, N] of m labels."""
        rows = list(label_positions)
        return raw.astype(np.float64) * self.slope[rows, None] + self.offset[rows, None]

    def log_probability(self, raw: F32 | F64, label_positions: Sequence[int], *, negate: bool = False) -> F64:
        """Logarithm of the probability p of some labels, or of 1 − p.

        Args:
            raw: Raw logits [m, N], finite.
            label_positions: The m labels they belong to.
            negate: log(1 − p) instead.

        Returns:
            float64 [m, N], nats, ≤ 0 and finite.
        """
        logits = self.logits(raw, label_positions)
        return log_sigmoid(-logits if negate else logits)

    def probability(self, raw: F32 | F64, label_positions: Sequence[int]) -> F64:
        """Probabilities of some labels, float64 [m, N]."""
        return np.exp(self.log_probability(raw, label_positions))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` gives back the very same numbers."""
        return {
            "slope": self.slope.tolist(),
            "offset": self.offset.tolist(),
            "label_revision": self.label_revision,
            "split": self.split,
            "count": self.count,
            "uncalibrated": list(self.uncalibrated),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """The calibration `to_dict` described.

        Raises:
            CalibrationError: a field is missing or of another type.
        """
        try:
            return cls(
                slope=np.asarray(data["slope"], np.float64),
                offset=np.asarray(data["offset"], np.float64),
                label_revision=data["label_revision"],
                split=str(data["split"]),
                count=int(data["count"]),
                uncalibrated=tuple(data["uncalibrated"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(
                f"a stored calibration is damaged ({error!r}): run calibrate again"
            ) from error


def log_sigmoid(logits: F64) -> F64:
    """log(1 / (1 + exp(−x))), float64, finite for every finite x."""
    out: F64 = -np.logaddexp(0.0, -logits)
    return out


def fit_calibration(
    logits: F32 | F64,
    labels: I8,
    label_names: Sequence[str],
    *,
    label_revision: int | None = None,
    split: str = "selection",
) -> Calibration:
    """Fit slope and offset of every label by maximum likelihood.

    Unknown labels are skipped. Targets are smoothed as Platt proposes, so separable
    labels get finite parameters. Labels with fewer than `MIN_EXAMPLES` present or absent
    examples keep the raw logit and are named. Where logits do not rise with the label,
    the slope is held at a small positive value and probabilities are near the base rate.

    Args:
        logits: Raw logits [L, N], finite.
        labels: Stored labels int8 [N, L]: −1, 0, +1.
        label_names: The L names.
        label_revision: Recorded, so that changed labels make the calibration stale.
        split: What the images are, in words; recorded.

    Raises:
        CalibrationError: shapes differ, a logit is not finite, or no label has enough examples.

    Source: Platt 1999, "Probabilistic outputs for support vector machines"; Newton's method
        with backtracking as in Lin, Lin & Weng 2007.
    """
    count, images = logits.shape
    if labels.shape != (images, count) or len(label_names) != count:
        raise CalibrationError(
            f"logits {logits.shape}, labels {labels.shape} and {len(label_names)} names do not fit each other"
        )
    if not np.isfinite(logits).all():
        raise CalibrationError("raw logits hold NaN or infinities: encode again")
    truth = labels.T
    known = truth != 0
    present = (truth > 0).sum(axis=1)
    absent = (truth < 0).sum(axis=1)
    enough = (present >= MIN_EXAMPLES) & (absent >= MIN_EXAMPLES)
    if not enough.any():
        raise CalibrationError(
            f"no label has {MIN_EXAMPLES} present and {MIN_EXAMPLES} absent examples among {images} images "
            f"({split}): import more labels or calibrate on another split"
        )
    slope, offset = np.ones(count), np.zeros(count)
    rows = np.flatnonzero(enough)
    slope[rows], offset[rows] = _platt(logits[rows].astype(np.float64), truth[rows], known[rows])
    left = tuple(label_names[row] for row in np.flatnonzero(~enough).tolist())
    if left:
        _log.info("too few examples to calibrate %s: their raw logits are used", ", ".join(left))
    return Calibration(slope, offset, label_revision, split, images, left)


def _platt(logits: F64, truth: I8, known: Bool) -> tuple[F64, F64]:
    """Slopes and offsets [m] for logits [m, N]; every label has both kinds of examples."""
    # Standardised logits make Newton's steps well conditioned whatever the encoder's units.
    number = known.sum(axis=1)
    mean = np.where(known, logits, 0.0).sum(axis=1) / number
    spread = np.sqrt(np.where(known, (logits - mean[:, None]) ** 2, 0.0).sum(axis=1) / number)
    spread = np.where(spread > 0, spread, 1.0)
    z = (logits - mean[:, None]) / spread[:, None]
    present = (truth > 0).sum(axis=1)
    high = (present + 1.0) / (present + 2.0)
    low = 1.0 / (number - present + 2.0)
    target = np.where(truth > 0, high[:, None], low[:, None])
    weight = known.astype(np.float64)

    slope, offset = _newton(z, target, weight, fixed_slope=None)
    flat = ~(slope > MIN_SLOPE)
    if flat.any():
        # The likelihood is concave: with the constraint active the optimum lies on its edge.
        fixed = np.full(int(flat.sum()), MIN_SLOPE)
        slope[flat], offset[flat] = _newton(z[flat], target[flat], weight[flat], fixed_slope=fixed)
    return slope / spread, offset - slope * mean / spread


def _newton(z: F64, target: F64, weight: F64, fixed_slope: F64 | None) -> tuple[F64, F64]:
    """Minimise the cross-entropy over (slope, offset) [m], or over offset alone."""

    def loss(slope: F64, offset: F64) -> F64:
        x = slope[:, None] * z + offset[:, None]
        out: F64 = (weight * (np.logaddexp(0.0, x) - target * x)).sum(axis=1)
        return out

    rate = (weight * target).sum(axis=1) / weight.sum(axis=1)
    offset: F64 = np.log(rate / (1.0 - rate))
    slope = np.zeros(len(z)) if fixed_slope is None else fixed_slope
    value = loss(slope, offset)
    for _ in range(_ITERATIONS):
        probability = np.exp(log_sigmoid(slope[:, None] * z + offset[:, None]))
        residual = weight * (probability - target)
        curvature = weight * probability * (1.0 - probability)
        g_b, h_bb = residual.sum(axis=1), curvature.sum(axis=1) + _TOLERANCE
        if fixed_slope is None:
            g_a = (residual * z).sum(axis=1)
            h_aa = (curvature * z * z).sum(axis=1) + _TOLERANCE
            h_ab = (curvature * z).sum(axis=1)
            determinant = h_aa * h_bb - h_ab * h_ab
            step_a = -(h_bb * g_a - h_ab * g_b) / determinant
            step_b = -(h_aa * g_b - h_ab * g_a) / determinant
            decrease = -(g_a * step_a + g_b * step_b)
        else:
            step_a, step_b = np.zeros(len(z)), -g_b / h_bb
            decrease = -g_b * step_b
        if (decrease < _TOLERANCE).all():
            break
        length = np.ones(len(z))
        for _ in range(40):  # halvings: below 1e-12 of a Newton step nothing is left to gain
            candidate = loss(slope + length * step_a, offset + length * step_b)
            worse = candidate > value - 1e-4 * length * decrease
            if not worse.any():
                break
            length[worse] /= 2.0
        better = candidate <= value
        slope = np.where(better, slope + length * step_a, slope)
        offset = np.where(better, offset + length * step_b, offset)
        value = np.where(better, candidate, value)
        if not better.any():
            break
    return slope, offset
