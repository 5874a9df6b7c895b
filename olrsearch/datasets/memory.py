"""How much memory images may take while they are read and decoded, and how they share it.

An import promises to stay below a gigabyte (`docs/datasets.md`). Four threads read at once. Files of at most
`SMALL_FILE` bytes and pictures that need at most `SMALL_NEED` bytes are read without asking: four of each fit
into what the promise leaves. Whatever is larger takes its share of `BUDGET` first, or waits until others give
theirs back, and what would never fit is refused before it is decoded.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

SMALL_FILE: Final = 8_000_000
"""Bytes of a file that is read without asking."""

SMALL_NEED: Final = 4_000_000
"""Bytes that a picture may need to be decoded without asking."""


class MemoryBudget:
    """Bytes that threads take and give back, in the order in which they asked.

    Who holds all of it may go on taking: a large file is read and decoded with nobody beside it.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Begins anew, as a forked process must."""
        self._free = self.total
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._own = threading.local()

    def all_of_it(self) -> AbstractContextManager[None]:
        """Waits until nobody else holds anything, and keeps others out."""
        return self._taken(self.total)

    def take(self, count: int) -> AbstractContextManager[None]:
        """Takes some bytes, at most `total`, for the length of a block; waits until they are free."""
        if count <= SMALL_NEED or getattr(self._own, "all", False):
            return nullcontext()
        return self._taken(count)

    @contextmanager
    def _taken(self, count: int) -> Iterator[None]:
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            try:
                self._changed.wait_for(lambda: self._line[0] is ticket and self._free >= count)
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()
            self._free -= count
        self._own.all = count == self.total
        try:
            yield
        finally:
            self._own.all = False
            with self._changed:
                self._free += count
                self._changed.notify_all()


BUDGET: Final = MemoryBudget(720_000_000)
"""What images may take together: the promise less what the program itself and small images need."""
