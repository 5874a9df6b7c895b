"""Checksums of blocks of files, compared as the blocks are first read.

A writer notes one checksum a block of a finished file. A reader makes `FileBlocks` of the list, and
asks for the bytes it is about to use: each block is read and compared once. A file of which no
checksums were kept, as older programs left them, is taken as it is.

xxHash (XXH3, 64 bits) because what is looked for is chance damage, and because it is by far the quickest
(docs/results.md); lists in sha256, which older segments have, are understood too.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

import numpy as np
import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

BLOCK: Final = 1 << 20
"""Bytes under one checksum."""

KEY: Final = "xxh3"
"""What a list of these checksums is called in a description."""

VARIABLE: Final = "OLRSEARCH_CHECKS"
"""Environment variable; `off` leaves out every comparison while reading, but for those of `store verify`."""

_SHA256_DIGITS: Final = 64


def checking() -> bool:
    """Whether what is read is compared with its checksums."""
    return os.environ.get(VARIABLE, "").lower() not in {"off", "0", "no", "false"}


def block_sums(path: Path) -> list[str]:
    """One checksum a block of a file, 16 hexadecimal digits each."""
    return [xxhash.xxh3_64_hexdigest(block) for block in file_blocks(path)]


def block_sums_of(data: bytes) -> list[str]:
    """As `block_sums`, of what a file is to hold."""
    view = memoryview(data)
    return [xxhash.xxh3_64_hexdigest(view[at : at + BLOCK]) for at in range(0, len(view), BLOCK)]


def block_sums_of_descriptor(descriptor: int) -> list[str]:
    """As `block_sums`, of a file that is open; where it is read from otherwise stays as it is."""
    sums: list[str] = []
    while block := _read_at(descriptor, len(sums) * BLOCK):
        sums.append(xxhash.xxh3_64_hexdigest(block))
    return sums


def _read_at(descriptor: int, at: int) -> bytes:
    """A block, or what there is of it."""
    found = b""
    while len(found) < BLOCK and (more := os.pread(descriptor, BLOCK - len(found), at + len(found))):
        found += more
    return found


def file_blocks(path: Path) -> Iterator[memoryview]:
    """Yields a file block by block; each is overwritten by the next."""
    buffer = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while filled := _fill(file.readinto, buffer):
            yield buffer[:filled]


def _fill(readinto: Callable[[memoryview], int | None], buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (more := readinto(buffer[filled:])):
        filled += more
    return filled


def sums_of(entry: Mapping[str, object]) -> list[str] | None:
    """The checksums that a description has of a file, `KEY` or the sha256 of older ones; None without any."""
    for name in (KEY, "sha256"):
        found = entry.get(name)
        if isinstance(found, list):
            return [str(item) for item in found]
    return None


class FileBlocks:
    """A file's blocks, each compared with its checksum once.

    Args:
        path: The file.
        sums: One a block, as `block_sums` gives them, or sha256.
        damaged: Makes the error to raise from the path and what is wrong with it.

    Attributes:
        whole: Whether all of it was compared.
    """

    def __init__(self, path: Path, sums: Sequence[str], damaged: Callable[[Path, str], Exception]) -> None:
        self._path = path
        self._sums = sums
        self._damaged = damaged
        self._unread = np.ones(len(sums), np.bool_)
        self.whole = False

    def compared(self, start: int, end: int) -> bool:
        """Whether the bytes `start` to `end` were compared, which is cheap to ask."""
        first, last = start // BLOCK, -(-end // BLOCK)
        return last <= len(self._sums) and not self._unread[first:last].any()

    def check(self, start: int, end: int) -> None:
        """Compares the blocks of the bytes `start` to `end` that were not compared before.

        Raises:
            Exception: a block is not what was written; the error that was asked for.
        """
        self.check_blocks(np.arange(start // BLOCK, -(-end // BLOCK)))

    def check_all(self) -> None:
        """Compares all blocks; raises as `check`."""
        self.check_blocks(np.arange(len(self._sums)))

    def check_blocks(self, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Compares some blocks, by their numbers; raises as `check`."""
        if len(numbers) and numbers[-1] >= len(self._sums):
            raise self._damaged(self._path, f"has more than the {len(self._sums)} blocks that were written")
        wanted = numbers[self._unread[numbers]]
        if not len(wanted):
            return
        try:
            with self._path.open("rb", buffering=0) as file:
                for number in wanted.tolist():
                    file.seek(number * BLOCK)
                    if _digest(file.read(BLOCK), self._sums[number]) != self._sums[number]:
                        place = f"block {number} (bytes from {number * BLOCK})"
                        raise self._damaged(self._path, f"{place} does not match its checksum")
                    self._unread[number] = False
            self.whole = not bool(self._unread.any())
        except OSError as error:
            raise self._damaged(self._path, f"cannot be read ({error.strerror or error})") from error


def _digest(block: bytes, like: str) -> str:
    if len(like) == _SHA256_DIGITS:
        return hashlib.sha256(block).hexdigest()
    return xxhash.xxh3_64_hexdigest(block)
