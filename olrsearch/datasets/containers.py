"""Files that hold many images, kept open: zips, tars, idx files and CIFAR-100's records.

All functions may be called from several threads at once. Open zips and the items of idx and
record files are kept in small caches of this process; a file that was replaced on disk is read
anew.
"""

from __future__ import annotations

import os
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from contextlib import contextmanager
from lzma import LZMAError
from typing import TYPE_CHECKING, Final

from olrsearch.core.errors import ImageDecodeError, ImageMissingError
from olrsearch.datasets.cifar_format import parse_records
from olrsearch.datasets.idx_format import is_idx, parse_idx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from olrsearch.core.arrays import U8

_OPEN_ZIPS: Final = 8
_OPEN_ITEMS: Final = 2
_RECORDS: Final = ".bin"


def open_zip(path: Path) -> AbstractContextManager[zipfile.ZipFile]:
    """The zip, open, for the calling thread alone.

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: It is no zip.
    """
    return _zips.open(path)


def zip_member(path: Path, member: str) -> bytes:
    """The content of a file in a zip.

    Raises:
        ImageMissingError: The zip cannot be read, or has no such member.
        ImageDecodeError: It is damaged, or no zip.
    """
    try:
        with _zips.open(path) as archive:
            return archive.read(member)
    except KeyError as cause:
        raise ImageMissingError(f"{path} has no member {member!r}; was the zip replaced?") from cause
    except OSError as cause:
        raise _unreadable(path, cause) from cause
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as cause:
        # RuntimeError: encrypted, or (NotImplementedError) compressed in an unknown way
        raise ImageDecodeError(f"{member!r} in {path} cannot be unpacked: {cause}") from cause


def tar_members(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The contents of the wanted files in a tar, compressed or not, in one pass over it.

    A compressed tar has no index: this reads all that stands before the last member.

    Args:
        path: The tar. Nothing is written to disk.
        wanted: Whether to read the member of that name.

    Raises:
        OSError: The file cannot be read.
        ImageDecodeError: It is damaged, or no tar.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and wanted(member.name):
                    stream = archive.extractfile(member)
                    found[member.name] = b"" if stream is None else stream.read()
    except (tarfile.TarError, EOFError, zlib.error, LZMAError) as cause:
        raise _damaged_tar(path, cause) from cause
    except OSError as cause:
        if cause.errno is not None:
            raise
        raise _damaged_tar(path, cause) from cause  # what gzip and bz2 raise has no number
    return found


def item(path: Path, member: str | None, number: int, *, uri: str) -> U8:
    """One image of an idx file, or of a file of CIFAR-100's records.

    A name that ends in `.bin` means records, unless the content begins as an idx file does.

    Args:
        path: The file, or the tar that holds it.
        member: The file's name in the tar; None where `path` is the file itself.
        number: Which image, from 0.
        uri: What to call the image in an error message.

    Returns:
        Read-only uint8, [H, W] or [3, H, W]: CIFAR-100 keeps the three colours apart.

    Raises:
        ImageMissingError: The file cannot be read, or has no such member or item.
        ImageDecodeError: It is damaged, or of neither format.
    """
    try:
        images = _items.get(path, member)
    except OSError as cause:
        raise _unreadable(path, cause) from cause
    if number >= len(images):
        raise ImageMissingError(f"{uri} names item {number} of {len(images)}")
    found: U8 = images[number]
    return found


def _unreadable(path: Path, cause: OSError) -> ImageMissingError:
    return ImageMissingError(f"cannot read {path} ({cause.strerror}); restore it, or relocate the data set")


def _damaged_tar(path: Path, cause: Exception) -> ImageDecodeError:
    return ImageDecodeError(f"{path} cannot be read as a tar ({cause}); fetch it again")


class _OpenZip:
    """An open zip and the lock that lets one thread at a time read it."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self.archive = zipfile.ZipFile(path)
        self.closed = False

    def close(self) -> None:
        with self.lock:
            self.closed = True
            self.archive.close()


class _ZipCache:
    """The most recently used zips, open. A zip that was replaced on disk is opened anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int, int], _OpenZip] = OrderedDict()

    @contextmanager
    def open(self, path: Path) -> Iterator[zipfile.ZipFile]:
        """The open zip, for this thread alone."""
        while True:
            entry = self._entry(path)
            with entry.lock:
                if entry.closed:  # pushed out between the two locks
                    continue
                yield entry.archive
                return

    def _entry(self, path: Path) -> _OpenZip:
        status = path.stat()
        key = (str(path), status.st_mtime_ns, status.st_size)
        dropped: list[_OpenZip] = []
        with self._lock:
            entry = self._open.get(key)
            if entry is None:
                entry = self._open[key] = _OpenZip(path)
            self._open.move_to_end(key)
            while len(self._open) > _OPEN_ZIPS:
                dropped.append(self._open.popitem(last=False)[1])
        for old in dropped:
            old.close()
        return entry


class _ItemCache:
    """The images of the most recently used idx and record files, decompressed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrays: OrderedDict[tuple[str, str | None, int, int], U8] = OrderedDict()

    def get(self, path: Path, member: str | None) -> U8:
        """The images of a file, or of a file in a tar: [N, H, W] or [N, 3, H, W]."""
        status = path.stat()
        key = (str(path), member, status.st_mtime_ns, status.st_size)
        with self._lock:
            array = self._arrays.get(key)
            if array is None:
                array = self._arrays[key] = _images(path, member)
            self._arrays.move_to_end(key)
            while len(self._arrays) > _OPEN_ITEMS:
                self._arrays.popitem(last=False)
            return array


def _images(path: Path, member: str | None) -> U8:
    if member is None:
        name, where, data = path.name, str(path), path.read_bytes()
    else:
        name, where = member, f"{member} in {path}"
        found = tar_members(path, lambda other: other == member)
        if member not in found:
            raise ImageMissingError(f"{path} has no member {member!r}; was the tar replaced?")
        data = found[member]
    # An idx file may be called images.bin. No file of CIFAR-100 begins as one does, with the bytes 0, 0:
    # its fine class 0, apple, is of the coarse class 4.
    if name.endswith(_RECORDS) and not is_idx(data):
        return parse_records(data, where=where).images
    return parse_idx(data, where=where, dimensions=(3,), error=ImageDecodeError)


_zips = _ZipCache()
_items = _ItemCache()


def _after_fork() -> None:
    """Begin anew in a forked process: file positions and held locks must not be shared."""
    global _zips, _items  # the two caches are a process's only state
    _zips, _items = _ZipCache(), _ItemCache()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
