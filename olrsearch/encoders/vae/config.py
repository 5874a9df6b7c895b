"""Everything that decides what a run of a variational encoder produces: one class for each kind.

Notation: L labels, d dimensions, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from olrsearch.encoders.trainer.config import BACKBONE_NAMES, TrainerConfig

ONE_HOT = "one-hot"
"""Label inputs that are unit vectors: no table, and no word beside the labels."""

SCHEDULES = ("one-cycle", "constant")
ANSWERS = ("auto", "one", "many")
LABEL_GAUSSIANS = ("learned", "fitted")

_PROFILES: dict[str, dict[str, Any]] = {
    # Digits and clothes, 28 × 28 in grey: the networks of the paper's appendix A.
    "digits": {"image_size": (28, 28), "grey": True},
    # The paper's training as it is written: 2,000 steps of 100 images at one rate, nothing averaged.
    "literal": {
        "image_size": (28, 28),
        "grey": True,
        "epochs": 4,
        "schedule": "constant",
        "learning_rate": 1e-3,
        "ema_decay": 0.0,
        "label_scale": 1.0,
        "label_gaussians": "learned",
    },
    # Faces: the features of the shipped face encoder's trunk, which stays as it is, in place of pixels.
    "faces": {
        "image_size": (144, 120),
        "backbone": "efficientnet-lite0",
        "start_from": "faces",
        "size": 32,
        "label_scale": 1.0,
        "batch_size": 128,
        "epochs": 22,
        "learning_rate": 2e-3,
        "weight_decay": 0.01,
        "ema_decay": 0.998,
    },
    # Tests: seconds.
    "tiny": {
        "image_size": (16, 16),
        "grey": True,
        "hidden": (16, 8),
        "size": 3,
        "batch_size": 16,
        "epochs": 2,
        "selection_size": 32,
        "ema_decay": 0.9,
        "devices": "1",
    },
}
"""What each profile changes in the defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeConfig(TrainerConfig):
    """What all variational encoders are configured with.

    Attributes:
        words: What stands for a label: 'one-hot', 'glove' (the installed package), or a file of word
            vectors.
        label_words: A TOML file that says by which words labels are meant; the package's own when
            empty.
        label_scale: Length of one-hot inputs, and root mean square length of word vectors. Inputs of
            length 1, the paper's, learn slowly.
        answer: What is told of the labels: which 'one' an image has (a softmax), or each of 'many' by
            itself; 'auto' takes one where every training image has exactly one.
        label_gaussians: Which Gaussians the model keeps for its labels: the 'learned' ones of its label
            encoder, with diagonal covariances, as in the paper, or ones with full covariances 'fitted' to
            the training images when all else is learnt. Of many labels an image they are always fitted.
        size: d.
        hidden: Hidden units of the image encoder and the classifier, the decoder's in reverse.
        grey: Whether images are seen and drawn in grey.
        backbone: Where start_from is given: the shape of its trunk, see `trunk.BACKBONES`.
        width: Channels of that trunk's first stage; EfficientNet-Lite0 has its own.
        start_from: See images by the trunk of this encoder (a space, a shipped encoder or a model
            folder), which stays as it is; empty sees their pixels.
        epochs: How many.
        learning_rate: Peak of the one-cycle schedule, or the one rate of the constant one.
        schedule: 'one-cycle' or 'constant'.
    """

    profiles: ClassVar[dict[str, dict[str, Any]]] = _PROFILES
    default_profile: ClassVar[str] = "digits"

    batch_size: int = 100
    weight_decay: float = 0.0
    ema_decay: float = 0.999
    flip: bool = False
    shift: int = 0
    patience: int = 10

    words: str = ONE_HOT
    label_words: str = ""
    label_scale: float = 5.0
    answer: str = "auto"
    label_gaussians: str = "fitted"
    size: int = 10
    hidden: tuple[int, int] = (512, 64)
    grey: bool = False
    backbone: str = "small"
    width: int = 32
    start_from: str = ""
    epochs: int = 16
    learning_rate: float = 6e-3
    schedule: str = "one-cycle"

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        prepared = "images are prepared once, before training"
        return {
            **TrainerConfig.checks(self),
            "flip": (not self.flip, f"false: {prepared}"),
            "shift": (self.shift == 0, f"0: {prepared}"),
            "zoom": (self.zoom == 0, f"0: {prepared}"),
            "rotation": (self.rotation == 0, f"0: {prepared}"),
            "colour": (self.colour == 0, f"0: {prepared}"),
            "words": (bool(self.words), "'one-hot', 'glove' or a file of word vectors"),
            "label_scale": (self.label_scale > 0, "above 0"),
            "answer": (self.answer in ANSWERS, f"one of {', '.join(ANSWERS)}"),
            "label_gaussians": (
                self.label_gaussians in LABEL_GAUSSIANS,
                f"one of {', '.join(LABEL_GAUSSIANS)}",
            ),
            "size": (self.size >= 1, "1 or more"),
            "hidden": (len(self.hidden) == 2 and min(self.hidden) >= 1, "two numbers, 1 or more"),
            "backbone": (self.backbone in BACKBONE_NAMES, f"one of {', '.join(BACKBONE_NAMES)}"),
            "width": (self.width >= 1, "1 or more"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "schedule": (self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
        }

    def starts_from(self) -> str:
        """See `TrainerConfig.starts_from`."""
        return self.start_from


@dataclass(frozen=True, slots=True, kw_only=True)
class PseConfig(VaeConfig):
    """PSE."""

    kind: ClassVar[str] = "pse"


@dataclass(frozen=True, slots=True, kw_only=True)
class PseStarConfig(VaeConfig):
    """PSE*.

    Attributes:
        label_weight: Of the cross-entropy of the labels that a classifier reads off the
            reconstruction; the paper's 1.
    """

    kind: ClassVar[str] = "pse-star"
    label_weight: float = 1.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {**VaeConfig.checks(self), "label_weight": (self.label_weight >= 0, "0 or more")}


@dataclass(frozen=True, slots=True, kw_only=True)
class JmvaeConfig(VaeConfig):
    """JMVAE.

    Attributes:
        alpha: α, weight of the divergences that draw each encoder to that of both; the paper gives none.
    """

    kind: ClassVar[str] = "jmvae"
    alpha: float = 1.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {**VaeConfig.checks(self), "alpha": (self.alpha >= 0, "0 or more")}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrelboConfig(VaeConfig):
    """TrELBO.

    Attributes:
        lambda_1: λ₁, weight of the labels' likelihood at a draw of the joint encoder; the paper's 1.
        lambda_2: λ₂, the same at a draw of the label encoder; the paper gives none.
    """

    kind: ClassVar[str] = "trelbo"
    lambda_1: float = 1.0
    lambda_2: float = 1.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {
            **VaeConfig.checks(self),
            "lambda_1": (self.lambda_1 >= 0, "0 or more"),
            "lambda_2": (self.lambda_2 >= 0, "0 or more"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanConfig(VaeConfig):
    """SCAN.

    Attributes:
        beta: β, weight of the images' divergence from N(0, I); the paper's 10.
    """

    kind: ClassVar[str] = "scan"
    beta: float = 10.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {**VaeConfig.checks(self), "beta": (self.beta >= 0, "0 or more")}


@dataclass(frozen=True, slots=True, kw_only=True)
class CvaeConfig(VaeConfig):
    """CVAE, for comparison alone: its encoder needs an image's label, so it cannot fill a store."""

    kind: ClassVar[str] = "cvae"
