"""Which files are images, by their names and by their first bytes, and which are passed over.

Notation: a kind is what a stranger would call a file: `RAW`, `video`, `HEIC`.
"""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from functools import cache
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from PIL import features

from olrsearch.datasets.base import EXAMPLES, DatasetIssue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in text.split())


_READ: Final = _endings("jpg jpeg jpe jfif jfi jif png apng webp bmp dib gif tif tiff ppm pgm pbm pnm")
_HEIC: Final = _endings("heic heif hif heics heifs")
_AVIF: Final = _endings("avif avifs")

SUFFIXES: Final = _READ | _HEIC | _AVIF
"""Endings of file names (lower case) that images have which can be read where their libraries are there."""

_OTHER: Final[Mapping[str, frozenset[str]]] = {
    "RAW": _endings(
        "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw "
        "x3f"
    ),
    "video": _endings("3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts ogv webm wmv"),
    "other image": _endings(
        "ai dds eps exr hdr ico icns j2k jp2 jpf jxl jxr pcx psb psd svg svgz tga wdp xcf"
    ),
}

HEIC_EXTRA: Final = "pip install 'olrsearch[heic]'"
"""What brings the library that reads HEIC."""

_LEFT_OUT: Final = frozenset(
    name.casefold()
    for name in (
        "@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "$RECYCLE.BIN", "__MACOSX",
        "lost+found", "System Volume Information", "Thumbs.db", "desktop.ini",
    )
)  # fmt: skip
"""What systems and network drives put beside the files of people: copies, thumbnails and waste bins."""

_BEGINNINGS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"%PDF", "it is a PDF"),
    (b"%!PS", "it is PostScript"),
    (b"PK\x03\x04", "it is a zip"),
    (b"\x1f\x8b", "it is compressed with gzip"),
    (b"8BPS", "it is a Photoshop file"),
    (b"\x00\x00\x00\x0cJXL ", "it is JPEG XL"),
    (b"\xff\x0a", "it is JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "it is JPEG 2000"),
    (b"\xff\x4f\xff\x51", "it is JPEG 2000"),
    (b"\x1aE\xdf\xa3", "it is a video"),
    (b"version https://git-lfs", "it is a pointer of Git LFS; fetch the file itself with: git lfs pull"),
)


def heic_is_read() -> bool:
    """Whether the library that reads HEIC is installed."""
    return find_spec("pi_heif") is not None


@cache
def _avif_is_read() -> bool:
    """Whether this build of Pillow reads AVIF."""
    return bool(features.check("avif"))


def is_image_name(name: str) -> bool:
    """Whether a file name looks like that of an image that can be read: a known ending, and not hidden."""
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    return not path.name.startswith(".") and (
        ending in _READ or (ending in _AVIF and _avif_is_read()) or (ending in _HEIC and heic_is_read())
    )


def kind_passed_over(name: str) -> str | None:
    """The kind of a file that people may miss among their images; None of others, and of images read."""
    if is_image_name(name):
        return None
    path = PurePosixPath(name)
    ending = path.suffix.lower()
    if path.name.startswith("."):
        return None
    if is_image_name(name.rstrip()):
        return "blank-ended"
    if ending in _HEIC:
        return "HEIC"
    if ending in _AVIF:
        return "AVIF"
    return next((kind for kind, endings in _OTHER.items() if ending in endings), None)


def issues_of_kinds(names: Iterable[str]) -> list[DatasetIssue]:
    """What is passed over among some files, one issue a kind: how many, with which endings."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        kind = kind_passed_over(name)
        if kind is not None:
            found[kind].append(name)
    return [_issue(kind, sorted(found[kind])) for kind in sorted(found)]


def _issue(kind: str, names: Sequence[str]) -> DatasetIssue:
    endings = Counter(PurePosixPath(name).suffix.lower() for name in names)
    told = ", ".join(f"{count:,} {ending}" for ending, count in sorted(endings.items()))
    what = f"{kind} file{' is' if len(names) == 1 else 's are'}"
    cure = {
        "HEIC": f"{HEIC_EXTRA}, then import again",
        "AVIF": "install a Pillow that reads AVIF, then import again",
        "blank-ended": "take the blank from the end of their names to import them",
        "video": "save the frames that matter as images",
    }.get(kind, "save them as JPEG, PNG or TIFF to import them")
    code = f"{kind.lower().replace(' ', '-')}-not-read"
    return DatasetIssue(
        code, f"{len(names):,} {what} not read ({told}): {cure}", len(names), tuple(names[:EXAMPLES])
    )


class LeftOut:
    """Which files and folders a reader passes over: what systems put there, and patterns of the user's.

    A pattern without `/` is held against every name of a path (`raw`, `*_thumb.jpg`), one with `/` against
    the whole path from the folder's top (`2019/*/small`); what lies below a folder that matches is left out
    with it. `*`, `?` and `[…]` are as in a shell, and `*` goes across `/`.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(pattern.strip("/") for pattern in patterns)
        self._used: set[str] = set()

    def matches(self, path: str) -> bool:
        """Whether a path, relative and with `/` between folders, or a folder above it, is left out."""
        parts = path.split("/")
        if any(part.casefold() in _LEFT_OUT for part in parts):
            return True
        for pattern in self._patterns:
            tried = (
                parts if "/" not in pattern else ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
            )
            if any(fnmatch.fnmatchcase(part, pattern) for part in tried):
                self._used.add(pattern)
                return True
        return False

    def issues(self) -> list[DatasetIssue]:
        """Patterns that left out nothing: most likely misspelt."""
        idle = [pattern for pattern in self._patterns if pattern not in self._used]
        told = ", ".join(idle[:EXAMPLES])
        return (
            [DatasetIssue("exclude-unused", f"nothing is left out by {told}", len(idle), tuple(idle))]
            if idle
            else []
        )


def what_it_is(data: bytes) -> str:
    """What bytes are that are no image that can be read, to stand in an error message."""
    if not any(data[:4096]):
        return "it holds nothing but zeros" if data else "it is empty"
    for beginning, what in _BEGINNINGS:
        if data.startswith(beginning):
            return what
    if data[4:8] == b"ftyp":
        return "it is a RAW photograph (CR3)" if data[8:12] == b"crx " else "it is a video"
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a web page (HTML); fetch the image itself"
    if start.startswith((b"<?xml", b"<svg")):
        return "it is XML, perhaps a drawing (SVG)"
    return _begins_with(data)


def _begins_with(data: bytes) -> str:
    try:
        text = data[:24].decode()
    except UnicodeDecodeError:
        text = ""
    if text.strip() and all(character.isprintable() or character.isspace() for character in text):
        return f"it begins with the text {' '.join(text.split())!r}"
    return f"it begins with the bytes {data[:8].hex(' ')}"
