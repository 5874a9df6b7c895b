"""P4: whether estimated error rates tell what was injected.

Labels had errors before, so an estimate is judged by its difference to the estimate on the labels as they
were.

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from olrsearch.audit.benchmark.report import EstimateCheck, mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.audit.evidence.estimates import LabelErrors
    from olrsearch.core.arrays import F32, F64, I8, I64


class Estimate(Protocol):
    """`olrsearch.audit.evidence.estimates.estimate_errors`."""

    def __call__(
        self, names: Sequence[str], given: I8, evidence: Mapping[str, F32], identity: I64, *, seed: int
    ) -> tuple[LabelErrors, ...]:
        """Errors of each label, in the order of the names."""
        ...


def check_estimates(
    noise: str,
    seed: int,
    original: I8,
    given: I8,
    before: Sequence[LabelErrors],
    after: Sequence[LabelErrors],
) -> EstimateCheck:
    """Estimates on noisy labels against what was injected.

    Args:
        noise: Title of the noise.
        seed: Of the noise.
        original: int8 [N, L].
        given: int8 [N, L], the same with errors.
        before: Estimates on the original, L of them.
        after: On the noisy labels.
    """
    flips = given != original
    injected = _share(flips, given != 0)
    rise = _rates(after, "total") - _rates(before, "total")
    low = np.array([one.total.low for one in after]) - _rates(before, "total")
    high = np.array([one.total.high for one in after]) - _rates(before, "total")
    usable = np.isfinite(low) & np.isfinite(high) & np.isfinite(injected)
    inside = (low <= injected) & (injected <= high)
    sides = {
        name: _rates(after, name) - _rates(before, name) - _share(flips & (given == value), given == value)
        for name, value in (("false_absent", -1), ("false_present", 1))
    }
    return EstimateCheck(
        noise=noise,
        seed=seed,
        injected=mean(injected),
        estimated=mean(rise),
        off=mean(np.abs(rise - injected)),
        within=float(inside[usable].mean()) if usable.any() else float("nan"),
        false_absent=mean(sides["false_absent"]),
        false_present=mean(sides["false_present"]),
    )


def _rates(errors: Sequence[LabelErrors], which: str) -> F64:
    return np.array([getattr(one, which).rate for one in errors], np.float64)


def _share(part: np.ndarray, whole: np.ndarray) -> F64:
    out = np.full(part.shape[1], np.nan)
    np.divide(part.sum(axis=0), whole.sum(axis=0), out=out, where=whole.any(axis=0))
    return out
