"""Everything that decides what a training run produces, in one frozen value.

Notation: L labels, k numbers a label, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from olrsearch.encoders.trainer.config import BACKBONE_NAMES, PRETRAINED, TrainerConfig

HEADS = ("grouped", "query")
FILLS = ("mean", "black")
PAIRINGS = ("all", "random")

_PROFILES: dict[str, dict[str, Any]] = {
    # Real faces, 18,000 images: both stages within 45 minutes on two cores.
    "cpu": {},
    # The shipped face encoder: a trunk that knows ImageNet, about an hour and a half on two cores.
    "faces": {
        "image_size": (144, 120),
        "backbone": "efficientnet-lite0",
        "pretrained": True,
        "batch_size": 64,
        "learning_rate": 1.5e-3,
        "shift": 6,
        "zoom": 0.1,
        "rotation": 5.0,
        "colour": 0.15,
        "teacher_occlusion": 0.2,
        "teacher_epochs": 10,
        "head": "query",
        "siamese_epochs": 5,
        "siamese_learning_rate": 5e-4,
    },
    # Generated avatars, 3,200 images: within 3 minutes on two cores.
    "demo": {
        "k": 16,
        "width": 20,
        "batch_size": 16,
        "teacher_epochs": 14,
        "siamese_epochs": 12,
        "dropout": 0.1,
        "learning_rate": 2e-3,
        "siamese_learning_rate": 1e-3,
        "selection_size": 400,
        "ema_decay": 0.99,
    },
    # Tests: seconds.
    "tiny": {
        "image_size": (16, 16),
        "k": 4,
        "backbone": "tiny",
        "width": 8,
        "batch_size": 16,
        "teacher_epochs": 2,
        "siamese_epochs": 2,
        "selection_size": 32,
        "ema_decay": 0.9,
        "shift": 1,
        "devices": "1",
    },
    # One GPU or several: larger images, deeper trunk, mixed precision.
    "gpu": {
        "image_size": (160, 128),
        "backbone": "deep",
        "width": 64,
        "batch_size": 256,
        "teacher_epochs": 16,
        "siamese_epochs": 24,
        "num_workers": 8,
        "shift": 8,
        "ema_decay": 0.999,
    },
}
"""What each profile changes in the defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OlrConfig(TrainerConfig):
    """Configuration of an OLR encoder and of its training.

    Attributes:
        k: Numbers a label. The paper has 32.
        backbone: Shape of the trunk, see `trunk.BACKBONES`, or 'efficientnet-lite0'.
        width: Channels of the trunk's first stage; EfficientNet-Lite0 has its own.
        pretrained: Whether the teacher's trunk starts from weights trained on ImageNet.
        head: From feature maps to label embeddings: 'grouped' feature maps as in the paper, or
            'query', cross-attention of learned label queries.
        label_kernel: Side of the grouped head's convolution, 1 or 3.
        dropout: Of the teacher's pooled features while it trains.
        occlusion: Smallest and largest side of the occluding rectangle, as shares of H and W.
        occlusion_probability: Share of the images that are occluded; the paper's 1.0.
        occlusion_fill: What the rectangle is filled with: the data 'mean' or 'black'.
        pairing: 'random' pairs of a batch as in the paper, or 'all' of them.
        temperature: Divides the teacher's logits before they become the targets; above 1 it
            softens them, the usual way that the paper sets occlusion against.
        manner: Share α of a joint probability that depends on how alike the two images show the
            label, an extension; 0 is the paper's loss, whose optimum holds the probability alone.
        joint_weight: Weight of the paper's loss, inner products against joint probabilities.
        norm_weight: Weight of the norms' loss, an extension: the squared error of ‖e^l‖ against the
            teacher's probability, which inner products of different images say little of.
        readout_weight: Weight of the readout's loss, an extension; 0 trains with the paper's
            loss alone and fits the readout afterwards, on frozen embeddings.
        label_share: Share of the true labels in the readout's loss, the rest being the
            teacher's probabilities. Unknown labels count with the teacher's part only.
        warm_start: Whether the Siamese trunk starts from the teacher's weights.
        freeze_trunk: Whether it stays there: teacher and label embeddings then share one trunk,
            and only the head is trained.
        teacher_epochs: Epochs of the first stage.
        siamese_epochs: Epochs of the second stage.
        learning_rate: Peak of the teacher's one-cycle schedule.
        siamese_learning_rate: Peak of the Siamese network's.
        teacher_occlusion: Share of the images that are occluded while the teacher trains.
        label_smoothing: Moves the teacher's targets from 0 and 1 by half of this.
        negative_focus: Exponent γ that plays down absent labels the teacher is sure of (the
            asymmetric loss); 0 is plain cross-entropy.
    """

    kind: ClassVar[str] = "olr"
    profiles: ClassVar[dict[str, dict[str, Any]]] = _PROFILES
    default_profile: ClassVar[str] = "cpu"
    teacher_shape: ClassVar[tuple[str, ...]] = (
        "labels", "image_size", "crop", "backbone", "width", "pretrained",
    )  # fmt: skip
    after_teacher: ClassVar[frozenset[str]] = frozenset(
        {
            "k", "head", "label_kernel", "occlusion_probability", "pairing", "temperature", "manner",
            "joint_weight", "norm_weight", "readout_weight", "label_share", "warm_start", "freeze_trunk",
            "siamese_epochs", "siamese_learning_rate",
        }
    )  # fmt: skip

    k: int = 32
    backbone: str = "small"
    width: int = 32
    pretrained: bool = False
    head: str = "grouped"
    label_kernel: int = 1
    dropout: float = 0.3
    occlusion: tuple[float, float] = (0.33, 0.66)
    occlusion_probability: float = 1.0
    occlusion_fill: str = "mean"
    pairing: str = "all"
    temperature: float = 1.0
    manner: float = 0.0
    joint_weight: float = 1.0
    norm_weight: float = 0.0
    readout_weight: float = 0.2
    label_share: float = 0.5
    warm_start: bool = True
    freeze_trunk: bool = False
    teacher_epochs: int = 12
    siamese_epochs: int = 14
    learning_rate: float = 3e-3
    siamese_learning_rate: float = 1e-3
    teacher_occlusion: float = 0.0
    label_smoothing: float = 0.0
    negative_focus: float = 0.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        small, large = self.occlusion if len(self.occlusion) == 2 else (0.0, 0.0)
        return {
            **TrainerConfig.checks(self),
            "k": (self.k >= 1, "1 or more"),
            "backbone": (self.backbone in BACKBONE_NAMES, f"one of {', '.join(BACKBONE_NAMES)}"),
            "width": (self.width >= 1, "1 or more"),
            "pretrained": (
                not self.pretrained or self.backbone in PRETRAINED,
                f"false, or backbone set to {', '.join(PRETRAINED)}",
            ),
            "head": (self.head in HEADS, f"one of {', '.join(HEADS)}"),
            "label_kernel": (self.label_kernel in {1, 3}, "1 or 3"),
            "dropout": (0 <= self.dropout < 1, "a share from 0 to below 1"),
            "occlusion": (0 < small <= large <= 1, "two shares above 0 and up to 1, the smaller first"),
            "occlusion_probability": (0 <= self.occlusion_probability <= 1, "a share from 0 to 1"),
            "occlusion_fill": (self.occlusion_fill in FILLS, f"one of {', '.join(FILLS)}"),
            "pairing": (self.pairing in PAIRINGS, f"one of {', '.join(PAIRINGS)}"),
            "temperature": (self.temperature > 0, "above 0"),
            "manner": (
                0 <= self.manner < 1 and (self.manner == 0 or self.pairing == "all"),
                "a share from 0 to below 1, and 0 unless pairing=all",
            ),
            "joint_weight": (self.joint_weight >= 0, "0 or more"),
            "norm_weight": (self.norm_weight >= 0, "0 or more"),
            "readout_weight": (
                self.readout_weight >= 0 and self.joint_weight + self.readout_weight > 0,
                "0 or more, and one of joint_weight and readout_weight above 0",
            ),
            "label_share": (0 <= self.label_share <= 1, "a share from 0 to 1"),
            "freeze_trunk": (
                not self.freeze_trunk or self.warm_start,
                "false, or warm_start=true: a frozen trunk must have learnt something",
            ),
            "teacher_epochs": (self.teacher_epochs >= 1, "1 or more"),
            "siamese_epochs": (self.siamese_epochs >= 1, "1 or more"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "siamese_learning_rate": (self.siamese_learning_rate > 0, "above 0"),
            "teacher_occlusion": (0 <= self.teacher_occlusion <= 1, "a share from 0 to 1"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "a share from 0 to below 1"),
            "negative_focus": (self.negative_focus >= 0, "0 or more"),
        }
