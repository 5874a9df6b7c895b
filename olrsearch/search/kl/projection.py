"""KL features in few numbers, and how wrong these can be.

A search by KL ranks images by ⟨f, g⟩, f an image's features and g a query's. Images vary and queries
look in few directions. With C_f the covariance of image features and C_q the second moment of sampled
queries, both are put into the coordinates

    z = Λ^−¼ Uᵀ C_q^½ (f − f̄),    h = Λ^¼ Uᵀ C_q^−½ g,    C_q^½ C_f C_q^½ = U Λ Uᵀ,

so that ⟨z, h⟩ = ⟨f − f̄, g⟩, and the first m of them lose least of ⟨f, g⟩ in the mean square over images
and sampled queries. What the rest can add is at most ‖z_rest‖ ‖h_rest‖ (Cauchy and Schwarz). Coordinates
may be stretched by any Λ^a; a = −¼ makes that product smallest in the mean, and the bound so tight that it
proves answers.

Notation: N images, F numbers a feature, m numbers kept, W = m + 3 numbers stored an image.

Source: the projection is canonical in form (Eckart and Young 1936, of C_q^½ C_f^½); proposals in the order
of a lower bound are Seidl and Kriegel 1998, "Optimal multi-step k-nearest neighbor search".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import VectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from olrsearch.core.arrays import F32, F64, I64, Bool

BLOCK: Final = 8192
"""Rows converted at a time."""

SAMPLED_IMAGES: Final = 20_000
"""Image features that moments are taken of."""

BOUNDS: Final = 3
"""Numbers beside the m: what was left out, how the kept were rounded, how the features were."""

_UNIT: Final = 2.0**-24  # float32's unit roundoff
_QUERY_FLOOR: Final = 1e-7  # of C_q's largest eigenvalue: directions no sampled query looks in stay finite
_WEIGHT_FLOOR: Final = 1e-12
_NO_VARIANCE: Final = 1e-30  # images that are all alike, or one: nothing tells them apart
_HALF_MAX: Final = 6e4  # below float16's largest number, 65504
_SLACK: Final = 1.001  # for the rounding of the bounds themselves, which is 10⁻⁵ of them


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

    def share(self, kept: int) -> float:
        """How much of the mean square of ⟨f − f̄, g⟩ the first `kept` coordinates hold, 0 to 1."""
        return float(self.weights[:kept].sum() / self.weights.sum())

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


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """A projection cut to m numbers that are stored as float16, with bounds of what that loses.

    An image is stored as (z_1 … z_m, r, s, t): r = ‖z_rest‖; s bounds the rounding of the z kept
    and of sums over them; t that of the features in float32. Every number is exact in float16, the bounds
    rounded up. Then ⟨f, g⟩ ≥ ⟨f̄, g⟩ + ⟨stored, query of `lower`⟩.

    Attributes:
        projection: All coordinates.
        kept: m.
        scale: float64 [W], stored numbers times these are z, r, s and t.
    """

    projection: Projection
    kept: int
    scale: F64

    @classmethod
    def of(cls, projection: Projection, features: F32, width: int, *, seed: int = 0) -> Bounded:
        """With scales that bring numbers of typical images to about 1.

        Args:
            projection: Of these features.
            features: float32 [N, F].
            width: W, numbers stored an image.
            seed: Of the drawing of images the scales are taken from.

        Raises:
            VectorError: a width that leaves no number of the projection, or is above F + 3.
        """
        kept = width - BOUNDS
        if not 1 <= kept <= projection.size:
            raise VectorError(
                f"{width} numbers an image: expected {1 + BOUNDS} to {projection.size + BOUNDS}"
            )
        plain = cls(projection, kept, np.ones(width))
        some = sampled_rows(len(features), seed)[:BLOCK]
        numbers = plain._numbers(features[some])
        scale = np.ones(width)
        scale[:kept] = max(float(np.abs(numbers[:, :kept]).mean()), 1e-30)
        scale[kept:] = np.maximum(np.median(numbers[:, kept:], axis=0), 1e-30)
        return cls(projection, kept, scale)

    @property
    def width(self) -> int:
        """W."""
        return len(self.scale)

    def stored(self, features: F32) -> tuple[F32, Bool]:
        """What is stored of some images.

        Args:
            features: float32 [n, F].

        Returns:
            float32 [n, W], every number a float16, and a mask of images too far out for float16: theirs
            are zeros, and they must always be scored in full.
        """
        numbers = self._numbers(features) / self.scale
        far: Bool = np.abs(numbers).max(axis=1) > _HALF_MAX
        numbers[far] = 0.0
        half = numbers.astype(np.float16)
        bounds = half[:, self.kept :]
        low = bounds < numbers[:, self.kept :]
        bounds[low] = np.nextafter(bounds[low], np.float16(np.inf))
        return half.astype(np.float32), far

    def lower(self, query: F64) -> tuple[F32, float]:
        """The vector, and a number to add: ⟨stored, vector⟩ + number is not above ⟨f, g⟩.

        Args:
            query: float64 [F], g.

        Returns:
            float32 [W] and ⟨f̄, g⟩.
        """
        turned = self.projection.query(query)
        kept, rest = turned[: self.kept], turned[self.kept :]
        slack = [np.linalg.norm(rest), np.linalg.norm(kept), np.linalg.norm(query)]
        vector = np.concatenate([kept, -_SLACK * np.array(slack)]) * self.scale
        return vector.astype(np.float32), float(self.projection.centre @ query)

    def middle(self, query: F64) -> F32:
        """The vector whose inner product with what is stored is nearest to ⟨f − f̄, g⟩, float32 [W]."""
        vector = np.zeros(self.width)
        vector[: self.kept] = self.projection.query(query)[: self.kept]
        return (vector * self.scale).astype(np.float32)

    def _numbers(self, features: F32) -> F64:
        """(z, r, s, t), float64 [n, W], as if float16 had all exponents."""
        turned = self.projection.project(features)
        out = np.empty((len(features), self.width))
        out[:, : self.kept] = turned[:, : self.kept]
        scaled = np.clip(out[:, : self.kept] / self.scale[: self.kept], -_HALF_MAX, _HALF_MAX)
        rounded = scaled.astype(np.float16).astype(np.float64) * self.scale[: self.kept]
        # A float32 sum of W products, the query rounded too, errs by (W + 4) units of ‖z‖ ‖h‖ at most.
        summing = (self.width + 4) * _UNIT * np.linalg.norm(rounded, axis=1)
        out[:, self.kept] = np.linalg.norm(turned[:, self.kept :], axis=1)
        out[:, self.kept + 1] = np.linalg.norm(out[:, : self.kept] - rounded, axis=1) + summing
        out[:, self.kept + 2] = _UNIT * np.linalg.norm(features.astype(np.float64), axis=1)
        return out


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
