"""Everything that decides what a training run produces, in one frozen value.

Notation: L labels, k numbers a label, H × W pixels.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from olrsearch.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BACKBONE_NAMES = ("small", "deep", "tiny", "efficientnet-lite0")
PRETRAINED = ("efficientnet-lite0",)
"""Trunks that weights trained on ImageNet are known for."""

HEADS = ("grouped", "query")
CROPS = ("none", "center")
FILLS = ("mean", "black")
PAIRINGS = ("all", "random")
_TEACHER_SHAPE = ("labels", "image_size", "crop", "backbone", "width", "pretrained")
_SECOND_STAGE = frozenset(
    {
        "k", "head", "label_kernel", "occlusion_probability", "pairing", "temperature", "manner",
        "joint_weight", "norm_weight", "readout_weight", "label_share", "warm_start", "freeze_trunk",
        "siamese_epochs", "siamese_learning_rate",
    }
)  # fmt: skip
"""What has no part in the teacher's training."""

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True, slots=True)
class OlrConfig:
    """Configuration of an OLR encoder and of its training.

    Attributes:
        labels: The L label names, in the order of the label columns.
        k: Numbers a label. The paper has 32.
        image_size: (H, W), pixels; images are scaled to it.
        crop: How images are cropped before: 'none' or 'center' (the central square).
        backbone: Shape of the trunk, see `backbones.BACKBONES`, or 'efficientnet-lite0'.
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
        batch_size: Images a step and device.
        learning_rate: Peak of the teacher's one-cycle schedule.
        siamese_learning_rate: Peak of the Siamese network's.
        weight_decay: Of AdamW.
        ema_decay: Of the moving average of the weights that is validated and kept.
        flip: Whether images are mirrored at random.
        shift: Largest random shift, pixels, in both directions.
        zoom: Largest random change of scale, as a share: 0.1 is from 1/1.1 to 1.1.
        rotation: Largest random turn in the plane, degrees.
        colour: Largest random change of brightness, contrast and saturation, as a share.
        teacher_occlusion: Share of the images that are occluded while the teacher trains.
        label_smoothing: Moves the teacher's targets from 0 and 1 by half of this.
        negative_focus: Exponent γ that plays down absent labels the teacher is sure of (the
            asymmetric loss); 0 is plain cross-entropy.
        seed: Of initial weights, order, augmentation, occlusion and pairs.
        precision: 'auto' (bf16 mixed where a GPU has it, else float32) or Lightning's name.
        devices: 'auto' (all GPUs, one process on CPU) or their number.
        selection_size: Images that the caller sets aside from the training images for
            validation, best-weights choice and calibration.
        patience: Epochs without a better selection mAP before a stage stops; 0 never stops early.
        num_workers: Loader processes; 0 loads in the training process.
    """

    labels: tuple[str, ...]
    k: int = 32
    image_size: tuple[int, int] = (80, 64)
    crop: str = "none"
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
    batch_size: int = 128
    learning_rate: float = 3e-3
    siamese_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    flip: bool = True
    shift: int = 4
    zoom: float = 0.0
    rotation: float = 0.0
    colour: float = 0.0
    teacher_occlusion: float = 0.0
    label_smoothing: float = 0.0
    negative_focus: float = 0.0
    seed: int = 0
    precision: str = "auto"
    devices: str = "auto"
    selection_size: int = 1000
    patience: int = 5
    num_workers: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "image_size", tuple(self.image_size))
        object.__setattr__(self, "occlusion", tuple(self.occlusion))
        for name, message in self._faults():
            raise TrainingError(f"{name} = {getattr(self, name)!r}: expected {message}; set another value")

    def _faults(self) -> list[tuple[str, str]]:
        """Every (key, what was expected) that does not hold."""
        small, large = self.occlusion if len(self.occlusion) == 2 else (0.0, 0.0)
        devices_ok = self.devices == "auto" or (self.devices.isdecimal() and int(self.devices) > 0)
        checks: dict[str, tuple[bool, str]] = {
            "labels": (
                len(self.labels) > 0 and len(set(self.labels)) == len(self.labels) and all(self.labels),
                "one label or more, without repeats",
            ),
            "k": (self.k >= 1, "1 or more"),
            "image_size": (
                len(self.image_size) == 2 and min(self.image_size) >= 8,
                "height and width, 8 pixels or more",
            ),
            "crop": (self.crop in CROPS, f"one of {', '.join(CROPS)}"),
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
            "batch_size": (self.batch_size >= 2, "2 or more: pairs are drawn within a batch"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "siamese_learning_rate": (self.siamese_learning_rate > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "ema_decay": (0 <= self.ema_decay < 1, "a share from 0 to below 1"),
            "shift": (0 <= self.shift < min(self.image_size), "pixels, 0 or more, within the image"),
            "zoom": (0 <= self.zoom < 1, "a share from 0 to below 1"),
            "rotation": (0 <= self.rotation <= 180, "degrees, 0 to 180"),
            "colour": (0 <= self.colour < 1, "a share from 0 to below 1"),
            "teacher_occlusion": (0 <= self.teacher_occlusion <= 1, "a share from 0 to 1"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "a share from 0 to below 1"),
            "negative_focus": (self.negative_focus >= 0, "0 or more"),
            "seed": (self.seed >= 0, "0 or more"),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "devices": (devices_ok, "'auto' or a number of devices"),
            "selection_size": (self.selection_size >= 1, "1 or more"),
            "patience": (self.patience >= 0, "0 or more"),
            "num_workers": (self.num_workers >= 0, "0 or more"),
        }
        faults = [(name, message) for name, (fine, message) in checks.items() if not fine]
        for name in field_names():
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                faults.append((name, "a finite number"))
        return faults

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` gives back an equal configuration."""
        return {name: _plain(getattr(self, name)) for name in field_names()}

    def to_json(self) -> str:
        """Indented JSON of `to_dict`."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OlrConfig:
        """The configuration of a JSON object.

        Raises:
            TrainingError: an unknown key (the nearest one is named), `labels` missing, or a value
                of another type or out of range.
        """
        for key in values:
            _check_key(key)
        if "labels" not in values:
            raise TrainingError("the configuration names no labels: give `labels`, one name or more")
        return cls(**{key: _typed(key, value) for key, value in values.items()})

    @classmethod
    def from_json(cls, text: str) -> OlrConfig:
        """The configuration of a JSON text; raises as `from_dict`."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise TrainingError(f"the configuration is no JSON ({error}): write a JSON object") from None
        if not isinstance(values, dict):
            raise TrainingError(f"the configuration is a JSON {type(values).__name__}: write a JSON object")
        return cls.from_dict(values)

    def check_teacher(self, other: OlrConfig) -> None:
        """Refuse the teacher of another configuration if it cannot be the teacher of this one.

        Raises:
            TrainingError: it knows other labels, sees other pixels or has another trunk.
        """
        different = [key for key in self.differences(other) if key in _TEACHER_SHAPE]
        if different:
            changes = ", ".join(
                f"{key} (its {getattr(other, key)!r}, here {getattr(self, key)!r})" for key in different
            )
            raise TrainingError(f"the teacher does not fit: {changes}; set them as it has them")

    def same_teacher(self, other: OlrConfig) -> bool:
        """Whether both configurations train the very same teacher on the same images."""
        return set(self.differences(other)) <= _SECOND_STAGE

    def differences(self, other: OlrConfig) -> tuple[str, ...]:
        """The keys whose values differ, in the order of the fields."""
        return tuple(name for name in field_names() if getattr(self, name) != getattr(other, name))


PROFILES: dict[str, dict[str, Any]] = {
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


def profile(name: str, labels: Sequence[str]) -> OlrConfig:
    """The configuration of a named profile: 'cpu', 'faces', 'demo', 'tiny' or 'gpu'.

    Raises:
        TrainingError: no profile has this name, or the labels repeat.
    """
    if name not in PROFILES:
        raise TrainingError(f"unknown profile {name!r}; expected one of {', '.join(PROFILES)}")
    return OlrConfig(labels=tuple(labels), **PROFILES[name])


def with_overrides(config: OlrConfig, overrides: Mapping[str, str]) -> OlrConfig:
    """A configuration with some values replaced by ones written as text.

    Numbers and names as they are, booleans as true or false, pairs with a comma or an
    × (`80,64`, `0.33,0.66`), labels with commas.

    Args:
        config: The configuration to start from; not changed.
        overrides: Text by key, as `--set key=value` gives it.

    Raises:
        TrainingError: an unknown key (the nearest one is named), text that is no such value, or
            a value out of range.
    """
    for key in overrides:
        _check_key(key)
    return dataclasses.replace(config, **{key: _parse(key, text) for key, text in overrides.items()})


def field_names() -> tuple[str, ...]:
    """The configuration's keys, in order."""
    return tuple(entry.name for entry in dataclasses.fields(OlrConfig))


def _plain(value: Any) -> Any:  # noqa: ANN401 - a JSON value of any type
    return list(value) if isinstance(value, tuple) else value


def _check_key(key: str) -> None:
    names = field_names()
    if key not in names:
        nearest = difflib.get_close_matches(key, names, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known keys: {', '.join(names)}"
        raise TrainingError(f"unknown configuration key {key!r}; {hint}")


def _kind(key: str) -> Any:  # noqa: ANN401 - a type or a generic alias
    return get_type_hints(OlrConfig)[key]


def _typed(key: str, value: Any) -> Any:  # noqa: ANN401 - a JSON value of any type
    """A JSON value as the field's type, refused when it is of another."""
    kind = _kind(key)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind in {int, str, bool} and type(value) is kind:
        return value
    if kind == tuple[str, ...] and _is_list(value, str):
        return tuple(value)
    if kind == tuple[int, int] and _is_list(value, int) and len(value) == 2:
        return tuple(value)
    if kind == tuple[float, float] and _is_list(value, int, float) and len(value) == 2:
        return tuple(float(item) for item in value)
    raise TrainingError(f"{key} = {value!r} in the configuration: expected {_spelled(kind)}")


def _is_list(value: Any, *kinds: type) -> bool:  # noqa: ANN401 - a JSON value of any type
    return isinstance(value, (list, tuple)) and all(type(item) in kinds for item in value)


def _parse(key: str, text: str) -> Any:  # noqa: ANN401 - as many types as fields
    """Text as the field's type."""
    kind = _kind(key)
    parts = [part.strip() for part in text.replace("×", ",").split(",")]
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.strip().lower()]
        if kind in {int, float}:
            return kind(text)
        if kind is str:
            return text.strip()
        if kind == tuple[str, ...]:
            return tuple(parts)
        first, second = parts
        return (int(first), int(second)) if kind == tuple[int, int] else (float(first), float(second))
    except (ValueError, KeyError):
        raise TrainingError(f"{key}={text}: expected {_spelled(kind)}") from None


def _spelled(kind: Any) -> str:  # noqa: ANN401 - a type or a generic alias
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a name",
        tuple[int, int]: "two whole numbers with a comma, such as 80,64",
        tuple[float, float]: "two numbers with a comma, such as 0.33,0.66",
        tuple[str, ...]: "names with commas",
    }
    return names[kind]
