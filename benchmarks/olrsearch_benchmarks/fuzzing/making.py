"""What makers of input share: pieces put together, and good input with a few things changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

ODD_TEXT: Final = (
    *"\0\t\n\r\x0b\x1b \"'`\\/%_-+*^!&|,;:=<>()[]{}.#@$~?",
    "\x85\xa0\xad",
    "\u200b\u200d\u2028\u202e\u202f\u3000\ufeff\ufffd",
    "\ud800",  # half a character, as bytes that are no UTF-8 arrive from a command line
    "é",
    "e\u0301",
    "ß",
    "İ",
    "ı",
    "ﬁ",
    "٣",
    "²",
    "½",
    "笑顔",
    "улыбка",
    "ابتسامة",
    "😀",
    "👩\u200d👩\u200d👧",
    "\U0010ffff",
)
"""Characters that parsers have stumbled over: controls, blanks, digits of other scripts, what folds oddly."""

ODD_NUMBERS: Final = (
    "0",
    "-0",
    "00",
    "1",
    "-1",
    "+1",
    "1.",
    ".5",
    "1e5",
    "1e-400",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "0x10",
    "1_000",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "9" * 400,
    "9" * 5_000,
    "1." + "0" * 5_000 + "1",
)
"""Numbers at the edges of what floats, integers of 32 and 64 bits, and Python's own limits can hold."""


def joined(random: Random, pieces: Sequence[str], longest: int = 12) -> str:
    """Some of the pieces behind each other, now and then with an odd character between."""
    parts: list[str] = []
    for _ in range(random.randint(0, longest)):
        parts.append(random.choice(pieces))
        if random.random() < 0.1:
            parts.append(random.choice(ODD_TEXT))
    return random.choice(("", " ")).join(parts)


def changed_text(random: Random, text: str) -> str:
    """Text with up to four things changed: a piece left out, doubled, moved, or an odd one put in."""
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(text))
        end = min(len(text), start + random.choice((0, 1, 1, 2, 8)))
        piece = random.choice(("", text[start:end] * 2, random.choice(ODD_TEXT), random.choice(ODD_NUMBERS)))
        text = text[:start] + piece + text[end:]
    return text


def repeated(random: Random, pieces: Sequence[str], times: Sequence[int]) -> str:
    """One piece very often, up to a megabyte of it, between two others."""
    piece = random.choice(pieces)
    many = min(random.choice(times), 1_000_000 // max(len(piece), 1))
    return random.choice(pieces) + piece * many + random.choice(pieces)


def changed_bytes(random: Random, data: bytes) -> bytes:
    """Bytes with up to four things changed: a bit turned, a piece left out, doubled or overwritten, cut."""
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((1, 1, 2, 4, 64)))
        how = random.randrange(5)
        if how == 0 and start < len(data):
            data = data[:start] + bytes([data[start] ^ (1 << random.randrange(8))]) + data[start + 1 :]
        elif how == 1:
            data = data[:start] + data[end:]
        elif how == 2:
            data = data[:end] + data[start:]
        elif how == 3:
            odd = random.choice((b"\0", b"\xff", b"\x7f", random.randbytes(1)))
            data = data[:start] + odd * (end - start) + data[end:]
        elif random.random() < 0.3:
            data = data[:start]
    return data
