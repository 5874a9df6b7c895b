"""The values of a label: what numbers mean, and how answers say them as JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

LabelValue: TypeAlias = int
"""−1 absent, 0 unknown, +1 present; JSON has it as a word, as tables do."""

VALUE_NAMES: Final[Mapping[int, str]] = {1: "present", -1: "absent", 0: "unknown"}

_VALUES: Final = frozenset({"LabelValue", "LabelValue | None", "tuple[LabelValue, LabelValue]"})
"""Annotations of fields that hold label values."""


def as_json(answer: Any) -> Any:  # noqa: ANN401 - of any type, to what JSON has
    """A frozen value of an answer as dicts and lists; label values are words, times ISO 8601."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        named = label_fields(answer)
        return {
            field.name: named[field.name] if field.name in named else as_json(getattr(answer, field.name))
            for field in dataclasses.fields(answer)
        }
    if isinstance(answer, dict | Mapping):
        return {key: as_json(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [as_json(item) for item in answer]
    return answer.isoformat() if isinstance(answer, dt.datetime) else answer


def label_fields(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    """The fields of a value that hold label values, in words."""
    return {
        field.name: _named(getattr(answer, field.name))
        for field in dataclasses.fields(answer)
        if field.type in _VALUES
    }


def _named(value: Any) -> Any:  # noqa: ANN401 - a label value, several or None
    if isinstance(value, tuple):
        return [VALUE_NAMES[one] for one in value]
    return None if value is None else VALUE_NAMES[value]
