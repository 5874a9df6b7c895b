"""What a shared encoder brings for stores that have fitted nothing themselves: `defaults.json`.

Calibration and metric are fitted on the images that training held back, which only the
store it was trained in has. A store that takes the encoder in uses these until
`olrsearch calibrate` is run there. Posteriors are compared by divergences, so their encoders
bring the calibration of their words, and no metric.

Notation: L labels, or words of an encoder of posteriors, k numbers a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import CalibrationError, ModelFileError, VectorError
from olrsearch.encoders.folder.model_config import layout_of, read_companion, read_config, write_companion
from olrsearch.maths.calibration import Calibration
from olrsearch.maths.metric import Metric

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32

DEFAULTS: Final = "defaults.json"


@dataclass(frozen=True, slots=True, eq=False)
class Defaults:
    """What a store uses for an encoder until it has fitted its own.

    Attributes:
        calibration: Of the encoder's L labels or words, of no label revision of any store.
        metric: Of its L × k numbers; None for an encoder of posteriors.
    """

    calibration: Calibration
    metric: Metric | None


def write_defaults(folder: Path, defaults: Defaults) -> Path:
    """Write `defaults.json` beside a model.

    Args:
        folder: The model folder.
        defaults: What to write; its calibration must be of no label revision, because revisions
            count the changes of one store.

    Raises:
        ModelFileError: the folder holds no model, or they do not fit it.
    """
    _check(defaults, read_config(folder), Path(folder) / DEFAULTS)
    content = {"calibration": defaults.calibration.to_dict()}
    if defaults.metric is not None:
        content["metric"] = {
            **defaults.metric.to_dict(),
            # float32 numbers in as many digits as they need, and not in those of float64.
            "mean": _short(defaults.metric.mean),
            "deviation": _short(defaults.metric.deviation),
        }
    return write_companion(folder, DEFAULTS, content)


def read_defaults(folder: Path) -> Defaults | None:
    """What a model folder brings for new stores; None where it brings nothing.

    Raises:
        ModelFileError: `defaults.json` is damaged, about another model, or does not fit it.
    """
    path = Path(folder) / DEFAULTS
    content = read_companion(folder, DEFAULTS)
    if content is None:
        return None
    try:
        defaults = Defaults(
            calibration=Calibration.from_dict(content["calibration"]),
            metric=Metric.from_dict(content["metric"]) if "metric" in content else None,
        )
    except (KeyError, TypeError, CalibrationError, VectorError) as error:
        raise ModelFileError(f"{path} is damaged ({error!r}); copy the model again") from None
    _check(defaults, read_config(folder), path)
    return defaults


def _check(defaults: Defaults, config: dict[str, Any], path: Path) -> None:
    count, size = len(config["labels"]), config["k"]
    metric = defaults.metric
    found = None if metric is None else (metric.labels, metric.size)
    wanted = (count, size) if layout_of(config) == "labels" else None
    if len(defaults.calibration.slope) != count or found != wanted:
        raise ModelFileError(
            f"{path}: a calibration of {len(defaults.calibration.slope)} labels and {_said(found)} do not "
            f"fit an encoder of {count} labels × {size} numbers, which has {_said(wanted)}; "
            "copy the model again"
        )
    if defaults.calibration.label_revision is not None or not defaults.calibration.split:
        raise ModelFileError(
            f"{path}: its calibration must say what it was fitted on and be of no store's label revision; "
            "publish the model again"
        )


def _said(shape: tuple[int, int] | None) -> str:
    return "no metric" if shape is None else f"a metric of {shape[0]} × {shape[1]} numbers"


def _short(array: F32) -> list[list[float]]:
    """float32 [L, k] as the shortest numbers that read back the same."""
    return [[float(str(value)) for value in np.asarray(row, np.float32)] for row in array]
