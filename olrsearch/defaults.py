"""What a shared encoder brings for stores that have fitted nothing themselves: `defaults.json`.

Calibration and metric are fitted on the images that training held back, which only the
store it was trained in has. A store that takes the encoder in uses these until
`olrsearch calibrate` is run there.

Notation: L labels, k numbers a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.calibration import Calibration
from olrsearch.encoders.model_files import read_companion, read_config, write_companion
from olrsearch.errors import CalibrationError, ModelFileError, VectorError
from olrsearch.index.metric import Metric

if TYPE_CHECKING:
    from olrsearch.arrays import F32

DEFAULTS: Final = "defaults.json"


@dataclass(frozen=True, slots=True, eq=False)
class Defaults:
    """What a store uses for an encoder until it has fitted its own.

    Attributes:
        calibration: Of the encoder's L labels, of no label revision of any store.
        metric: Of its L × k numbers.
    """

    calibration: Calibration
    metric: Metric


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
    metric = {
        **defaults.metric.to_dict(),
        # float32 numbers in as many digits as they need, and not in those of float64.
        "mean": _short(defaults.metric.mean),
        "deviation": _short(defaults.metric.deviation),
    }
    return write_companion(
        folder, DEFAULTS, {"calibration": defaults.calibration.to_dict(), "metric": metric}
    )


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
            metric=Metric.from_dict(content["metric"]),
        )
    except (KeyError, TypeError, CalibrationError, VectorError) as error:
        raise ModelFileError(f"{path} is damaged ({error!r}); copy the model again") from None
    _check(defaults, read_config(folder), path)
    return defaults


def _check(defaults: Defaults, config: dict[str, Any], path: Path) -> None:
    count, size = len(config["labels"]), config["k"]
    calibration, metric = defaults.calibration, defaults.metric
    if len(calibration.slope) != count or (metric.labels, metric.size) != (count, size):
        raise ModelFileError(
            f"{path}: a calibration of {len(calibration.slope)} labels and a metric of {metric.labels} × "
            f"{metric.size} numbers do not fit an encoder of {count} labels × {size} numbers; "
            "copy the model again"
        )
    if defaults.calibration.label_revision is not None or not defaults.calibration.split:
        raise ModelFileError(
            f"{path}: its calibration must say what it was fitted on and be of no store's label revision; "
            "publish the model again"
        )


def _short(array: F32) -> list[list[float]]:
    """float32 [L, k] as the shortest numbers that read back the same."""
    return [[float(str(value)) for value in np.asarray(row, np.float32)] for row in array]
