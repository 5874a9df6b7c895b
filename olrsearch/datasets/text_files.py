"""Text files as people hand them in: UTF-8 with or without a byte order mark, or UTF-16 with one."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import DatasetNotFoundError, LabelFileError
from olrsearch.core.shown import shown
from olrsearch.datasets.regular_files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.errors import OlrsearchError

_MARKS: Final = {
    # The marks of UTF-32 begin as those of UTF-16 do.
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_OTHERS: Final = {
    b"PK\x03\x04": "a zip or a workbook (save its sheet as CSV)",
    b"\xd0\xcf\x11\xe0": "an old workbook (save its sheet as CSV)",
    b"\x1f\x8b": "compressed with gzip (unpack it)",
    b"PAR1": "a Parquet file (name it .parquet)",
}
"""What other files begin with."""


def read_text(
    path: Path,
    *,
    what: str = "label file",
    missing: type[OlrsearchError] = DatasetNotFoundError,
    damaged: type[OlrsearchError] = LabelFileError,
) -> str:
    """The text of a file, its line ends as they are.

    Args:
        path: The file.
        what: What errors call it.
        missing: The error of a file that cannot be read.
        damaged: The error of one that holds no text.
    """
    return decode_text(read_file(path, what=what, missing=missing), where=path.name, damaged=damaged)


def read_file(
    path: Path,
    *,
    what: str = "label file",
    missing: type[OlrsearchError] = DatasetNotFoundError,
    regular: bool = False,
) -> bytes:
    """The bytes of a file; arguments as of `read_text`.

    With `regular` nothing but a file is read; tables may come through a pipe.
    """
    try:
        return read_regular(path) if regular else path.read_bytes()
    except FileNotFoundError as cause:
        raise missing(f"no {what} at {path}") from cause
    except OSError as cause:
        raise missing(f"cannot read the {what} {path} ({cause.strerror})") from cause
    except ValueError as cause:  # a path that no system has: half a character, or a NUL in it
        raise missing(f"no {what} at {shown(str(path))}") from cause


def decode_text(data: bytes, *, where: str, damaged: type[OlrsearchError] = LabelFileError) -> str:
    """The text that bytes are.

    Args:
        data: A file's.
        where: What to call the file in an error message.
        damaged: The error: no UTF-8 and no UTF-16 with a mark, or a NUL, which no text holds.
    """
    other = next((what for start, what in _OTHERS.items() if data.startswith(start)), None)
    if other is not None:
        raise damaged(f"{where} is {other}, expected text in UTF-8")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as cause:
        name = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
        raise damaged(
            f"{where} is not {name} ({cause.reason} at byte {cause.start}): save it as UTF-8"
        ) from cause
    at = text.find("\0")
    if at >= 0:
        line = text.count("\n", 0, at) + 1
        raise damaged(f"{where}, line {line}: found a NUL, expected text: save it as UTF-8")
    return text
