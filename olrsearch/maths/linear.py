"""Linear models for many targets at once: logistic regression and the linear SVM.

Notation: n images, F features, T targets. Both minimise, for each target,
C · Σ loss(margin) + ½‖w‖², intercept unpenalised, with the meaning C has in scikit-learn.

All targets are fitted by one run of conjugate gradients over float32 matrix products; the loss is
summed in float64. Embeddings are far from isotropic, so the features are rotated once onto their
principal axes (which leaves ‖w‖ as it is) and each coordinate is scaled by the square root of its
approximate curvature, C·c·λ + 1. Tens of iterations then do what hundreds would, and L-BFGS needs as
many evaluations but far more time of its own, with its ten copies of a large weight matrix.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from olrsearch.core.errors import FitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from olrsearch.core.arrays import F32, F64, I8

Loss: TypeAlias = Literal["logistic", "squared_hinge"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """Decision values z = x·W + b of features as they are (standardisation is folded in).

    Attributes:
        weight: float32 [F, T].
        bias: float32 [T].
        strength: The C it was fitted with.
    """

    weight: F32
    bias: F32
    strength: float

    def decision(self, features: F32) -> F32:
        """Decision values, float32 [n, T], of features float32 [n, F]; logits for the logistic loss."""
        out: F32 = features @ self.weight + self.bias
        return out


class LinearProblem:
    """Features and targets, standardised and rotated once, solved for as many C as wanted.

    Args:
        features: float32 [n, F]; standardised to mean 0 and variance 1 a column (constant columns
            are only centred). Not changed, and not kept.
        targets: int8 [n, T]; +1, −1, or 0 = unknown, which no loss sees.
        loss: `logistic`, log(1 + exp(−m)), or `squared_hinge`, max(0, 1 − m)².

    Raises:
        FitError: no rows, or another number of rows in the two.
    """

    def __init__(self, features: F32, targets: I8, *, loss: Loss = "logistic") -> None:
        if not len(features) or len(features) != len(targets):
            raise FitError(
                f"{len(features)} rows of features and {len(targets)} of targets: expected as many of both"
            )
        self._loss = loss
        self._signs = targets.astype(np.float32)
        self._mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = features.std(axis=0, dtype=np.float64).astype(np.float32)
        self._scale = np.where(scale > 0, scale, np.float32(1))
        standard = (features - self._mean) / self._scale
        eigenvalues, vectors = np.linalg.eigh(standard.T @ standard)
        self._spectrum: F64 = np.maximum(eigenvalues.astype(np.float64), 0.0)
        self._rotation: F32 = vectors.astype(np.float32, copy=False)
        self._rows: F32 = standard @ self._rotation
        self._known: F64 = np.abs(self._signs).mean(axis=0, dtype=np.float64)
        self._start: F64 | None = None

    def path(self, strengths: Sequence[float], *, iterations: int = 100) -> Iterator[LinearModel]:
        """Solve for each C in turn, each started from the solution before it; go from small to large."""
        for strength in strengths:
            yield self.solve(strength, iterations=iterations)

    def solve(self, strength: float, *, iterations: int = 100, tolerance: float = 1e-4) -> LinearModel:
        """Minimise for one C, starting from the last solution of this problem.

        Args:
            strength: C.
            iterations: At most so many.
            tolerance: Stop when no component of the mean loss's scaled gradient is larger.
        """
        count, features = self._rows.shape
        targets = self._signs.shape[1]
        slope = self._known * (0.25 if self._loss == "logistic" else 1.0)
        # Per coordinate: C·c·λ + 1, the diagonal of the Hessian in the rotated basis, over C·n.
        curvature = (slope * self._spectrum[:, None]) / count + 1.0 / (strength * count)
        step = 1.0 / np.sqrt(np.vstack([curvature, np.maximum(slope, 1e-6)[None, :]]))
        start = np.zeros((features + 1, targets)) if self._start is None else self._start / step
        ridge = 1.0 / (strength * count)

        def objective(flat: F64) -> tuple[float, F64]:
            scaled = flat.reshape(features + 1, targets) * step
            weight, bias = scaled[:-1], scaled[-1]
            margins = (self._rows @ weight.astype(np.float32) + bias.astype(np.float32)) * self._signs
            value, pull = self._losses(margins)
            gradient = np.empty_like(scaled)
            gradient[:-1] = (self._rows.T @ pull).astype(np.float64) / count + ridge * weight
            gradient[-1] = pull.sum(axis=0, dtype=np.float64) / count
            gradient *= step
            return value / count + 0.5 * ridge * float(np.vdot(weight, weight)), gradient.ravel()

        result = minimize(
            objective,
            start.ravel(),
            jac=True,
            method="CG",
            # float32 products bound the precision: a smaller tolerance only costs iterations.
            options={"maxiter": iterations, "gtol": tolerance},
        )
        _log.info("linear model: C = %g, %d targets, %d evaluations", strength, targets, result.nfev)
        solution: F64 = result.x.reshape(features + 1, targets) * step
        self._start = solution
        weight = np.asarray(
            self._rotation @ solution[:-1].astype(np.float32) / self._scale[:, None], np.float32
        )
        bias = solution[-1] - self._mean.astype(np.float64) @ weight.astype(np.float64)
        return LinearModel(weight, bias.astype(np.float32), strength)

    def _losses(self, margins: F32) -> tuple[float, F32]:
        """Sum of losses of known entries, and ∂loss/∂decision, float32 [n, T]."""
        if self._loss == "logistic":
            # An unknown entry has sign 0: its margin is 0 and its loss log 2, taken off again.
            # (log1p(exp(−|m|)) + max(0, −m) is logaddexp(0, −m), many times faster.)
            value = float(np.log1p(np.exp(-np.abs(margins))).sum(dtype=np.float64))
            value += float(np.maximum(-margins, np.float32(0)).sum(dtype=np.float64))
            value -= float(np.log(2.0)) * float((self._signs == 0).sum())
            return value, -self._signs * expit(-margins)
        slack = np.maximum(np.float32(1) - margins, np.float32(0)) * np.abs(self._signs)
        return float(np.square(slack).sum(dtype=np.float64)), -2 * self._signs * slack
