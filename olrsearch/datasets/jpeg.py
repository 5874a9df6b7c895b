"""What the segments of a JPEG say before it is decoded, and whether a cut one lacks only its end marker.

Source: ITU-T T.81, annex B (the order of segments) and annex G (progressive scans).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

END: Final = b"\xff\xd9"

_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN: Final = 0xDA
_NEXT_MARKER: Final = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""A marker other than a restart; in scans 0xff00 stands for the byte 0xff."""

_STRANGE: Final = (b"\x55" * 512, b"\xb6\x6d\xdb" * 171, b"\x1e\xc3\x87" * 171)
"""What no picture goes on with: where bits lack, each changes what is decoded."""


class Component(NamedTuple):
    """One colour of a JPEG: its number, and how finely it is sampled."""

    number: int
    across: int
    down: int


class Frame(NamedTuple):
    """A JPEG's size in pixels, and what it consists of."""

    width: int
    height: int
    components: tuple[Component, ...]
    progressive: bool
    first_scan: int
    """Components of its first scan; 0 where there is none."""

    def coefficient_bytes(self) -> int:
        """What a decoder keeps of the whole picture until its last scan; 0 where it need not."""
        if not self.progressive and self.first_scan >= len(self.components):
            return 0
        most_across = max(one.across for one in self.components)
        most_down = max(one.down for one in self.components)
        wide, high = self.width / (8 * most_across), self.height / (8 * most_down)
        blocks = math.ceil(wide) * math.ceil(high) * sum(one.across * one.down for one in self.components)
        return blocks * 64 * 2


def read_frame(data: bytes) -> Frame | None:
    """What the header of a JPEG says; None where it says nothing sensible."""
    frame: Frame | None = None
    for marker, body in _segments(data):
        if marker in _FRAMES and len(body) >= 6 and len(body) >= 6 + 3 * body[5]:
            parts = tuple(
                Component(body[at], max(1, body[at + 1] >> 4), max(1, body[at + 1] & 15))
                for at in range(6, 6 + 3 * body[5], 3)
            )
            if not parts:
                return None
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            frame = Frame(width, height, parts, marker in _PROGRESSIVE, 0)
        elif marker == _SCAN and frame is not None and body:
            return frame._replace(first_scan=body[0])
    return frame


def without_end(data: bytes) -> bytes | None:
    """The bytes of a JPEG that lacks its end marker, if every scan it needs has begun; otherwise None."""
    body = data.removesuffix(b"\xff")
    frame = read_frame(body)
    if frame is None or END in body[-2:] or not body.startswith(b"\xff\xd8"):
        return None
    lacking = {(one.number, place) for one in frame.components for place in range(64)}
    for marker, scan in _segments(body):
        if marker != _SCAN or not scan or len(scan) < 4 + 2 * scan[0]:
            continue
        first, last, low = scan[1 + 2 * scan[0]], scan[2 + 2 * scan[0]], scan[3 + 2 * scan[0]] & 15
        if low == 0:  # the last bit of these coefficients
            numbers = scan[1 : 1 + 2 * scan[0] : 2]
            lacking -= {(number, place) for number in numbers for place in range(first, min(last, 63) + 1)}
    return None if lacking else body


def endings(body: bytes) -> list[bytes]:
    """A JPEG that lacks its end marker, ended in several ways: they look alike if nothing else lacks."""
    return [body + END, *(body + strange + END for strange in _STRANGE)]


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers with what belongs to them, but for the coded bits of scans."""
    at = 2
    while (found := _NEXT_MARKER.search(data, at)) is not None:
        marker, at = data[found.end() - 1], found.end()
        if 0xD0 <= marker <= 0xD9 or marker == 1:  # these stand alone
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : at + length]
        at += max(2, length)
