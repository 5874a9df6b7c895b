"""Files and folders that are there whole or not at all, and the small things that go with files.

Whatever a program writes and later trusts is written here: under a temporary name beside its place, brought
to the disk, and renamed. A kill, a full disk or a power cut at any step leaves what was there before or
what is new, never a part of it.

    with whole_file(path) as temporary:             # a program that writes to a path
        np.save(temporary, array)
    write_whole(path, data)                         # bytes
    with whole_folder(path) as temporary:           # a folder with all that is in it
        (temporary / "config.json").write_text("{}")

Replacing a file is one step. Replacing a folder takes two renames: a kill between them leaves the old
folder whole, under its temporary name.

What a kill leaves over is named `.tmp-…`, as `is_leftover` says; nothing else is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import xxhash

from olrsearch.core.errors import StoreCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEMPORARY: Final = ".tmp-"
"""What the names of unfinished files and folders begin with."""

_CHECKSUM: Final = "checksum"
"""The key under which a JSON file has a checksum of all the others."""

_EARLIER: Final = (".building", ".part", ".partial", ".tmp")
"""What such names ended in before there was one scheme: stores may hold leftovers of those days."""


def is_file(path: Path) -> bool:
    """Whether there is such a file; what no system can name, or what may not be looked at, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def temporary_path(path: Path) -> Path:
    """An unused name beside a path, for what is not yet or no longer whole; its suffix is kept."""
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}{path.suffix}")


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is unfinished: being written now, or left by a kill."""
    return name.startswith((TEMPORARY, ".gallery-")) or name.endswith(_EARLIER)


def leftovers(folder: Path) -> Iterator[Path]:
    """Yields every unfinished file and folder anywhere below a folder; nothing inside of those."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in [*folders, *files] if is_leftover(name))
        folders[:] = [name for name in folders if not is_leftover(name)]


def remove_leftovers(folder: Path) -> None:
    """Removes unfinished files and folders below a folder; call it under a lock that keeps writers out."""
    for path in leftovers(folder):
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Gives a temporary path to write a file to; at the end of the block it takes its place in one step.

    Args:
        path: Where the file belongs; one that is there is replaced. Folders that lack are made.
        durable: Whether to wait until the disk has it, so that a power cut takes nothing back. Without,
            it may come back empty: for what is quickly made again.

    Yields:
        A path that is not there, beside `path` and with its suffix.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    temporary = temporary_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _named(path):
            yield temporary
            if durable:
                sync(temporary)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes a file's bytes, whole or not at all; arguments and errors as of `whole_file`."""
    with whole_file(path, durable=durable) as temporary:
        temporary.write_bytes(data)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False, durable: bool = True) -> Iterator[Path]:
    """Gives an empty temporary folder to fill; at the end of the block it takes its place.

    Args:
        path: Where the folder belongs: nothing is there, or an empty folder. Folders above it are made.
        replace: Whether a folder that is there, with all that is in it, makes room for the new one.
        durable: Whether to wait until the disk has all of it.

    Yields:
        The folder, beside `path`.

    Raises:
        OSError: it cannot be written, or something is at `path` and is not to be replaced; what was there
            stays.
    """
    temporary = temporary_path(path)
    temporary.mkdir(parents=True)
    try:
        with _named(path):
            yield temporary
            put_folder(temporary, path, replace=replace, durable=durable)
    finally:
        remove_tree(temporary)


def put_folder(made: Path, path: Path, *, replace: bool = False, durable: bool = True) -> None:
    """Puts a finished folder into its place on the same disk; arguments and errors as of `whole_folder`."""
    if durable:
        _sync_tree(made)
    before = temporary_path(path)
    try:
        if replace:
            with suppress(FileNotFoundError):
                path.rename(before)
        made.rename(path)
    except BaseException:
        if before.exists() and not path.exists():
            before.rename(path)
        raise
    if durable:
        sync(path.parent)
    remove_tree(before)


def discard_folder(path: Path) -> None:
    """Removes a folder so that no part of it is ever found under its name."""
    gone = temporary_path(path)
    path.rename(gone)
    remove_tree(gone)


def is_free(path: Path) -> bool:
    """Whether a new folder can be made here: nothing is there, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def sync(path: Path) -> None:
    """Makes a file's bytes, or a folder's entries and renames, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    """Syncs every file and folder below, then the folder itself."""
    for entry in folder.iterdir():
        if entry.is_dir():
            _sync_tree(entry)
        else:
            sync(entry)
    sync(folder)


def remove_tree(folder: Path) -> None:
    """Removes a folder of ours if it is there; what cannot be removed stays for `verify` to name."""
    shutil.rmtree(folder, ignore_errors=True)


def writable(path: Path) -> bool:
    """Whether this process may write there (read-only media say no to root as well)."""
    return os.access(path, os.W_OK)


def what_system_said(error: OSError) -> str:
    """What went wrong with a file, and what to do where that is known; without the file's name."""
    said = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk is full ({said}): free some space, then run the command again"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return f"too many files are open ({said}): close programs, or raise the limit with `ulimit -n`"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"this user may not ({said}): ask its owner for the right to"
    if error.errno == errno.EROFS:
        return f"it lies where nothing can be written ({said})"
    return said


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written to a folder's disk; 1 where nobody can say."""
    try:
        found = os.statvfs(folder)
    except (AttributeError, OSError):
        return 1
    return found.f_bavail * found.f_frsize


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Gives system errors that name no file, as numpy's of a short write are, the file they are about."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        full = error.errno is None and not free_bytes(path.parent)
        number = errno.ENOSPC if full else error.errno or errno.EIO
        said = os.strerror(errno.ENOSPC) if full else error.strerror or str(error)
        raise OSError(number, said, str(path)) from error


def parse_json(text: bytes, path: Path) -> dict[str, Any]:
    """A JSON object from a file's bytes.

    Raises:
        StoreCorruptError: it is none, or not what `checked_json` wrote.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreCorruptError(f"{path} is damaged: not JSON ({error}); restore it from a backup") from error
    if not isinstance(content, dict):
        raise StoreCorruptError(f"{path} is damaged: not a JSON object; restore it from a backup")
    said = content.pop(_CHECKSUM, None)
    if said is not None and said != _checksum(content):
        raise StoreCorruptError(
            f"{path} is damaged: it does not match its own checksum; restore it from a backup"
        )
    return content


def checked_json(content: Mapping[str, Any]) -> bytes:
    """The bytes of a file for a JSON object, with a checksum of it that `parse_json` compares.

    Raises:
        TypeError, ValueError: it is not JSON.
    """
    whole = {**content, _CHECKSUM: _checksum(content)}
    return (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode()


def _checksum(content: Mapping[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def sha256_hex(data: bytes | memoryview) -> str:
    """The hash of some bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, as 64 hexadecimal digits; it is read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
