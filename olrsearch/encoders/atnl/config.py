"""Everything that decides what a run of one of the six auto-encoders produces.

Notation: L labels, d dimensions, H × W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from olrsearch.core.errors import TrainingError
from olrsearch.encoders.atnl.order import Order
from olrsearch.encoders.trainer.config import TrainerConfig

if TYPE_CHECKING:
    from olrsearch.core.arrays import I8

_DIGIT: Final = 28 * 28

_SHOWN: Final = 4
"""Labels that a message names."""

_PROFILES: Final[dict[str, dict[str, Any]]] = {
    # Digits and clothes, 28 × 28: minutes on one core.
    "digits": {
        "image_size": (28, 28),
        "grey": True,
        "flip": False,
        "shift": 2,
        "weight_decay": 0.01,
        "ema_decay": 0.99,
    },
    # Faces and avatars, 64 × 64: their order is of one label's degree, or of some labels.
    "faces": {
        "image_size": (64, 64),
        "crop": "center",
        "size": 32,
        "width": 24,
        "decoder_width": 12,
        "hidden": 512,
        "shift": 3,
        "weight_decay": 0.01,
        "ema_decay": 0.99,
        "epochs": 20,
        "learning_rate": 2e-3,
    },
    # Tests: seconds.
    "tiny": {
        "image_size": (16, 16),
        "size": 6,
        "width": 4,
        "hidden": 16,
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
class AutoEncoderConfig(TrainerConfig):
    """What all six have: networks, and the weight of reconstruction.

    Attributes:
        size: d.
        width: Channels of the encoder's first layer; each later one has twice as many, up to eight times.
        hidden: Numbers between feature maps and the point, and of the decoder's hidden layer.
        decoder_width: Channels of the decoder's last layers; 0 decodes with one hidden layer alone,
            which is quick and enough for digits.
        grey: Whether images are decoded in grey.
        reconstruction_weight: Weight of −ln p(x|z), nats summed over pixels.
        epochs: How many.
        learning_rate: Peak of the one-cycle schedule.
    """

    profiles: ClassVar[dict[str, dict[str, Any]]] = _PROFILES
    default_profile: ClassVar[str] = "faces"
    on_sphere: ClassVar[bool] = False
    """Whether points lie on the unit sphere."""
    spread: ClassVar[bool] = False
    """Whether an image becomes a Gaussian rather than a point."""

    size: int = 16
    width: int = 12
    hidden: int = 128
    decoder_width: int = 0
    grey: bool = False
    reconstruction_weight: float = 1.0
    epochs: int = 12
    learning_rate: float = 3e-3

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {
            **TrainerConfig.checks(self),
            "size": (self.size >= 2, "2 or more"),
            "width": (self.width >= 1, "1 or more"),
            "hidden": (self.hidden >= 1, "1 or more"),
            "decoder_width": (self.decoder_width >= 0, "0 or more"),
            "reconstruction_weight": (self.reconstruction_weight >= 0, "0 or more"),
            "epochs": (self.epochs >= 1, "1 or more"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
        }

    @property
    def scale(self) -> float:
        """How many times the numbers of a digit's picture an image has: so many times its error is, too.

        Weights of what stands beside reconstruction are multiplied by it, so that they mean the same for
        images of any size.
        """
        height, width = self.image_size
        return height * width * (1 if self.grey else 3) / _DIGIT

    def check_labels(self, labels: I8) -> None:
        """See `TrainerConfig.check_labels`: every label becomes a word, which needs examples."""
        sides = [("shows", labels > 0), *([("lacks", labels < 0)] if several_an_image(labels) else [])]
        for verb, members in sides:
            empty = [name for column, name in enumerate(self.labels) if not members[:, column].any()]
            if empty:
                named = f"{', '.join(empty[:_SHOWN])}{' …' if empty[_SHOWN:] else ''}"
                raise TrainingError(
                    f"no training image {verb} {named}, which becomes no word then: name the labels to learn "
                    "with --labels"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class AeConfig(AutoEncoderConfig):
    """Configuration of a plain auto-encoder: see `objectives.ae`."""

    kind: ClassVar[str] = "ae"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeConfig(AutoEncoderConfig):
    """Configuration of a variational auto-encoder: see `objectives.vae`.

    Attributes:
        kl_weight: Weight of KL(q(z|x) ‖ N(0, I)).
    """

    kind: ClassVar[str] = "vae"
    spread: ClassVar[bool] = True

    kl_weight: float = 1.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {**AutoEncoderConfig.checks(self), "kl_weight": (self.kl_weight > 0, "above 0")}


@dataclass(frozen=True, slots=True, kw_only=True)
class AaeConfig(AutoEncoderConfig):
    """Configuration of an adversarial auto-encoder: see `objectives.aae`.

    Attributes:
        adversary_weight: Weight of the encoder's part in the game, times `scale`.
        critic_hidden: Numbers of the critic's hidden layers.
    """

    kind: ClassVar[str] = "aae"

    adversary_weight: float = 0.1
    critic_hidden: int = 256

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {
            **AutoEncoderConfig.checks(self),
            "adversary_weight": (self.adversary_weight >= 0, "0 or more"),
            "critic_hidden": (self.critic_hidden >= 1, "1 or more"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AcaiConfig(AutoEncoderConfig):
    """Configuration of an adversarially constrained auto-encoder: see `objectives.acai`.

    Attributes:
        adversary_weight: λ, of the encoder's part in the game, times the image's H·W·colours nats.
        realism: γ, the share of originals in what the critic should call no mixture.
    """

    kind: ClassVar[str] = "acai"

    adversary_weight: float = 0.5
    realism: float = 0.2

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {
            **AutoEncoderConfig.checks(self),
            "adversary_weight": (self.adversary_weight >= 0, "0 or more"),
            "realism": (0 <= self.realism <= 1, "a share from 0 to 1"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeTlConfig(VaeConfig):
    """Configuration of a variational auto-encoder with a triplet loss: see `objectives.vae_tl`.

    Attributes:
        triplet_weight: Of the triplet loss, times `scale`.
        margin: Between squared distances.
    """

    kind: ClassVar[str] = "vae-tl"

    triplet_weight: float = 10.0
    margin: float = 1.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`."""
        return {
            **VaeConfig.checks(self),
            "triplet_weight": (self.triplet_weight >= 0, "0 or more"),
            "margin": (self.margin > 0, "above 0"),
        }

    def check_labels(self, labels: I8) -> None:
        """See `TrainerConfig.check_labels`: two classes or more, with two examples each."""
        AutoEncoderConfig.check_labels(self, labels)
        single = labels[(labels > 0).sum(axis=1) == 1] > 0
        classes = int((single.sum(axis=0) > 1).sum())
        if classes < 2:
            raise TrainingError(
                f"triplets need two classes or more with two images each that show one label alone; here are "
                f"{classes}: name labels of which an image shows one with --labels, or train another kind"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AtnlConfig(AutoEncoderConfig):
    """Configuration of an auto-encoder with the angular triplet-neighbour loss: see `objectives.atnl`.

    Attributes:
        order: The steps of the order, lowest first: a label each, or several that count as one step,
            with | between them.
        degree: The label whose degree the order is; its steps are then labels of the run, not of the
            store. Empty for an order of stored labels.
        graded: Whether any nearer image is a positive for any farther one, with the margin for each
            step between them; without, positives are at most one step away and negatives farther, as
            the poster has it.
        straight: Weight, beside the graded triplets, of the angle by which the steps' means lie off the
            straight way along the sphere.
        margin: Radians.
        noise: How far from its point an image is decoded while training, about so many radians.
        triplet_weight: Of the loss, times `scale`.
    """

    kind: ClassVar[str] = "atnl"
    on_sphere: ClassVar[bool] = True
    takes_order: ClassVar[bool] = True
    of_degree: ClassVar[dict[str, str]] = {"graded": "true", "margin": "0.2"}

    order: tuple[str, ...] = ()
    degree: str = ""
    graded: bool = False
    straight: float = 1.0
    margin: float = 0.5
    noise: float = 0.15
    triplet_weight: float = 200.0

    def checks(self) -> dict[str, tuple[bool, str]]:
        """See `TrainerConfig.checks`; an order that is none raises an error of its own."""
        return {
            **AutoEncoderConfig.checks(self),
            "margin": (0 < self.margin <= math.pi, "radians, above 0 and up to π"),
            "straight": (self.straight >= 0, "0 or more"),
            "noise": (self.noise >= 0, "radians, 0 or more"),
            "triplet_weight": (self.triplet_weight >= 0, "0 or more"),
        }

    def check_labels(self, labels: I8) -> None:
        """See `TrainerConfig.check_labels`: an order, and examples of all its steps."""
        steps = self.steps()
        AutoEncoderConfig.check_labels(self, labels)
        steps.check(labels, gap=0 if self.graded else 1)

    def steps(self) -> Order:
        """The order, read.

        Raises:
            TrainingError: no order, or one of labels that the run does not have.
        """
        return Order.read(self.order, self.labels)


def several_an_image(labels: I8) -> bool:
    """Whether some image shows several labels, or none: else a word's absence is another word's presence.

    Args:
        labels: int8 [n, L].
    """
    return bool(((labels > 0).sum(axis=1) != 1).any())
