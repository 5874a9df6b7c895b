"""Numbers of things in messages, in the singular where there is one."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2,000 images`; with a verb, `1 image has` and `2 images have`.

    Args:
        number: Of things.
        one: What stands behind 1.
        many: What stands behind every other number; `one` and an s when None.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
