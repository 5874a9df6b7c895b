"""The idx file format of MNIST: a magic number, the dimensions, then the bytes.

`magic = 0, 0, type, number of dimensions`; dimensions are big-endian uint32; only
type 0x08 (unsigned byte) is used by MNIST and its relatives, and read here.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import DatasetError, LabelFileError
from olrsearch.datasets.text_files import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import U8

UNSIGNED_BYTE = 0x08
MARKS = ("-", ".")
"""What stands before `idx` in a file's name."""
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 24
_LEVEL = 6  # level 9 takes twice as long for some hundredths


def read_idx(path: Path, *, dimensions: tuple[int, ...], error: type[DatasetError] = DatasetError) -> U8:
    """Read an idx file of unsigned bytes, compressed with gzip or not.

    Args:
        path: The file; compression is told from its content, not from its name.
        dimensions: How many there may be: 3 for images [N, H, W], 1 for labels [N], 2 for
            several labels an image [N, C].
        error: What to raise when the file is not as it should be.

    Returns:
        uint8 array with that many dimensions, read-only.

    Raises:
        DatasetNotFoundError: There is no such file, or it is a pipe or a device.
        DatasetError: `error`: another magic number, or more or fewer bytes than announced.
    """
    data = read_file(path, what="idx file", regular=True)
    return parse_idx(data, where=str(path), dimensions=dimensions, error=error)


def read_classes(path: Path, images: Path, count: int, *, dimensions: tuple[int, ...]) -> U8:
    """The class numbers in the label file of an image file.

    Args:
        path: The label file.
        images: The image file, for the message.
        count: N, how many images that holds.
        dimensions: As of `read_idx`.

    Raises:
        DatasetNotFoundError: There is no such file.
        LabelFileError: It is not as it should be, or its number of items differs.
    """
    numbers = read_idx(path, dimensions=dimensions, error=LabelFileError)
    if len(numbers) != count:
        raise LabelFileError(
            f"{path.name} holds {len(numbers)} labels, expected {count} as {images.name} has images"
        )
    return numbers


def find_idx(folder: Path, part: str, what: str, dimensions: int) -> Path | None:
    """A file by its usual names (`train-images-idx3-ubyte`), compressed or not; None where there is none."""
    names = (f"{part}-{what}{mark}idx{dimensions}-ubyte{suffix}" for mark in MARKS for suffix in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def parse_idx(
    data: bytes, *, where: str, dimensions: tuple[int, ...], error: type[DatasetError] = DatasetError
) -> U8:
    """The array in the bytes of an idx file, as `read_idx`; `where` names the file in an error message.

    What is compressed is unpacked no further than its header says.

    Raises:
        DatasetError: `error`: another magic number, or more or fewer bytes than announced.
    """
    packed = data[:2] == _GZIP_MAGIC
    longest = 4 + 4 * max(dimensions)
    head = _unpacked(data, longest, where, error) if packed else data[:longest]
    expected = [_magic(number) for number in dimensions]
    if head[:4] not in expected:
        raise error(
            f"{where} begins with 0x{head[:4].hex()}, expected "
            f"{' or '.join(f'0x{magic.hex()}' for magic in expected)} (idx, unsigned bytes, "
            f"{' or '.join(map(str, dimensions))} dimension{'s'[: dimensions[-1] > 1]})"
        )
    count = head[3]
    header = 4 + 4 * count
    if len(head) < header:
        raise error(f"{where} ends within its header: {len(head)} bytes, expected at least {header}")
    shape = struct.unpack(f">{count}I", head[4:header])
    announced = header + int(np.prod(shape, dtype=object))
    if packed:
        data = _unpacked(data, announced + 1, where, error)
    if len(data) != announced:
        more = "at least " if packed and len(data) > announced else ""
        raise error(
            f"{where} holds {more}{len(data)} bytes, expected {announced} for "
            f"{' × '.join(map(str, shape))} items; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _unpacked(data: bytes, most: int, where: str, error: type[DatasetError]) -> bytes:
    """The first bytes of what is compressed; never much more memory is taken than they need."""
    pieces = []
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while most > 0 and (piece := stream.read(min(most, _PIECE))):
                pieces.append(piece)
                most -= len(piece)
    except (OSError, EOFError, zlib.error) as cause:
        raise error(f"{where} is a damaged gzip file ({cause}); fetch it again") from cause
    return b"".join(pieces)


def is_idx(data: bytes) -> bool:
    """Whether bytes begin as an idx file of images does, or are compressed with gzip."""
    return data[:4] == _magic(3) or data[:2] == _GZIP_MAGIC


def format_idx(array: U8) -> bytes:
    """The bytes of an idx file, compressed with gzip.

    The same array gives the same bytes (with the same zlib): no time of writing is kept.

    Args:
        array: uint8, of 1 to 255 dimensions.
    """
    header = _magic(array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), compresslevel=_LEVEL, mtime=0)


def _magic(dimensions: int) -> bytes:
    return bytes((0, 0, UNSIGNED_BYTE, dimensions))
