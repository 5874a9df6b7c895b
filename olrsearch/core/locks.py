"""Lock files: one process at a time does what must not be done by two."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def held(lock: Path, taken: Callable[[], Exception]) -> Iterator[None]:
    """Holds a lock file for as long as the block runs; never waits, and goes with the process.

    Args:
        lock: The file; it is made, and stays.
        taken: Makes the error to raise where somebody else, of this process or another, holds it.
    """
    from filelock import FileLock, Timeout  # readers do without

    try:
        holding = FileLock(lock, timeout=0, thread_local=False).acquire()
    except Timeout:
        raise taken() from None
    with holding:
        yield
