"""Reading `metadata.db` beside SQLite in one process.

A process that closes a descriptor of a file loses all its POSIX locks on that file, those of SQLite's
connections included. Another process then believes that nobody reads, and takes the log away on its way
out: who read on would see old rows for ever, and who wrote on would write into a file that is gone. So a
descriptor that was opened beside an engine stays open as long as there is one.

Source: https://www.sqlite.org/howtocorrupt.html, section 2.2.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import event

from olrsearch.core.checksums import block_sums_of_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    Inode = tuple[int, int]

_engines: Counter[Inode] = Counter()
"""How many engines are open on a file."""
_descriptors: dict[Inode, int] = {}
_lock = threading.RLock()


def watch(engine: Engine, path: Path) -> None:
    """Take note of an engine on a database's file, until it is disposed of or forgotten."""
    inode = _inode(path)
    with _lock:
        _engines[inode] += 1
    leave = weakref.finalize(engine, _leave, inode)
    leave.atexit = False  # all descriptors go then
    event.listen(engine, "engine_disposed", lambda _: leave())


def file_sums(path: Path) -> list[str]:
    """One checksum a block of a database's file, as `checksums.block_sums` gives them."""
    with _opened(path) as descriptor:
        return block_sums_of_descriptor(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor of a file, which is closed afterwards only where no engine is open on it."""
    inode = _inode(path)
    with _lock:
        descriptor = _descriptors.get(inode)
        if descriptor is None:
            descriptor = _descriptors[inode] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        _engines[inode] += 1  # nobody closes it while it is read
    try:
        yield descriptor
    finally:
        _leave(inode)


def _leave(inode: Inode) -> None:
    """One engine less; with the last one goes the descriptor."""
    with _lock:
        _engines[inode] -= 1
        if _engines[inode] <= 0:
            del _engines[inode]
            descriptor = _descriptors.pop(inode, None)
            if descriptor is not None:
                os.close(descriptor)


def _inode(path: Path) -> Inode:
    found = path.stat()
    return found.st_dev, found.st_ino
