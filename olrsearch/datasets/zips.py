"""Zips as people have them: odd names, members that cannot be unpacked, sizes that are not true.

One bad member is a fault of that member: the rest of the zip is read.
"""

from __future__ import annotations

import bz2
import copy
import io
import lzma
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from olrsearch.core.names import unfit_character
from olrsearch.core.shown import escaped
from olrsearch.datasets.base import issues_of

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.datasets.base import DatasetIssue

_ENTRY_SIZE: Final = 46
_SIGNATURE: Final = b"PK\x01\x02"
_HEADER_SIZE: Final = 30
_HEADER_SIGNATURE: Final = b"PK\x03\x04"
_IS_UTF8: Final = 0x800
_NEWEST: Final = 63
"""The newest version of the format that Python's zipfile takes, times ten."""

_NAME_BESIDE: Final = 0x7075

_PIECE: Final = 1 << 20
_LZMA_MEMORY: Final = 1 << 26
"""Bytes that a member packed with LZMA may ask for, beside what it unpacks to."""


class Member(NamedTuple):
    """An image in a zip.

    Attributes:
        key: Its name as people read it, with `/` between folders.
        name: Its name as the zip has it, by which it is read.
    """

    key: str
    name: str


def open_tolerant(path: Path) -> zipfile.ZipFile:
    """A zip, open; members of newer versions, or with names that are not what they claim, do no harm.

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: It is no zip, or its list of members is damaged.
    """
    file = _Tolerant(io.FileIO(path))
    try:
        return _Zip(file)
    except BaseException as cause:
        file.close()
        if isinstance(cause, zipfile.BadZipFile | OSError) or not isinstance(cause, Exception):
            raise
        # zipfile raises nearly anything on damaged lists.
        raise zipfile.BadZipFile(str(cause) or type(cause).__name__) from cause


class _Zip(zipfile.ZipFile):
    """A zip that closes the file it was given."""

    def close(self) -> None:
        file = self.fp
        super().close()
        if file is not None:
            file.close()


class _Tolerant(io.BufferedReader):
    """A zip's file whose list of members, and what stands before each, is mended as zipfile reads it."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if data.startswith(_SIGNATURE):
            return _mended(data)
        if len(data) == _HEADER_SIZE and data.startswith(_HEADER_SIGNATURE) and data[7] & _IS_UTF8 >> 8:
            name = super().read(int.from_bytes(data[26:28], "little"))
            self.seek(-len(name), io.SEEK_CUR)
            if not _is_utf8(name):
                return data[:7] + bytes([data[7] & ~(_IS_UTF8 >> 8)]) + data[8:]
        return data


def _mended(listing: bytes) -> bytes:
    """A central directory whose entries zipfile takes, whatever their version and names."""
    data = bytearray(listing)
    at = 0
    while data[at : at + 4] == _SIGNATURE and at + _ENTRY_SIZE <= len(data):
        version, flags = struct.unpack_from("<2H", data, at + 6)
        name, extra, comment = struct.unpack_from("<3H", data, at + 28)
        if version & 0xFF > _NEWEST:
            data[at + 6] = _NEWEST
        if flags & _IS_UTF8 and not _is_utf8(bytes(data[at + _ENTRY_SIZE : at + _ENTRY_SIZE + name])):
            struct.pack_into("<H", data, at + 8, flags & ~_IS_UTF8)
        at += _ENTRY_SIZE + name + extra + comment
    return bytes(data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def members(archive: zipfile.ZipFile, where: str) -> tuple[list[Member], list[DatasetIssue]]:
    r"""The files in a zip, in its order, and what is odd about their names.

    Names are UTF-8 whether they are marked so or not; what is no UTF-8 is read as code page 437, which the
    format means. `\` between folders, as some programs of Windows write it, becomes `/`, and `./` goes.
    """
    found: dict[str, Member] = {}
    unusable: list[str] = []
    guessed: list[str] = []
    twice: list[str] = []
    for info in archive.infolist():
        if info.filename.endswith(("/", "\\")):  # a folder
            continue
        original = getattr(info, "orig_filename", info.filename)
        shown, is_certain = _shown(info, original)
        key = "/".join(part for part in shown.replace("\\", "/").split("/") if part != ".")
        is_unfit = unfit_character(original) or unfit_character(shown)  # zipfile cuts at NUL
        if not info.filename or not key or is_unfit or ".." in key.split("/"):
            unusable.append(escaped(original if unfit_character(original) else shown))
            continue
        if key in found:
            twice.append(key)
        elif not is_certain:
            guessed.append(key)
        found[key] = Member(key, info.filename)
    return list(found.values()), [
        *issues_of(
            "unusable-names",
            unusable,
            "file",
            "files",
            f"of {where} left out for names that break lines or lead out of their folder: "
            f"{', '.join(unusable[:3])}",
        ),
        *issues_of(
            "guessed-names", guessed, "name", "names", f"of {where} read as code page 437, for want of UTF-8"
        ),
        *issues_of(
            "repeated-members",
            twice,
            "name stands",
            "names stand",
            f"twice in {where}; the last file of each is read",
        ),
    ]


def _shown(info: zipfile.ZipInfo, name: str) -> tuple[str, bool]:
    """A member's name as people read it, and whether that is certain."""
    if info.flag_bits & _IS_UTF8 or name.isascii():
        return name, True
    raw = name.encode("cp437", "replace")
    for candidate in (_name_beside(info.extra, raw), raw):
        if candidate is not None and _is_utf8(candidate):
            return candidate.decode(), True
    return name, False


def _name_beside(extra: bytes, raw: bytes) -> bytes | None:
    """The name in UTF-8 that some programs write into an extra field, if it belongs to this one."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        body = extra[at + 4 : at + 4 + size]
        if kind == _NAME_BESIDE and body[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            return body[5:]
        at += 4 + size
    return None


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of a file in a zip: at most as many bytes as it declares, whatever is packed.

    Raises:
        OSError, zipfile.BadZipFile, RuntimeError, …: As zipfile does, nearly anything.
    """
    if info.compress_type in {zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}:
        return _unpacked(archive, info)
    with archive.open(info) as stream:
        if info.file_size <= _PIECE:
            return stream.read(info.file_size)
        return b"".join(iter(lambda: stream.read(_PIECE), b""))


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """As `read_member`: of these, zipfile would unpack four kilobytes at once, which may be gigabytes."""
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC
    found = bytearray()
    with archive.open(packed) as stream:
        decompressor, first = _decompressor(info, stream)
        while not decompressor.eof and len(found) < info.file_size:
            piece = first or (stream.read(_PIECE) if decompressor.needs_input else b"")
            if not piece and decompressor.needs_input:
                raise EOFError("it ends early")
            found += decompressor.decompress(piece, _PIECE)
            first = b""
    if len(found) != info.file_size or zlib.crc32(found) != info.CRC:
        raise zipfile.BadZipFile("its checksum or size is wrong")
    return bytes(found)


def _decompressor(
    info: zipfile.ZipInfo, stream: IO[bytes]
) -> tuple[bz2.BZ2Decompressor | lzma.LZMADecompressor, bytes]:
    """What unpacks a member, and what it is to be fed before the stream.

    Source: APPNOTE of PKWARE, 5.8.8: two bytes of a version, the length of LZMA's properties, and these. In a
    file of its own LZMA has the size behind them, here unknown.
    """
    if info.compress_type == zipfile.ZIP_BZIP2:
        return bz2.BZ2Decompressor(), b""
    head = stream.read(4)
    properties = stream.read(int.from_bytes(head[2:], "little"))
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY), properties + b"\xff" * 8
