"""JSON of strangers: one value, read strictly, every fault a `ValueError` of one short line."""

from __future__ import annotations

import json
from typing import Any, Final

_DIGITS: Final = 300
"""Of a whole number; Python refuses those of more than some thousand with a message of its own."""


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """The value that a text is.

    Raises:
        ValueError: It is no JSON, an object has a key twice (Python's reader would take the last in
            silence), it is nested too deeply, or a number has too many digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:40]!r} twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)
