"""Label embeddings as scorers take them: checked, in few coordinates, and who has something to say of them.

Notation: N images, L labels, k numbers a label, p principal coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import AuditError
from olrsearch.maths.covariance import scatter

if TYPE_CHECKING:
    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F32, I64

COORDINATES: Final = 3
"""Principal coordinates, at least. Votes in 2, 3, 4, 8 or 12 find as many flipped labels of CelebA as votes
in all 32 do; in few, the nearest lie together in few cells of an index."""

VARIANCE: Final = 0.8
"""Share of the variance they hold, at least: more coordinates where no few stand out."""

_SAMPLE: Final = 20_000


def label_vectors(material: Material, fold: int, label: int) -> F32:
    """e^l of all images as models that did not see a fold give it, float32 [N, k]; not copied.

    Raises:
        AuditError: another shape or dtype, NaN or infinities.
    """
    vectors = material.views.embeddings(fold, label)
    name = material.names[label]
    if vectors.ndim != 2 or len(vectors) != material.images or vectors.dtype != np.float32:
        raise AuditError(
            f"embeddings of {name} are {vectors.dtype} {vectors.shape}: expected float32, one row for each "
            f"of {material.images} images"
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise AuditError(
            f"{int((~finite).sum())} of {len(vectors)} embeddings of {name} hold NaN or infinities: "
            "encode again"
        )
    return vectors


def known_outside(material: Material, fold: int, label: int) -> tuple[I64, I64]:
    """Rows of the other folds where a label is given as present, and as absent; int64, ascending."""
    given = material.given[:, label]
    outside = material.fold != fold
    return np.flatnonzero(outside & (given > 0)), np.flatnonzero(outside & (given < 0))


def principal_coordinates(vectors: F32) -> F32:
    """Vectors in their first principal coordinates: distances without the many that hold next to nothing.

    Args:
        vectors: float32 [N, k], finite, N ≥ 1.

    Returns:
        float32 [N, p], p the smallest number ≥ `COORDINATES` that holds `VARIANCE` of the variance, at
        most k; the axes are those of `_SAMPLE` of the vectors where there are more.
    """
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLE)).astype(np.int64)
    sample = vectors[rows].astype(np.float64)
    mean = sample.mean(axis=0)
    sample -= mean
    variances, axes = np.linalg.eigh(scatter(sample))
    held = np.cumsum(variances[::-1])
    enough = int(np.searchsorted(held, VARIANCE * held[-1])) + 1
    first = axes[:, ::-1][:, : max(COORDINATES, enough)].astype(np.float32)
    out: F32 = np.einsum("nk,kp->np", vectors - mean.astype(np.float32), first)
    return out
