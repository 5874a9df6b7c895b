"""P7 of search by divergence: its report, and posteriors in fewer dimensions than they have.

Notation: N images, W words, d dimensions, k ≤ d of them kept, T = d(d+1)/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.report import Report, Table
from olrsearch.maths.triangles import pack, triangle, unpack

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64

_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class ProjectedPosteriors:
    """Marginals of posteriors, and of the words, in k dimensions.

    Attributes:
        mean: float32 [N, k].
        factor: float32 [N, k(k+1)/2], packed.
        vectors: float64 [W, k].
    """

    mean: F32
    factor: F32
    vectors: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class KlSpeedReport(Report):
    """P7 by divergence.

    Attributes:
        space: What was searched.
        rows: One JSON-ready dict a figure, of exact search (`KlSpeedRow`) and of recipes (`KlRow`), with
            `dimensions`.
    """

    space: str
    rows: tuple[dict[str, Any], ...]

    def lines(self) -> list[dict[str, Any]]:
        """The figures with the space's name."""
        return [{**row, "space": self.space} for row in self.rows]

    def tables(self) -> tuple[Table, ...]:
        """A table for each dimension."""
        columns = ("metric", "value", "quartiles", "target", "reached", "unit")
        return tuple(
            Table(
                f"{size} dimensions",
                columns,
                tuple(
                    (
                        row["metric"],
                        row["value"],
                        None if row.get("low") is None else f"{row['low']:.2f}–{row['high']:.2f}",
                        row["target"],
                        row["passed"],
                        row["unit"],
                    )
                    for row in self.rows
                    if row["dimensions"] == size
                ),
                note=f"Space {self.space}.",
            )
            for size in sorted({row["dimensions"] for row in self.rows})
        )


def project_posteriors(mean: F32, factor: F32, vectors: F64, size: int) -> ProjectedPosteriors:
    """Marginals along the leading principal directions of the means.

    A marginal of N(μ, Σ) is N(P μ, P Σ Pᵀ); P has orthonormal rows, so a prior of projected words is the
    marginal of the words' prior.

    Args:
        mean: float32 [N, d].
        factor: float32 [N, T], packed.
        vectors: float64 [W, d].
        size: k; d leaves everything as it is.

    Raises:
        BenchmarkError: there are no posteriors, or more dimensions are asked for than they have.
    """
    full = mean.shape[1]
    if not len(mean) or not 1 <= size <= full:
        raise BenchmarkError(
            f"{size} dimensions of {len(mean)} posteriors with {full}: expected 1 to {full}, of one or more"
        )
    if size == full:
        return ProjectedPosteriors(mean, factor, vectors)
    centred = mean - mean.mean(axis=0, dtype=np.float64)
    # The eigenvectors of the largest eigenvalues, which eigh gives in rising order.
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :size]
    packed = np.empty((len(mean), triangle(size)), np.float32)
    for start in range(0, len(mean), _BLOCK):
        rows = slice(start, start + _BLOCK)
        spread = directions.T @ unpack(factor[rows].astype(np.float64), full)
        packed[rows] = pack(np.linalg.cholesky(spread @ spread.swapaxes(1, 2)))
    return ProjectedPosteriors((mean @ directions).astype(np.float32), packed, vectors @ directions)
