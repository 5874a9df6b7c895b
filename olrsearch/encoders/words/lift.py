"""From a table of word vectors into an encoder's latent space: an affine map, fitted to the labels.

Notation: W labels, m vectors, D numbers a word in the table, d dimensions of the latent space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from olrsearch.core.errors import WordVectorsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from olrsearch.core.arrays import F64

Transform = Literal["none", "centre", "whiten"]
"""How word vectors become points of the latent space; see `fit_lift`."""

TRANSFORMS: Final[tuple[Transform, ...]] = get_args(Transform)

SHRINKAGE: Final = 0.1
"""γ of `whiten`: the share of their mean that the variances of label vectors are drawn to."""

TEMPERATURE: Final = 0.05
"""Of the softmax over cosines that puts other words among the labels; see `among`."""

_SPANNED: Final = 1e-9
"""Share of the largest variance above which a direction counts as one that labels differ in."""


@dataclass(frozen=True, slots=True, eq=False)
class Lift:
    """The map z = (v − mean) · matrix.

    Attributes:
        mean: float64 [D].
        matrix: float64 [D, d].
    """

    mean: F64
    matrix: F64

    def apply(self, vectors: ArrayLike) -> F64:
        """Vectors of the table as points of the latent space.

        Args:
            vectors: float [m, D].

        Returns:
            float64 [m, d].

        Raises:
            WordVectorsError: vectors of another dimension.
        """
        given = np.asarray(vectors, np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.mean):
            raise WordVectorsError(
                f"vectors of shape {given.shape} for an encoder whose words have {len(self.mean)} numbers: "
                f"expected [m, {len(self.mean)}], from the table it was trained with"
            )
        found: F64 = (given - self.mean) @ self.matrix
        return found

    def rounded(self) -> Lift:
        """The same map as a model file keeps it."""
        return Lift(rounded(self.mean), rounded(self.matrix))


def rounded(array: F64) -> F64:
    """The numbers that a model file keeps, which are float32."""
    return array.astype(np.float32).astype(np.float64)


def fit_lift(
    vectors: ArrayLike,
    kind: Transform,
    size: int | None = None,
    *,
    shrinkage: float = SHRINKAGE,
) -> Lift:
    """Fit the map to the label vectors.

    `none` leaves vectors as they are. `centre` subtracts the labels' mean and multiplies with one
    number. `whiten` subtracts the mean and multiplies with (Σ_γ)^(−½) (ZCA: of all whitenings the one
    that moves vectors least), where Σ_γ has the eigenvectors of the labels' covariance and its
    variances λ_i drawn to their mean λ̄: (1 − γ) λ_i + γ λ̄. With γ = 1 that is `centre`. With γ = 0
    and no more than D + 1 labels in general position every label is as far from every other: as
    one-hot vectors are, and nothing is left of what words have in common. Directions in which the
    labels do not differ (40 labels span 39 of 50 dimensions), and in which a word that no label has
    lies in part, have no variance to divide by: they are scaled as λ̄, like `centre` would.

    Under `centre` and `whiten` the lifted label vectors have the root mean square length 1, as one-hot
    vectors, which a shrinkage λ I of a prior is small or large against.

    `size` takes coordinates along the principal directions of the centred label vectors, those of the
    largest variance first; if they are too few, along further directions orthogonal to them.

    Args:
        vectors: float [W, D], the label vectors.
        kind: `none`, `centre` or `whiten`.
        size: d, from 1 to D; None keeps the table's own coordinates, d = D.
        shrinkage: γ, from 0 to 1; `whiten` alone has it.

    Raises:
        WordVectorsError: another kind, a size or γ outside its range, vectors that are not
            finite, or labels that all have the same vector.
    """
    given = np.asarray(vectors, np.float64)
    _check(given, kind, size, shrinkage)
    count, dimensions = given.shape
    centre = given.mean(axis=0)
    variances, directions = _principal(given - centre)
    if kind == "none":
        matrix = np.eye(dimensions)
    else:
        spanned = variances > _SPANNED * variances[0]
        if count < 2 or not variances[0] > 0:
            raise WordVectorsError(
                f"{count} labels that all have the same vector cannot be {kind}d: expected two different ones"
            )
        typical = variances[spanned].mean()
        scales = np.ones(dimensions)
        if kind == "whiten":
            drawn = (1 - shrinkage) * variances + shrinkage * typical
            scales = 1 / np.sqrt(np.where(spanned, drawn, typical) / typical)
        matrix = (directions * scales) @ directions.T
    if size is not None and size < dimensions:
        matrix = matrix @ directions[:, :size]
    mean = np.zeros(dimensions) if kind == "none" else centre
    if kind != "none":
        lifted = (given - mean) @ matrix
        matrix = matrix * (1.0 / np.sqrt(np.einsum("wd,wd->", lifted, lifted) / count))
    return Lift(mean, matrix)


def _principal(centred: F64) -> tuple[F64, F64]:
    """Variances [D], falling, and directions [D, D] of vectors about 0, one a column."""
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
    # An eigenvector has no sign of its own: the largest entry is made positive, on every machine.
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(len(variances))]
    return variances, directions * np.where(largest < 0, -1.0, 1.0)


def _check(vectors: F64, kind: str, size: int | None, shrinkage: float) -> None:
    if vectors.ndim != 2 or not vectors.size or not np.isfinite(vectors).all():
        raise WordVectorsError(
            f"label vectors of shape {vectors.shape}: expected [W, D], of one label or more, all finite"
        )
    if kind not in TRANSFORMS:
        raise WordVectorsError(
            f"the transform {kind!r} of word vectors is unknown: expected {', '.join(TRANSFORMS)}"
        )
    if size is not None and not 1 <= size <= vectors.shape[1]:
        raise WordVectorsError(
            f"{size} dimensions out of word vectors of {vectors.shape[1]}: expected 1 to {vectors.shape[1]}"
        )
    if not 0 <= shrinkage <= 1:
        raise WordVectorsError(f"shrinkage γ = {shrinkage:g} of a whitening: expected 0 to 1")


def among(vector: F64, points: F64, lift: Lift) -> F64:
    """Where a vector of the table lies in the latent space under `whiten`, float64 [d].

    Whitening keeps the labels apart by blowing up what they hardly differ in, and what a strange word differs
    in from all of them is blown up alike. So a word lies among the labels: their points, weighted by a
    softmax of the cosines in the table about the labels' mean.

    Args:
        vector: float64 [D].
        points: float64 [W, d], of the labels.
        lift: Theirs.
    """
    labels = points @ np.linalg.pinv(lift.matrix)
    apart = vector - lift.mean
    norms = np.linalg.norm(labels, axis=1) * np.linalg.norm(apart)
    cosines = labels @ apart / np.maximum(norms, np.finfo(np.float64).tiny)
    share = np.exp((cosines - cosines.max()) / TEMPERATURE)
    blended: F64 = share / share.sum() @ points
    return blended
