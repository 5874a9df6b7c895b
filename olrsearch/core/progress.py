"""How long work says how far it is: the caller passes a `Track`, the library calls it."""

from __future__ import annotations

import time
from collections.abc import Sized
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable and shows progress while it is consumed."""

    def __call__(self, items: Iterable[T], *, total: int, what: str, unit: str = "images") -> Iterator[T]:
        """Yield every item of `items`; `total` items are expected.

        An item that has a length counts for as many `unit`s as it is long.
        """
        ...


def silent(items: Iterable[T], *, total: int, what: str, unit: str = "images") -> Iterator[T]:  # noqa: ARG001 - a Track's signature
    """The `Track` that shows nothing."""
    yield from items


def size(item: object) -> int:
    """For how many units an item counts."""
    return len(item) if isinstance(item, Sized) else 1


class Heartbeat:
    """A `Track` for where nobody sees a bar: a line every half minute, with the rate and the time left.

    The half minutes go on from one work to the next, so that many short ones are heard of, too.

    Args:
        write: Takes a line.
        every: Seconds between two lines.
        clock: Says the time, in seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._every, self._clock = write, every, clock
        self._last = clock()

    def __call__(self, items: Iterable[T], *, total: int, what: str, unit: str = "images") -> Iterator[T]:
        """Yield every item, and say now and then how many there were."""
        work = self.work(total=total, what=what, unit=unit)
        for item in items:
            yield item
            work.update(size(item))

    def work(self, *, total: int, what: str, unit: str = "images", done: int = 0) -> Work:
        """Work that says itself how far it is.

        Args:
            total: How many units there are.
            what: What is done with them.
            unit: What they are.
            done: How many were done before.
        """
        return Work(self, total, what, unit, done)

    def say(self, line: Callable[[], str]) -> None:
        """Write a line, if it is time for one."""
        if self._clock() - self._last >= self._every:
            self._last = self._clock()
            self._write(line())

    def now(self) -> float:
        """The time, in seconds."""
        return self._clock()


class Work:
    """Some units of work of which one after the other is done; made by `Heartbeat.work`."""

    def __init__(self, heartbeat: Heartbeat, total: int, what: str, unit: str, done: int) -> None:
        self._heartbeat, self._total, self._what, self._unit = heartbeat, total, what, unit
        self._before, self._done, self._started = done, done, heartbeat.now()
        self.said = ""
        """What else a line says."""

    def update(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        self._heartbeat.say(self._line)

    def _line(self) -> str:
        line = f"{self._what}: {self._done:,} of {self._total:,} {self._unit}"
        spent = self._heartbeat.now() - self._started
        rate = (self._done - self._before) / spent if spent > 0 else 0.0
        if rate > 0:
            left = max(self._total - self._done, 0) / rate
            line += f", {_figures(rate)} {self._unit}/s, {duration(left)} left"
        return f"{line}, {self.said}" if self.said else line


def _figures(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def duration(seconds: float) -> str:
    """A time in words: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
