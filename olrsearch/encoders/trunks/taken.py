"""The trunk and the normalisation of another encoder, to start from or to see by.

Notation: H × W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.engines.torch_encoder import state_of
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.folder.model_files import read_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


class TrunkShape(Protocol):
    """What a configuration says of its trunk, and of the pixels it sees."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W)."""

    @property
    def crop(self) -> str:
        """How images are cropped before."""

    @property
    def backbone(self) -> str:
        """The trunk's shape."""

    @property
    def width(self) -> int:
        """Channels of its first stage."""


def read_trunk(folder: Path, shape: TrunkShape) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The states of an OLR model's trunk and normalisation, after a look at whether they fit.

    Args:
        folder: The model's.
        shape: Of the configuration that takes them.

    Raises:
        TrainingError: it sees other pixels, or has another trunk.
        ModelFileError: its files are damaged.
    """
    model = read_config(folder)
    wanted: dict[str, object] = {
        "kind": "olr",
        "input_size": list(shape.image_size),
        "crop": shape.crop,
        "backbone": shape.backbone,
    }
    if shape.backbone != "efficientnet-lite0":
        wanted["width"] = shape.width
    different = [
        f"{key} (its {model.get(key)!r}, here {value!r})"
        for key, value in wanted.items()
        if model.get(key) != value
    ]
    if different:
        raise TrainingError(
            f"the trunk of {folder} does not fit: {', '.join(different)}; set them as it has them"
        )
    tensors = read_tensors(folder)
    return state_of(tensors, "network.trunk."), state_of(tensors, "network.normalise.")


def take_trunk(
    trunk: nn.Module, normalise: nn.Module, states: tuple[dict[str, Tensor], dict[str, Tensor]]
) -> None:
    """Put what `read_trunk` read into a network.

    Raises:
        TrainingError: its tensors are of another shape.
    """
    try:
        trunk.load_state_dict(states[0])
        normalise.load_state_dict(states[1])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"the trunk to start from is of another shape: {reason}") from None
