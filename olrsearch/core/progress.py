"""How long work says how far it is: the caller passes a `Track`, the library calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
