"""Pictures as linear functions of numbers: principal components of pixels, and ridge regression onto them.

Notation: n images, D numbers an image, P = H · W · 3 values of a picture, r components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.arrays import blocks_of
from olrsearch.core.errors import FitError

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64, U8

_SAMPLE: Final = 4096
_SPARE: Final = 32
_ROUNDS: Final = 2
_ROWS: Final = 1024
_STRENGTHS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the ridge, in units of the variance of a standardised number."""

_CONSTANT: Final = 1e-6
"""A number that varies less than this says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureBasis:
    """Mean picture and principal components.

    Attributes:
        mean: float32 [P], on the scale 0 to 1.
        axes: float32 [r, P], orthonormal, by falling variance.
    """

    mean: F32
    axes: F32

    def coordinates(self, pixels: U8) -> F32:
        """Pictures uint8 [n, H, W, 3] in the basis, float32 [n, r]."""
        out = np.empty((len(pixels), len(self.axes)), np.float32)
        for start in range(0, len(pixels), _ROWS):
            part = slice(start, start + _ROWS)
            out[part] = (_flat(pixels[part]) - self.mean) @ self.axes.T
        return out

    def pictures(self, coordinates: F32) -> F32:
        """Pictures of coordinates float32 [n, r], float32 [n, P]; values may lie beyond 0 to 1."""
        found: F32 = self.mean + coordinates @ self.axes
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """y = x·W + b of numbers as they are: standardisation is folded in.

    Attributes:
        weight: float32 [D, T].
        bias: float32 [T].
        strength: What it was fitted with.
    """

    weight: F32
    bias: F32
    strength: float

    def __call__(self, numbers: F32) -> F32:
        """float32 [n, D] → float32 [n, T]."""
        found: F32 = numbers @ self.weight + self.bias
        return found


def principal_pictures(pixels: U8, rows: I64, rank: int, *, seed: int = 0) -> PictureBasis:
    """Mean and principal components of some pictures.

    Args:
        pixels: uint8 [N, H, W, 3], perhaps memory-mapped.
        rows: int64 [n], which of them; the components are found in some thousand of these, evenly chosen.
        rank: r; fewer are found in fewer pictures.
        seed: Of the random start.

    Raises:
        FitError: fewer than two pictures.

    Source: Halko, Martinsson and Tropp, "Finding Structure with Randomness", 2011, algorithms 4.4 and 5.1.
    """
    if len(rows) < 2:
        raise FitError(f"{len(rows)} pictures have no principal components: expected 2 or more")
    chosen = np.sort(rows)[:: max(1, len(rows) // _SAMPLE)]
    sample = _flat(pixels[chosen])
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample -= mean
    rank = min(rank, len(chosen) - 1, sample.shape[1])
    rng = np.random.default_rng([seed, 0xB51])
    start = rng.normal(size=(sample.shape[1], min(sample.shape[1], len(chosen), rank + _SPARE)))
    basis = start.astype(np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(sample.T @ (sample @ basis))[0]
    small = sample @ basis
    vectors = np.linalg.eigh(small.T @ small)[1][:, ::-1][:, :rank]
    return PictureBasis(mean, np.ascontiguousarray((basis @ vectors).T, np.float32))


def unseen_ridge(numbers: F32, targets: F32, strength: float, *, folds: int = 5, seed: int = 0) -> F32:
    """What ridges say of examples that they have not seen: each fold's by a ridge to the others.

    Args:
        numbers: float32 [n, D]; not changed.
        targets: float32 [n, T].
        strength: As `fit_ridge` chooses it.
        folds: How many, at random; as many as examples where these are fewer.
        seed: Of the folds.

    Returns:
        float32 [n, T].
    """
    centre, scale = _scaling(numbers)
    middle = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
    fold = np.random.default_rng([seed, 0xF01D]).permutation(len(numbers)) % min(folds, len(numbers))
    parts = [np.flatnonzero(fold == number) for number in range(fold.max() + 1)]
    grams, crosses = [], []
    for rows in parts:
        standard = (numbers[rows] - centre) * scale
        grams.append(standard.T @ standard)
        crosses.append(standard.T @ (targets[rows] - middle))
    gram, cross = np.sum(grams, axis=0), np.sum(crosses, axis=0)
    out = np.empty_like(targets)
    for rows, own_gram, own_cross in zip(parts, grams, crosses, strict=True):
        count = max(1, len(numbers) - len(rows))
        damped = (gram - own_gram).astype(np.float64) / count + strength * np.eye(numbers.shape[1])
        weight = np.linalg.solve(damped, (cross - own_cross) / count)
        out[rows] = middle + ((numbers[rows] - centre) * scale) @ weight.astype(np.float32)
    return out


def ridge_pictures(numbers: F32, pixels: U8, rows: I64, strength: float) -> Ridge:
    """Ridge regression from numbers to every value of pictures, read in blocks.

    Args:
        numbers: float32 [n, D]; not changed.
        pixels: uint8 [N, H, W, 3], perhaps memory-mapped.
        rows: int64 [n], the pictures of these numbers.
        strength: As `fit_ridge` chooses it.
    """
    centre, scale = _scaling(numbers)
    sides = numbers.shape[1], int(np.prod(pixels.shape[1:]))
    gram, cross, middle = np.zeros((sides[0], sides[0])), np.zeros(sides, np.float32), np.zeros(sides[1])
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        standard, wanted = (numbers[part] - centre) * scale, _flat(pixels[rows[part]])
        gram += standard.T @ standard
        cross += standard.T @ wanted
        middle += wanted.sum(axis=0, dtype=np.float64)
    middle /= len(rows)
    damped = gram / len(rows) + strength * np.eye(sides[0])
    # Standardised numbers sum to nothing, so the pictures need no centring.
    weight = scale[:, None] * np.linalg.solve(damped, cross / len(rows)).astype(np.float32)
    return Ridge(weight, (middle - centre @ weight).astype(np.float32), strength)


def fit_ridge(numbers: F32, targets: F32, held: F32, held_targets: F32) -> Ridge:
    """Ridge regression, its strength chosen on examples held back.

    Args:
        numbers: float32 [n, D]; not changed.
        targets: float32 [n, T].
        held: float32 [h, D], of the examples held back.
        held_targets: float32 [h, T].

    Raises:
        FitError: no examples, or numbers that are not finite.
    """
    if not len(numbers) or not len(held):
        raise FitError(f"{len(numbers)} examples and {len(held)} held back: expected one or more of each")
    centre, scale = _scaling(numbers)
    middle = targets.mean(axis=0, dtype=np.float64).astype(np.float32)
    gram = np.zeros((numbers.shape[1], numbers.shape[1]), np.float64)
    cross = np.zeros((numbers.shape[1], targets.shape[1]), np.float32)
    for x, y in zip(blocks_of(numbers, _ROWS), blocks_of(targets, _ROWS), strict=True):
        standard = (x - centre) * scale
        gram += standard.T @ standard
        cross += standard.T @ (y - middle)
    if not (np.isfinite(gram).all() and np.isfinite(cross).all()):
        raise FitError("examples to fit a ridge to hold NaN or infinities: compute them again")
    values, vectors = np.linalg.eigh(gram / len(numbers))
    axes = vectors.astype(np.float32)
    turned = axes.T @ (cross / np.float32(len(numbers)))
    seen, wanted = ((held - centre) * scale) @ axes, held_targets - middle

    def solution(strength: float) -> F32:
        damped: F64 = 1 / (np.maximum(values, 0) + strength)
        return turned * damped[:, None].astype(np.float32)

    def error(strength: float) -> float:
        return float(np.square(seen @ solution(strength) - wanted).mean(dtype=np.float64))

    best = min(_STRENGTHS, key=error)
    weight = scale[:, None] * (axes @ solution(best))
    return Ridge(weight, middle - centre @ weight, best)


def _scaling(numbers: F32) -> tuple[F32, F32]:
    """Means and factors that standardise, float32 [D] both; a number that does not vary is left out."""
    centre = numbers.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = numbers.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > _CONSTANT, 1 / np.maximum(deviation, _CONSTANT), 0).astype(np.float32)
    return centre, scale


def _flat(pixels: U8) -> F32:
    """uint8 [n, H, W, 3] → float32 [n, P], 0 to 1."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)
