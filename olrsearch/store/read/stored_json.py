"""JSON in the metadata: read in one place, so that what is damaged is named and stops nothing else.

The database's driver gives every JSON column to `decode`, which never fails: what it cannot read comes back
as `Unreadable`. `Place` then says of which table and row a value is, and refuses what it should not be.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from olrsearch.core.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = type | tuple[type, ...]
"""A type of JSON values, or several."""

RESTORE: Final = "restore metadata.db from a backup"
"""What to do where nothing else helps."""


class Unreadable(NamedTuple):
    """A stored text that is no JSON.

    Attributes:
        said: What is wrong with it.
    """

    said: str


def decode(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """A JSON value, or `Unreadable`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return Unreadable(" ".join(str(error).split()))


class Place(NamedTuple):
    """Where a stored value stands.

    Attributes:
        table: Of the metadata.
        row: Which row, in words: `3`, `'audit-1'`.
        column: Its column.
        advice: What to do where it is damaged, as half a sentence.
    """

    table: str
    row: object
    column: str
    advice: str

    def damaged(self, fault: str) -> StoreCorruptError:
        """The error that names the place."""
        return StoreCorruptError(
            f"metadata: {self.column} of row {self.row} of {self.table} is damaged ({fault}): {self.advice}"
        )

    def record(self, value: object, fields: Mapping[str, Form] | None = None) -> dict[str, Any]:
        """A JSON object with these fields, and perhaps others.

        Args:
            value: As `decode` gave it.
            fields: The types of what must be there.

        Raises:
            StoreCorruptError: it is none.
        """
        if isinstance(value, Unreadable):
            raise self.damaged(f"not JSON: {value.said}")
        if not isinstance(value, dict):
            raise self.damaged(f"{type(value).__name__}, expected an object")
        for name, form in (fields or {}).items():
            if name not in value:
                raise self.damaged(f"no {name!r}")
            if not _is(value[name], form):
                raise self.damaged(f"{name!r} is {type(value[name]).__name__}")
        return value

    def texts(self, value: object) -> tuple[str, ...]:
        """A JSON list of texts.

        Raises:
            StoreCorruptError: it is none.
        """
        if isinstance(value, Unreadable):
            raise self.damaged(f"not JSON: {value.said}")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.damaged("expected a list of texts")
        return tuple(value)


def _is(value: object, form: Form) -> bool:
    # To Python, True is a number.
    return isinstance(value, form) and not (isinstance(value, bool) and bool not in _types(form))


def _types(form: Form) -> tuple[type, ...]:
    return form if isinstance(form, tuple) else (form,)
