"""Reading regular files only: a pipe that nobody writes to would be waited for without end."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_NO_FILES: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path) -> FileIO:
    """A regular file, or a link to one, open for reading.

    Raises:
        OSError: There is none, it may not be read, or it is something else, which is said.
        ValueError: No system has such a path.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return FileIO(descriptor)
    os.close(descriptor)
    what = next((name for is_it, name in _NO_FILES if is_it(mode)), "no file")
    raise OSError(errno.EINVAL, f"it is {what}, expected a file")


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file; errors as of `open_regular`."""
    with open_regular(path) as file:
        return file.readall()
