"""Embeddings changed so that an image's labels are others: as the paper does, and along directions.

Notation: n images, L labels, k numbers a label; E ∈ R^{L×k} an image's embedding, z ∈ R^L its calibrated
logits.

Source: paper 000, section 4.5, equations 4 and 5; directions are an extension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import expit

from olrsearch.core.arrays import blocks_of
from olrsearch.core.errors import FitError
from olrsearch.maths.covariance import shrunk_covariance
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.triangles import cholesky

if TYPE_CHECKING:
    from collections.abc import Mapping

    from olrsearch.core.arrays import F32, F64

FEWEST: Final = 2
"""Images of either kind without which nothing is fitted to a label."""

_FLOOR: Final = 1e-6
"""Least variance in any direction of a label's Gaussian, as a share of the mean one."""

_RIDGE: Final = 0.1
"""Added to the variances of probabilities, as a share of their mean: of labels that nearly always go together
none is held for certain while the other changes."""

REACH: Final = 1.5
"""How far an edit of strength 1 goes from the middle between images without a label and with it: to a typical
image at 1. Decoders draw back to the middle, so that less is often not seen; chosen on selection images."""

_LEAST: Final = 1e-12
"""Of a variance, where nothing varies."""

_BLOCK: Final = 1024


def label_gaussian(vectors: F32) -> Gaussians:
    """The Gaussian of a label: where the vectors e^l of the images that have it lie, a batch of one.

    Args:
        vectors: float32 [n, k].

    Raises:
        FitError: fewer than `FEWEST` vectors, or NaN among them.

    Source: paper 000, equations 4 (mean) and 5 (covariance); shrunk by Ledoit and Wolf's rule.
    """
    if len(vectors) < FEWEST or not np.isfinite(vectors).all():
        raise FitError(
            f"{len(vectors)} vectors to fit a Gaussian to, expected {FEWEST} or more, all of finite numbers"
        )
    found = vectors.astype(np.float64)
    mean = found.mean(axis=0)
    covariance, _ = shrunk_covariance(found - mean)
    size = len(covariance)
    floor = max(_FLOOR * float(np.trace(covariance)) / size, _LEAST)
    return Gaussians(mean[None], cholesky((covariance + floor * np.eye(size))[None]))


def replaced(embedding: F32, label: int, vector: F64, *, added: bool, strength: float) -> F32:
    """The paper's edit: e^l := s x to add a label, and a scaled-down x, or zero, to remove it.

    Args:
        embedding: float32 [L, k]; not changed.
        label: l.
        vector: x float64 [k], the mean of the label's Gaussian or a sample of it.
        added: Whether the label is added.
        strength: s, above 0. Removing scales x down to 1 − s, so that 1 and more give zero.

    Returns:
        float32 [L, k].

    Source: paper 000, section 4.5, figures 7 and 8.
    """
    out = embedding.copy()
    out[label] = vector * (strength if added else max(0.0, 1.0 - strength))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """How whole embeddings change with the probability of one label, those of the others held.

    E is regressed on the probabilities of all labels at once: cov(E, p) (cov(p) + ridge)⁻¹. What a direction
    does not explain of an embedding it leaves as it is, so the rest of a face stays.

    Attributes:
        steps: float64 [L, L, k], the change of E along each label's direction that changes the label's own
            logit by one nat.
        effect: float64 [L, L], by how much a step of the first label changes the logit of the second, nats.
        low: float64 [L], the mean logit of images that are found to lack the label, nats.
        high: float64 [L], that of images that are found to have it.
    """

    steps: F64
    effect: F64
    low: F64
    high: F64

    def target(self, label: int, *, added: bool, strength: float) -> float:
        """The logit that an edit aims at, nats; at strength 1 `REACH` times as far as a typical image goes.

        Args:
            label: l.
            added: Whether the label is added.
            strength: Factor on the way there from the middle between both sides.
        """
        middle = float(self.low[label] + self.high[label]) / 2
        side = float(self.high[label] if added else self.low[label])
        return middle + REACH * strength * (side - middle)

    def moved(self, embedding: F32, nats: Mapping[int, float]) -> F32:
        """An embedding moved so that the logits of some labels change by so many nats.

        Args:
            embedding: float32 [L, k]; not changed.
            nats: The change of each label that is asked for; 0 holds one. Labels that are not named move
                along as far as the directions of these take them.
        """
        asked = list(nats)
        # One label's step changes the logit of another asked one too: together they come to what is asked.
        effect = self.effect[np.ix_(asked, asked)].T
        far = np.linalg.lstsq(effect, np.array([nats[label] for label in asked]), rcond=None)[0]
        change: F64 = np.einsum("a,amk->mk", far, self.steps[asked])
        return np.asarray(embedding + change, np.float32)


def fit_directions(embeddings: F32, logits: F64, weights: F64) -> Directions:
    """Directions of all labels.

    Args:
        embeddings: float32 [L, n, k].
        logits: float64 [L, n], calibrated, nats.
        weights: float64 [L, k], of the readout, times the calibration's slopes: E's change to that of logits.

    Raises:
        FitError: fewer than `FEWEST` images, or numbers that are none.
    """
    labels, count, size = embeddings.shape
    if count < FEWEST or not (np.isfinite(embeddings).all() and np.isfinite(logits).all()):
        raise FitError(
            f"{count} images to fit directions to, expected {FEWEST} or more, all of finite numbers"
        )
    chances = expit(logits)
    chances -= chances.mean(axis=1, keepdims=True)
    spread = chances @ chances.T / count
    ridge = _RIDGE * float(np.trace(spread)) / labels + _LEAST
    together = np.zeros((labels, labels, size))
    for rows in blocks_of(np.arange(count), _BLOCK):
        # centred probabilities have the mean 0, so the embeddings' own mean drops out
        together += np.einsum("ln,mnk->lmk", chances[:, rows], embeddings[:, rows], optimize=True)
    solved = np.linalg.solve(spread + ridge * np.eye(labels), together.reshape(labels, -1) / count)
    steps = _unit_steps(solved.reshape(together.shape), weights)
    return Directions(steps, np.einsum("lmk,mk->lm", steps, weights), *_sides(logits))


def _unit_steps(steps: F64, weights: F64) -> F64:
    """Steps [L, L, k] of such a length that each changes its own label's logit by one nat.

    Where a label's probability never changes, nothing is known of what goes with it: its vector moves alone.
    """
    own = np.arange(len(steps))
    rate = np.einsum("lk,lk->l", steps[own, own], weights)
    flat = rate <= _LEAST
    steps[flat] = 0
    steps[own[flat], own[flat]] = weights[flat]
    rate[flat] = np.maximum(np.einsum("lk,lk->l", weights, weights)[flat], _LEAST)
    unit: F64 = steps / rate[:, None, None]
    return unit


def _sides(logits: F64) -> tuple[F64, F64]:
    """Mean logits of images found to lack and to have each label.

    A label that all images are found to have, or all to lack, gets the other side opposite: as far from 0.
    """
    low, high = np.empty(len(logits)), np.empty(len(logits))
    for label, row in enumerate(logits):
        has = row > 0
        if has.any():
            high[label] = row[has].mean()
        if not has.all():
            low[label] = row[~has].mean()
        if not has.any():
            high[label] = -low[label]
        if has.all():
            low[label] = -high[label]
    return low, high
