"""KL features in few numbers.

A search by KL ranks images by ⟨f, g⟩, f an image's features and g a query's. Images vary and queries
look in few directions. With C_f the covariance of image features and C_q the second moment of sampled
queries, both are put into the coordinates

    z = Λ^−¼ Uᵀ C_q^½ (f − f̄),    h = Λ^¼ Uᵀ C_q^−½ g,    C_q^½ C_f C_q^½ = U Λ Uᵀ,

so that ⟨z, h⟩ = ⟨f − f̄, g⟩, and the first W of them lose least of ⟨f, g⟩ in the mean square over images
and sampled queries. Coordinates may be stretched by any Λ^a; a = −¼ makes what the rest can add at most,
‖z_rest‖ ‖h_rest‖, smallest in the mean.

Notation: N images, F numbers a feature.

Source: the projection is canonical in form (Eckart and Young 1936, of C_q^½ C_f^½).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from olrsearch.core.arrays import F32, F64, I64

BLOCK: Final = 8192
"""Rows converted at a time."""

SAMPLED_IMAGES: Final = 20_000
"""Image features that moments are taken of."""

_QUERY_FLOOR: Final = 1e-7  # of C_q's largest eigenvalue: directions no sampled query looks in stay finite
_WEIGHT_FLOOR: Final = 1e-12
_NO_VARIANCE: Final = 1e-30  # images that are all alike, or one: nothing tells them apart


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The change of coordinates; all F of them, the most telling first.

    Attributes:
        centre: f̄, float64 [F].
        images: float64 [F, F]: z = (f − f̄) @ images.
        queries: float64 [F, F]: h = g @ queries.
        weights: Λ, float64 [F], descending: mean square of what a coordinate adds to ⟨f, g⟩.
    """

    centre: F64
    images: F64
    queries: F64
    weights: F64

    @classmethod
    def of(cls, features: F32, samples: Mapping[str, F64], *, seed: int = 0) -> Projection:
        """Fitted to a gallery and to sampled queries.

        Args:
            features: float32 [N, F] of the gallery; moments are taken of `SAMPLED_IMAGES` of them.
            samples: Kind of query → float64 [q, F], query features. Kinds count alike: each moment is
                divided by the variance of the ⟨f, g⟩ of its kind.
            seed: Of the drawing of images.

        Raises:
            VectorError: no features, no samples, or samples of another length.
        """
        check_features(features)
        size = features.shape[1]
        if not samples or any(s.ndim != 2 or not len(s) or s.shape[1] != size for s in samples.values()):
            shapes = {kind: sample.shape for kind, sample in samples.items()}
            raise VectorError(f"samples of queries {shapes}: expected one kind or more of [q, {size}]")
        some = sampled_rows(len(features), seed)
        drawn = features[some].astype(np.float64)
        centre: F64 = drawn.mean(axis=0)
        drawn -= centre
        spread = drawn.T @ drawn / len(drawn)
        moment = np.zeros((size, size))
        for sample in samples.values():
            second = sample.T @ sample / len(sample)
            variance = float(np.einsum("ij,ij->", second, spread))
            moment += second / (variance if variance > _NO_VARIANCE else 1.0)
        values, vectors = np.linalg.eigh(moment)
        values = np.maximum(values, _QUERY_FLOOR * values[-1])
        root = (vectors * np.sqrt(values)) @ vectors.T
        inverse = (vectors / np.sqrt(values)) @ vectors.T
        weights, turned = np.linalg.eigh(root @ spread @ root)
        weights, turned = weights[::-1], turned[:, ::-1]
        weights = np.maximum(weights, _WEIGHT_FLOOR * max(weights[0], 1e-300))
        stretch = weights**-0.25
        return cls(centre, root @ turned * stretch, inverse @ turned / stretch, weights)

    @property
    def size(self) -> int:
        """Numbers a feature, F."""
        return len(self.centre)

    def project(self, features: F32 | F64) -> F64:
        """Some images in these coordinates, z: float64 [n, F]."""
        found: F64 = (features.astype(np.float64) - self.centre) @ self.images
        return found

    def query(self, query: F64) -> F64:
        """A query in these coordinates, h: float64 [F].

        Raises:
            VectorError: the query has another length, or is not finite.
        """
        found: F64 = check_query(query, self.size) @ self.queries
        return found


def sampled_rows(count: int, seed: int) -> I64:
    """Up to `SAMPLED_IMAGES` rows drawn without replacement, int64."""
    rng = np.random.default_rng([seed, 0x4B4C])
    drawn: I64 = rng.permutation(count)[:SAMPLED_IMAGES]
    return drawn


def row_blocks(count: int) -> Iterator[slice]:
    """Slices of `BLOCK` rows."""
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def check_features(features: F32) -> None:
    """Refuse what are no image features.

    Raises:
        VectorError: none, or not float32 [N, F].
    """
    if features.ndim != 2 or not features.size or features.dtype != np.float32:
        raise VectorError(f"KL features must be float32 [N, F], found {features.dtype} {features.shape}")


def check_query(query: F64, size: int) -> F64:
    """A query's features as float64 [F].

    Raises:
        VectorError: another shape, NaN or infinities.
    """
    asked = np.asarray(query, np.float64)
    if asked.shape != (size,) or not np.isfinite(asked).all():
        raise VectorError(f"a query's KL features must be {size} finite numbers, found shape {asked.shape}")
    return asked
