"""KL features and queries as numbers that float16 holds, and how far scores of these may be off.

Features are centred and divided by a power of two for each of the F numbers, which brings the largest to 2¹⁴
or more: nothing overflows, and float16 loses no more than its 2⁻¹¹ of whatever is not below 10⁻⁹ of the
largest. Images with a number above 2²⁰ times the typical would take these digits from all others: they are
left out, and always scored in full. A query keeps 22 bits: for products of float16 it is the sum of two
columns, what rounds to float16 and the rest. With x = (f − c) / s as stored and q = s g / unit as asked,
⟨f, g⟩ = ⟨c, g⟩ + unit ⟨x, q⟩.

Every image has a bound e of what its score may be off by. With x̂ the rounding of x, w a typical |f − c|, and
norms after multiplication by s / w (of x) and w / s (of q), by Cauchy and Schwarz

    |⟨x, q⟩ − computed| ≤ (‖x − x̂‖ + (F + 12) u ‖x̂‖ + 2⁻²⁴ ‖f / w‖) ‖q‖ = e ‖q‖:

what rounding takes, what sums of F products lose, and what features lost when they were rounded to float32.
u = 2⁻²² is four times float32's unit, for matrix units add with truncation. w instead of s keeps one image
far out from widening the bounds of all others. What a query loses in its columns is added to ‖q‖, divided by
(F + 12) u.

Notation: F numbers a feature, f an image's features, g a query's, m queries.

Source: two columns of half precision, Markidis et al. 2018, "NVIDIA tensor core programmability, performance
& precision"; sums on matrix units, Fasi et al. 2021, "Numerical behavior of NVIDIA tensor cores"; sums in any
order, Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, 2002, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import VectorError
from olrsearch.search.kl.projection import BLOCK, check_features, check_query, row_blocks, sampled_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64

TOP: Final = 15
"""Stored numbers are below 2 to this, which float16 holds with room."""

SLACK: Final = 1.001
"""For the rounding of the bounds themselves, which is 10⁻⁴ of them."""

TINY: Final = 2.0**-50
"""Added to bounds: what underflow takes from norms."""

ROUNDING: Final = 2.0**-24
"""Of float32."""

_LEAST_EXPONENT: Final = -100  # of s: below it, 1/s would leave float32
_UNIT: Final = 2.0**-22
_SUMS: Final = 12  # beside F: adding two columns, subtracting centre and bound, rounding of queries
_VARIED: Final = 2.0**-8  # of the centre: where features vary less, float32 has rounded them more than this
_FAR: Final = 2.0**20  # times the typical


@dataclass(frozen=True, slots=True, eq=False)
class ScaledQueries:
    """Queries as they are multiplied with stored numbers.

    Attributes:
        columns: float16 [2 m, F], all that rounds to float16 and then the rest; or float32 [m, F].
        unit: float64 [m], powers of two.
        reach: float64 [m], ‖q‖, with what the columns lost.
        offset: float64 [m], ⟨c, g⟩.
    """

    columns: NDArray[Any]
    unit: F64
    reach: F64
    offset: F64


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """How features become stored numbers.

    Attributes:
        centre: c, float32 [F], medians.
        scale: s, float64 [F], powers of two.
        spread: w, float64 [F], at least s.
    """

    centre: F32
    scale: F64
    spread: F64

    @classmethod
    def of(cls, features: F32, *, seed: int = 0) -> Scaling:
        """For these features: all are looked at for their size, some for what is typical.

        Args:
            features: float32 [N, F].
            seed: Of the drawing of images.

        Raises:
            VectorError: bad features, or numbers that are not finite.
        """
        check_features(features)
        some = features[sampled_rows(len(features), seed)[:BLOCK]]
        peak = np.zeros(features.shape[1])
        with np.errstate(over="ignore", invalid="ignore"):
            # medians: one image far out must move neither
            centre: F32 = np.median(some, axis=0).astype(np.float32)
            typical = np.median(np.abs(some - centre), axis=0).astype(np.float64)
            for rows in row_blocks(len(features)):
                np.maximum(peak, np.abs(features[rows] - centre).max(axis=0), out=peak)
        if not np.isfinite(peak).all():
            raise VectorError(
                "KL features hold NaN, infinity or numbers too large for float32: run store verify"
            )
        typical = np.maximum(typical, _VARIED * np.abs(centre.astype(np.float64)))
        largest = np.where(typical > 0, np.minimum(peak, _FAR * typical), peak)
        scale: F64 = np.ldexp(1.0, np.maximum(np.frexp(largest)[1] - TOP, _LEAST_EXPONENT))
        return cls(centre, scale, np.maximum(typical, scale))

    @property
    def size(self) -> int:
        """F."""
        return len(self.centre)

    @property
    def summing(self) -> float:
        """(F + 12) u, the share of ‖x̂‖ ‖q‖ that sums lose at most."""
        return (self.size + _SUMS) * _UNIT

    def queries(self, queries: F64, *, half: bool) -> ScaledQueries:
        """Some queries.

        Args:
            queries: float64 [m, F], g.
            half: Whether columns are for products of float16, else for those of float32.

        Raises:
            VectorError: a query has another length, or is not finite.
        """
        asked = np.array([check_query(query, self.size) for query in queries]).reshape(-1, self.size)
        turned = asked * self.scale
        unit: F64 = np.ldexp(1.0, np.frexp(np.abs(turned).max(axis=1, initial=0.0))[1] - TOP)
        turned /= unit[:, None]
        if half:
            high = turned.astype(np.float16)
            low = (turned - high).astype(np.float16)
            columns, rest = np.concatenate([high, low]), turned - high - low
        else:
            columns = turned.astype(np.float32)
            rest = turned - columns
        reach: F64 = np.linalg.norm(asked * self.spread, axis=1) / unit
        reach += np.linalg.norm(rest * (self.spread / self.scale), axis=1) / self.summing
        return ScaledQueries(columns, unit, SLACK * reach + TINY, asked @ self.centre.astype(np.float64))
