"""What a model folder says of how well images fit its training: `fit.json` and `fit.safetensors`.

It is about the model and bound to it like every companion, but no part of its fingerprint: statistics can be
added to a model that has none, and what it makes of images stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from olrsearch.core.errors import FitError, ModelFileError
from olrsearch.core.files import whole_file
from olrsearch.encoders.folder.model_config import read_companion, tensor_entry, write_companion
from olrsearch.maths.fit import FitModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIT: Final = "fit.json"
FIT_TENSORS: Final = "fit.safetensors"
_ARRAYS: Final = ("body", "centre", "factor", "knee")


@dataclass(frozen=True, slots=True, eq=False)
class TrainingFit:
    """How well images fit an encoder's training.

    Attributes:
        model: What turns features into fits.
        images: How many training images it was estimated from.
        held_out: How many others say what is ordinary.
        shapes: Width divided by height of the training images: the least and the greatest of the middle
            98 in a hundred.
    """

    model: FitModel
    images: int
    held_out: int
    shapes: tuple[float, float]


def write_fit(folder: Path, fit: TrainingFit) -> None:
    """Write both files beside a model, in place of earlier ones.

    Raises:
        ModelFileError: the folder holds no model.
    """
    arrays: dict[str, NDArray[Any]] = {name: getattr(fit.model, name) for name in _ARRAYS}
    with whole_file(Path(folder) / FIT_TENSORS) as temporary:
        save_file(arrays, temporary)
    write_companion(
        folder,
        FIT,
        {
            "tensors": {name: tensor_entry(array) for name, array in arrays.items()},
            "tail": fit.model.tail,
            "images": fit.images,
            "held_out": fit.held_out,
            "shapes": list(fit.shapes),
        },
    )


def read_fit(folder: Path) -> TrainingFit | None:
    """How well images fit a model's training; None where it has no statistics.

    Raises:
        ModelFileError: one of the files is damaged, missing, or about another model.
    """
    content = read_companion(folder, FIT)
    if content is None:
        return None
    path = Path(folder) / FIT_TENSORS
    try:
        arrays = load_file(path)
        if {name: tensor_entry(array) for name, array in arrays.items()} != content["tensors"]:
            raise ModelFileError(f"{path} does not match its checksums; copy the model again")
        low, high = content["shapes"]
        model = FitModel(**{name: arrays[name] for name in _ARRAYS}, tail=float(content["tail"]))
        return TrainingFit(model, int(content["images"]), int(content["held_out"]), (float(low), float(high)))
    except (KeyError, TypeError, ValueError, OSError, SafetensorError, FitError) as error:
        raise ModelFileError(f"{path} cannot be read ({error}); copy the model again") from None


def copy_fit(source: Path, target: Path) -> None:
    """Take a model's statistics over into a copy of the model, or into one rounded from it.

    Raises:
        ModelFileError: those of the source are damaged, or the target holds no model.
    """
    fit = read_fit(source)
    if fit is not None:
        write_fit(target, fit)
