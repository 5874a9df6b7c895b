"""Everything that decides what a decoder of label embeddings becomes.

Notation: L labels, k numbers a label, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from olrsearch.encoders.trainer.config import TrainerConfig

NETWORKS = ("paper", "components")
INPUTS = ("plain", "standardised", "whitened")
OPTIMISERS = ("adamw", "rmsprop")

_PROFILES: dict[str, dict[str, Any]] = {
    # Real faces, 18,000 images: half an hour on two cores.
    "cpu": {},
    # The paper's own, at its own size; hours without a GPU.
    "paper": {
        "network": "paper",
        "image_size": (176, 176),
        "inputs": "plain",
        "rescale": True,
        "optimiser": "rmsprop",
        "learning_rate": 1e-4,
        "ema_decay": 0.0,
        "dropout": 0.0,
        "epochs": 40,
        "batch_size": 32,
    },
    # Generated avatars: about a minute.
    "demo": {"image_size": (64, 64), "hidden": 256, "epochs": 8, "selection_size": 400},
    # Tests: a second.
    "tiny": {
        "image_size": (16, 16),
        "width": 4,
        "hidden": 16,
        "rank": 8,
        "batch_size": 16,
        "epochs": 2,
        "selection_size": 32,
        "ema_decay": 0.9,
        "devices": "1",
    },
}
"""What each profile changes in the defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig(TrainerConfig):
    """Configuration of a decoder and of its training.

    Images are not changed at random while it learns: an embedding says what its own image looks like.

    Attributes:
        k: Numbers a label, as the encoder makes them.
        network: 'paper': dense, then doublings by transposed convolutions, as its table 1; 'components': a
            weighted sum of pictures, which begins as the linear reconstruction.
        width: Channels of most of the layers of 'paper'; the paper's 64.
        hidden: Numbers of the hidden layers of 'components'.
        rank: Principal components of images that the linear reconstruction is made of.
        components_rate: How many times as fast as the rest 'components' learns these; 0 keeps them.
        detail: Channels of convolutions of 'components' that correct each place's neighbourhood; 0 has none.
        inputs: How the network sees embeddings: 'plain', 'standardised' (each number has mean 0 and
            variance 1), or 'whitened' (all directions have about the same variance).
        dropout: Of the embedding and the hidden layers, while training.
        similarity_weight: Share α of 1 − SSIM in the loss, the rest being the mean squared error; the
            paper's 0.5.
        rescale: Whether decoded images are stretched so that each reaches from black to white before the
            squared error, as in the paper; without, they are cut off there.
        optimiser: 'rmsprop' at a constant rate, as in the paper, or 'adamw' on a one-cycle schedule.
        epochs: How many.
        learning_rate: Constant, or the peak of the schedule.
    """

    kind: ClassVar[str] = "decoder"
    profiles: ClassVar[dict[str, dict[str, Any]]] = _PROFILES
    default_profile: ClassVar[str] = "cpu"

    k: int = 1
    image_size: tuple[int, int] = (88, 88)
    crop: str = "center"
    batch_size: int = 128
    weight_decay: float = 0.01
    ema_decay: float = 0.995
    flip: bool = False
    shift: int = 0
    network: str = "components"
    width: int = 64
    hidden: int = 512
    rank: int = 256
    components_rate: float = 0.1
    detail: int = 0
    inputs: str = "whitened"
    dropout: float = 0.3
    similarity_weight: float = 0.5
    rescale: bool = False
    optimiser: str = "adamw"
    epochs: int = 20
    learning_rate: float = 1e-3

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        unchanged = "none: an embedding says what its own image looks like, not one changed at random"
        return {
            **TrainerConfig.checks(self),
            "flip": (not self.flip, "false: an embedding says what its own image looks like"),
            "shift": (self.shift == 0, unchanged),
            "zoom": (self.zoom == 0, unchanged),
            "rotation": (self.rotation == 0, unchanged),
            "colour": (self.colour == 0, unchanged),
            "k": (self.k >= 1, "1 or more"),
            "network": (self.network in NETWORKS, f"one of {', '.join(NETWORKS)}"),
            "inputs": (self.inputs in INPUTS, f"one of {', '.join(INPUTS)}"),
            "width": (self.width >= 1, "1 or more"),
            "hidden": (self.hidden >= 1, "1 or more"),
            "rank": (self.rank >= 1, "1 or more"),
            "components_rate": (self.components_rate >= 0, "0 or more"),
            "detail": (self.detail >= 0, "0 or more"),
            "dropout": (0 <= self.dropout < 1, "a share from 0 to below 1"),
            "similarity_weight": (0 <= self.similarity_weight <= 1, "a share from 0 to 1"),
            "optimiser": (self.optimiser in OPTIMISERS, f"one of {', '.join(OPTIMISERS)}"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
        }
