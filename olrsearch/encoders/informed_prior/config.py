"""Everything that decides what a run of the informed-prior encoder produces.

Notation: L labels, d dimensions, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from olrsearch.encoders.trainer.config import BACKBONE_NAMES, TrainerConfig

PRIOR_MEANS = ("mean", "draw")
POOLINGS = ("average", "flatten")
TRANSFORMS = ("none", "centre", "whiten")
ONE_HOT = "one-hot"
"""Words that are unit vectors: no table, and no word beside the labels."""


_DIGITS: dict[str, Any] = {
    "image_size": (28, 28),
    "backbone": "tiny",
    "width": 16,
    "hidden": 128,
    "grey": True,
    "flip": False,
    "shift": 2,
    "batch_size": 128,
    "weight_decay": 0.01,
    "likelihood_weight": 0.05,
    "ema_decay": 0.99,
    "epochs": 6,
    "learning_rate": 3e-3,
}

_PROFILES: dict[str, dict[str, Any]] = {
    # Digits and clothes, 28 × 28, a word each: minutes on two cores.
    "digits": _DIGITS,
    # Two digits side by side, 28 × 56: twice that.
    "pairs": {**_DIGITS, "image_size": (28, 56), "epochs": 5},
    # Faces, on the trunk of the shipped face encoder, which stays as it is.
    "faces": {
        "image_size": (144, 120),
        "words": "glove",
        "backbone": "efficientnet-lite0",
        "start_from": "faces",
        "freeze_trunk": True,
        "pooling": "average",
        "hidden": 512,
        "dropout": 0.0,
        "decoder": False,
        "weight_decay": 0.01,
        "shift": 6,
        "epochs": 6,
    },
    # Generated avatars; on the trunk of an OLR encoder of theirs (start_from, freeze_trunk) a minute.
    "demo": {
        "words": "glove",
        "width": 20,
        "pooling": "average",
        "dropout": 0.0,
        "decoder": False,
        "batch_size": 64,
        "epochs": 12,
        "learning_rate": 2e-3,
        "selection_size": 400,
        "ema_decay": 0.99,
    },
    # Tests: seconds.
    "tiny": {
        "image_size": (16, 16),
        "backbone": "tiny",
        "width": 8,
        "hidden": 16,
        "decoder_width": 4,
        "batch_size": 16,
        "epochs": 2,
        "selection_size": 32,
        "ema_decay": 0.9,
        "shift": 1,
        "devices": "1",
    },
}
"""What each profile changes in the defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InformedPriorConfig(TrainerConfig):
    """Configuration of an informed-prior encoder and of its training.

    Attributes:
        words: Where the labels' vectors come from: 'one-hot', 'glove' (the installed package), or a
            file of word vectors.
        label_words: A TOML file that says by which words labels are meant; the package's own when
            empty.
        transform: What is done to vectors of a table: 'none', 'centre' or 'whiten' (over the labels).
        size: d; 0 for that of the words. Smaller than theirs projects them.
        shrinkage: λ of the priors, above 0 and up to 1.
        prior_mean: 'mean' of an image's words, or 'draw' one of them each step, as the paper writes.
        backbone: Shape of the trunk, see `trunk.BACKBONES`, or 'efficientnet-lite0'.
        width: Channels of the trunk's first stage; EfficientNet-Lite0 has its own.
        pretrained: Whether the trunk starts from weights trained on ImageNet.
        start_from: Start from the trunk of this encoder (a space, a shipped encoder or a model
            folder), and take its image size and crop; empty starts anew.
        freeze_trunk: Whether the trunk stays as it began.
        pooling: From feature maps to one vector: their 'average', or all of them ('flatten').
        hidden: Numbers between the trunk and the Gaussian.
        dropout: Of the pooled features and the hidden layer, while training.
        decoder: Whether images are decoded from samples and their likelihood is trained, the paper's
            model; without it the posterior is drawn to the prior alone.
        decoder_width: Channels of the decoder's last layer; each earlier one has twice as many, up to
            eight times.
        decoder_size: (H, W) of decoded images, to which the originals are reduced; (0, 0) for that
            of the images.
        grey: Whether images are decoded in grey.
        likelihood_weight: Weight of −ln p(x|z), summed over pixels; the paper's 1.
        kl_weight: Weight of KL(q‖p); the paper's 1.
        epochs: How many.
        learning_rate: Peak of the one-cycle schedule.
    """

    kind: ClassVar[str] = "informed-prior"
    profiles: ClassVar[dict[str, dict[str, Any]]] = _PROFILES
    default_profile: ClassVar[str] = "faces"

    words: str = ONE_HOT
    label_words: str = ""
    transform: str = "whiten"
    size: int = 0
    shrinkage: float = 0.01
    prior_mean: str = "mean"
    backbone: str = "small"
    width: int = 32
    pretrained: bool = False
    start_from: str = ""
    freeze_trunk: bool = False
    pooling: str = "flatten"
    hidden: int = 256
    dropout: float = 0.1
    decoder: bool = True
    decoder_width: int = 16
    decoder_size: tuple[int, int] = (0, 0)
    grey: bool = False
    likelihood_weight: float = 1.0
    kl_weight: float = 1.0
    epochs: int = 12
    learning_rate: float = 1e-3

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        height, width = self.decoder_size if len(self.decoder_size) == 2 else (-1, -1)
        return {
            **TrainerConfig.checks(self),
            "words": (bool(self.words), "'one-hot', 'glove' or a file of word vectors"),
            "transform": (self.transform in TRANSFORMS, f"one of {', '.join(TRANSFORMS)}"),
            "size": (self.size >= 0, "0 or more"),
            "shrinkage": (0 < self.shrinkage <= 1, "above 0 and up to 1: 0 would be singular"),
            "prior_mean": (self.prior_mean in PRIOR_MEANS, f"one of {', '.join(PRIOR_MEANS)}"),
            "backbone": (self.backbone in BACKBONE_NAMES, f"one of {', '.join(BACKBONE_NAMES)}"),
            "width": (self.width >= 1, "1 or more"),
            "pretrained": (
                not self.pretrained or (self.backbone == "efficientnet-lite0" and not self.start_from),
                "false, or backbone=efficientnet-lite0 without start_from",
            ),
            "freeze_trunk": (
                not self.freeze_trunk or self.pretrained or bool(self.start_from),
                "false, or start_from or pretrained=true: a frozen trunk must have learnt something",
            ),
            "pooling": (self.pooling in POOLINGS, f"one of {', '.join(POOLINGS)}"),
            "hidden": (self.hidden >= 1, "1 or more"),
            "dropout": (0 <= self.dropout < 1, "a share from 0 to below 1"),
            "decoder_width": (self.decoder_width >= 1, "1 or more"),
            "decoder_size": (
                (height, width) == (0, 0) or (min(height, width) >= 4),
                "0,0 or height and width, 4 pixels or more",
            ),
            "likelihood_weight": (self.likelihood_weight >= 0, "0 or more"),
            "kl_weight": (self.kl_weight > 0, "above 0"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
        }

    def starts_from(self) -> str:
        """See `TrainerConfig.starts_from`."""
        return self.start_from

    @property
    def decoded_size(self) -> tuple[int, int]:
        """(H, W) of decoded images."""
        return self.image_size if self.decoder_size == (0, 0) else self.decoder_size
