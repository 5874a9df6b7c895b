"""What every training run is configured with, and how configurations are written and read.

Notation: L labels, H × W pixels.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

from olrsearch.core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import I8

CROPS = ("none", "center")
BACKBONE_NAMES = ("small", "deep", "tiny", "efficientnet-lite0")
PRETRAINED = ("efficientnet-lite0",)
"""Trunks that weights trained on ImageNet are known for."""

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConfig:
    """The part of a configuration that the trainer itself needs; encoders add their own.

    Attributes:
        kind: The registered kind of encoder that is trained.
        profiles: What each profile changes in the defaults, by name.
        default_profile: The one meant when none is named.
        teacher_shape: The keys in which a teacher of another run must agree; empty where encoders of
            this kind learn from no teacher.
        after_teacher: The keys that have no part in the teacher's training.
        takes_order: Whether labels have an order for it: then it has the settings `order` and `degree`.
        of_degree: What changes in the defaults where that order is the degree of a label, as text by key.
        labels: The L label names, in the order of the label columns.
        image_size: (H, W), pixels; images are scaled to it.
        crop: How images are cropped before: 'none' or 'center' (the central square).
        batch_size: Images a step and device.
        weight_decay: Of AdamW.
        ema_decay: Of the moving average of the weights that is validated and kept.
        flip: Whether images are mirrored at random.
        shift: Largest random shift, pixels, in both directions.
        zoom: Largest random change of scale, as a share: 0.1 is from 1/1.1 to 1.1.
        rotation: Largest random turn in the plane, degrees.
        colour: Largest random change of brightness, contrast and saturation, as a share.
        seed: Of initial weights, order, augmentation and everything else drawn.
        precision: 'auto' (bf16 mixed where a GPU has it, else float32) or Lightning's name.
        devices: 'auto' (all GPUs, one process on CPU) or their number.
        selection_size: Images that the caller sets aside from the training images for
            validation, best-weights choice and calibration.
        patience: Epochs without a better selection figure before a stage stops; 0 never stops early.
        num_workers: Loader processes; 0 loads in the training process.
    """

    kind: ClassVar[str]
    profiles: ClassVar[dict[str, dict[str, Any]]]
    default_profile: ClassVar[str]
    teacher_shape: ClassVar[tuple[str, ...]] = ()
    after_teacher: ClassVar[frozenset[str]] = frozenset()
    takes_order: ClassVar[bool] = False
    of_degree: ClassVar[dict[str, str]] = {}

    labels: tuple[str, ...]
    image_size: tuple[int, int] = (80, 64)
    crop: str = "none"
    batch_size: int = 128
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    flip: bool = True
    shift: int = 4
    zoom: float = 0.0
    rotation: float = 0.0
    colour: float = 0.0
    seed: int = 0
    precision: str = "auto"
    devices: str = "auto"
    selection_size: int = 1000
    patience: int = 5
    num_workers: int = 0

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, list):
                object.__setattr__(self, entry.name, tuple(value))
        for name, message in self._faults():
            raise TrainingError(f"{name} = {getattr(self, name)!r}: expected {message}; set another value")

    def checks(self) -> dict[str, tuple[bool, str]]:
        """Whether each key's value is fine, and what is expected of it; encoders add their own."""
        devices_ok = self.devices == "auto" or (self.devices.isdecimal() and int(self.devices) > 0)
        return {
            "labels": (
                len(self.labels) > 0 and len(set(self.labels)) == len(self.labels) and all(self.labels),
                "one label or more, without repeats",
            ),
            "image_size": (
                len(self.image_size) == 2 and min(self.image_size) >= 8,
                "height and width, 8 pixels or more",
            ),
            "crop": (self.crop in CROPS, f"one of {', '.join(CROPS)}"),
            "batch_size": (self.batch_size >= 2, "2 or more: a batch of one has no statistics"),
            "weight_decay": (self.weight_decay >= 0, "0 or more"),
            "ema_decay": (0 <= self.ema_decay < 1, "a share from 0 to below 1"),
            "shift": (0 <= self.shift < min(self.image_size), "pixels, 0 or more, within the image"),
            "zoom": (0 <= self.zoom < 1, "a share from 0 to below 1"),
            "rotation": (0 <= self.rotation <= 180, "degrees, 0 to 180"),
            "colour": (0 <= self.colour < 1, "a share from 0 to below 1"),
            "seed": (self.seed >= 0, "0 or more"),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "devices": (devices_ok, "'auto' or a number of devices"),
            "selection_size": (self.selection_size >= 1, "1 or more"),
            "patience": (self.patience >= 0, "0 or more"),
            "num_workers": (self.num_workers >= 0, "0 or more"),
        }

    def _faults(self) -> list[tuple[str, str]]:
        """Every (key, what was expected) that does not hold."""
        faults = [(name, message) for name, (fine, message) in self.checks().items() if not fine]
        for name in self.field_names():
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                faults.append((name, "a finite number"))
        return faults

    @classmethod
    def of_profile(cls, name: str, labels: Sequence[str]) -> Self:
        """The configuration of a named profile.

        Raises:
            TrainingError: no profile has this name, or the labels repeat.
        """
        if name not in cls.profiles:
            raise TrainingError(f"unknown profile {name!r}; expected one of {', '.join(cls.profiles)}")
        return cls(labels=tuple(labels), **cls.profiles[name])

    def starts_from(self) -> str:
        """Name of the encoder whose weights training starts from; empty where it starts anew."""
        return ""

    def check_labels(self, labels: I8) -> None:
        """Refuse labels that this kind cannot learn from; what every kind asks is asked elsewhere.

        Args:
            labels: int8 [n, L], of the training images.

        Raises:
            TrainingError: such labels.
        """

    def check_teacher(self, other: Self) -> None:
        """Refuse the teacher of another configuration if it cannot be the teacher of this one.

        Raises:
            TrainingError: it knows other labels, sees other pixels or has another trunk.
        """
        different = [key for key in self.differences(other) if key in self.teacher_shape]
        if different:
            changes = ", ".join(
                f"{key} (its {getattr(other, key)!r}, here {getattr(self, key)!r})" for key in different
            )
            raise TrainingError(f"the teacher does not fit: {changes}; set them as it has them")

    def same_teacher(self, other: Self) -> bool:
        """Whether both configurations train the very same teacher on the same images."""
        return set(self.differences(other)) <= self.after_teacher

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The configuration's keys, in order."""
        return tuple(entry.name for entry in dataclasses.fields(cls))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict; `from_dict` gives back an equal configuration."""
        return {name: _plain(getattr(self, name)) for name in self.field_names()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The configuration of a JSON object.

        Raises:
            TrainingError: an unknown key (the nearest one is named), `labels` missing, or a value
                of another type or out of range.
        """
        for key in values:
            cls._check_key(key)
        if "labels" not in values:
            raise TrainingError("the configuration names no labels: give `labels`, one name or more")
        return cls(**{key: _typed(key, cls._kind(key), value) for key, value in values.items()})

    def with_overrides(self, overrides: Mapping[str, str]) -> Self:
        """The configuration with some values replaced by ones written as text.

        Numbers and names as they are, booleans as true or false, pairs with a comma or an
        × (`80,64`, `0.33,0.66`), labels with commas.

        Args:
            overrides: Text by key, as `--set key=value` gives it.

        Raises:
            TrainingError: an unknown key (the nearest one is named), text that is no such value, or
                a value out of range.
        """
        for key in overrides:
            self._check_key(key)
        values = {key: _parse(key, self._kind(key), text) for key, text in overrides.items()}
        return dataclasses.replace(self, **values)

    def differences(self, other: Self) -> tuple[str, ...]:
        """The keys whose values differ, in the order of the fields."""
        return tuple(name for name in self.field_names() if getattr(self, name) != getattr(other, name))

    @classmethod
    def _check_key(cls, key: str) -> None:
        names = cls.field_names()
        if key not in names:
            nearest = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known keys: {', '.join(names)}"
            raise TrainingError(f"unknown configuration key {key!r}; {hint}")

    @classmethod
    def _kind(cls, key: str) -> Any:  # noqa: ANN401 - a type or a generic alias
        return get_type_hints(cls)[key]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a JSON value of any type
    return list(value) if isinstance(value, tuple) else value


def _typed(key: str, kind: Any, value: Any) -> Any:  # noqa: ANN401 - a type, and a JSON value of any
    """A JSON value as the field's type, refused when it is of another."""
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


def _parse(key: str, kind: Any, text: str) -> Any:  # noqa: ANN401 - as many types as fields
    """Text as the field's type."""
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
