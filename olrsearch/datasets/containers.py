"""Files that hold many images, kept open: zips, tars, idx files and CIFAR-100's records.

All functions may be called from several threads at once. Open zips and the items of idx and
record files are kept in small caches of this process; a file that was replaced on disk is read
anew.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from contextlib import contextmanager
from lzma import LZMAError
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from olrsearch.core.errors import DatasetNotFoundError, ImageDecodeError, ImageMissingError
from olrsearch.datasets.cifar_format import parse_records
from olrsearch.datasets.idx_format import is_idx, parse_idx
from olrsearch.datasets.kinds import LeftOut
from olrsearch.datasets.regular_files import read_regular
from olrsearch.datasets.zips import Member, members, open_tolerant, read_member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from olrsearch.core.arrays import U8
    from olrsearch.datasets.base import DatasetIssue

V = TypeVar("V")

_OPEN_ZIPS: Final = 8
_OPEN_ITEMS: Final = 2
_RECORDS: Final = ".bin"


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip, open, for the calling thread alone.

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: It is no zip.
    """
    while True:
        lock, archive = _zips.get(path)
        with lock:
            if archive.fp is None:  # pushed out between the two locks
                continue
            yield archive
            return


def zip_members(path: Path) -> tuple[list[Member], list[DatasetIssue]]:
    """The files in a zip, in its order, and what is odd about them.

    Raises:
        DatasetNotFoundError: The file is not there, or is no zip.
    """
    try:
        with open_zip(path) as archive:
            return members(archive, path.name)
    except FileNotFoundError as cause:
        raise DatasetNotFoundError(f"no zip file at {path}") from cause
    except (OSError, zipfile.BadZipFile) as cause:
        told = " ".join(str(cause).split())
        raise DatasetNotFoundError(f"{path} cannot be read as a zip ({told}); fetch it again") from cause


def zip_names(path: Path) -> list[str]:
    """Names of the files in a zip, in its order, as they are read by; errors as of `zip_members`."""
    left_out = LeftOut()
    return [member.name for member in zip_members(path)[0] if not left_out.matches(member.key)]


def zip_member_size(path: Path, member: str) -> int:
    """How many bytes a file in a zip has at most, unpacked; arguments and errors as of `zip_member`."""
    with _opened_member(path, member) as (_, info):
        return info.file_size


def zip_member(path: Path, member: str) -> bytes:
    """The content of a file in a zip.

    Raises:
        ImageMissingError: The zip cannot be read, or has no such member.
        ImageDecodeError: It is damaged, encrypted, packed in an unknown way, or no zip.
    """
    with _opened_member(path, member) as (archive, info):
        return read_member(archive, info)


@contextmanager
def _opened_member(path: Path, member: str) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
    try:
        with open_zip(path) as archive:
            yield archive, archive.getinfo(member)
    except KeyError as cause:
        raise ImageMissingError(f"{path} has no member {member!r}; was the zip replaced?") from cause
    except OSError as cause:
        if cause.errno is not None:
            raise _unreadable(path, cause) from cause
        raise _damaged_member(path, member, cause) from cause  # what bz2 raises has no number
    except Exception as cause:
        # Damaged members raise nearly anything, of zipfile and of what unpacks.
        raise _damaged_member(path, member, cause) from cause


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


def _damaged_member(path: Path, member: str, cause: Exception) -> ImageDecodeError:
    told = str(cause) or type(cause).__name__
    return ImageDecodeError(f"{member!r} in {path} cannot be unpacked: {told}")


def _damaged_tar(path: Path, cause: Exception) -> ImageDecodeError:
    return ImageDecodeError(f"{path} cannot be read as a tar ({cause}); fetch it again")


class _Recent(Generic[V]):
    """What was made of the most recently used files. A file that was replaced on disk is read anew."""

    def __init__(
        self, most: int, make: Callable[[Path, str | None], V], drop: Callable[[V], None] = lambda _: None
    ) -> None:
        self._most, self._make, self._drop = most, make, drop
        self.forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begins anew, as a forked process must: file positions and held locks are not to be shared."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, str | None, int, int], V] = OrderedDict()

    def get(self, path: Path, member: str | None = None) -> V:
        """What is made of a file, or of a member of it."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        key = (path, member, status.st_mtime_ns, status.st_size)
        dropped: list[V] = []
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._make(path, member)
            found = self._kept[key]
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                dropped.append(self._kept.popitem(last=False)[1])
        for old in dropped:
            self._drop(old)
        return found


def _open(path: Path, _: str | None) -> tuple[threading.Lock, zipfile.ZipFile]:
    """A zip, and the lock that lets one thread at a time read it."""
    return threading.Lock(), open_tolerant(path)


def _close(opened: tuple[threading.Lock, zipfile.ZipFile]) -> None:
    lock, archive = opened
    with lock:
        archive.close()


def _images(path: Path, member: str | None) -> U8:
    if member is None:
        name, where, data = path.name, str(path), read_regular(path)
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


_zips: Final = _Recent(_OPEN_ZIPS, _open, _close)
_items: Final = _Recent(_OPEN_ITEMS, _images)
