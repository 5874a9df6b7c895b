"""Whether what was derived for a space is what it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olrsearch.maths.calibration import Calibration
from olrsearch.maths.metric import Metric
from olrsearch.search.spaces.registry import kind_of

if TYPE_CHECKING:
    from olrsearch.store.values import SpaceInfo


def check_artefacts(info: SpaceInfo) -> None:
    """Whether what was derived for a space can be read by this program, and is what it should be.

    Raises:
        IndexBuildError: something that is kept is not that of its segment.
        OlrsearchError: its calibration or its metric is damaged.
    """
    if info.calibration is not None:
        Calibration.from_dict(info.calibration)
    if info.metric is not None:
        Metric.from_dict(info.metric)
    kind_of(info).check(info)
