"""Text of users as messages show it: on one line, and never more than is read.

A name may be a megabyte long, hold line breaks, or be no text at all. What an error quotes goes through
`shown`. `one_line` is the net beneath: every message of an `OlrsearchError` passes it.
"""

from __future__ import annotations

import re
from typing import Final

QUOTED: Final = 80
"""Characters of a user's text that an error quotes."""

_MESSAGE: Final = 2_000
"""Characters of a whole message; it then keeps its beginning, and its end with what to do next."""
_END: Final = 600

_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Unicode's categories of control characters, separators of lines and paragraphs, and lone surrogates."""
_BREAKS: Final = re.compile(r"\s*[\n\r\v\f\x85\u2028\u2029]\s*")


def escaped(name: str) -> str:
    r"""A name as it can be shown on one line: what is unfit for one is written as `\x0a` or `\u2028`."""
    return _UNFIT.sub(_escape, name)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    if 0xDC80 <= code <= 0xDCFF:  # how Python marks bytes that are no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown(found: object, most: int = QUOTED) -> str:
    """What a user gave, as an error quotes it: text in quotes and shortened, numbers as they are.

    Args:
        found: Text, or anything else.
        most: Characters of it that are shown.
    """
    if isinstance(found, str):
        if len(found) <= most:
            return repr(found)
        return f"{found[:most] + '…'!r} ({len(found):,} characters)"
    shape = getattr(found, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {shape}"
    try:
        text = one_line(repr(found))
    except (ValueError, RecursionError):  # a number of more digits than Python writes
        text = f"a {type(found).__name__}"
    return text if len(text) <= most else f"a {type(found).__name__}, {text[:most]}…"


def one_line(message: str) -> str:
    """A message on one line, without control characters, and without its middle where it is very long."""
    message = escaped(_BREAKS.sub(" ", message.strip()))
    if len(message) <= _MESSAGE:
        return message
    left_out = len(message) - _MESSAGE
    return f"{message[: _MESSAGE - _END]} … ({left_out:,} characters left out) … {message[-_END:]}"
