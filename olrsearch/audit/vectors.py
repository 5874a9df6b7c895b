"""Label embeddings as scorers take them: checked, and with the images that have something to say.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.errors import AuditError

if TYPE_CHECKING:
    from olrsearch.arrays import F32, I64
    from olrsearch.audit.material import Material


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
