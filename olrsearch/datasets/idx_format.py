"""The idx file format of MNIST: a magic number, the dimensions, then the bytes.

`magic = 0, 0, type, number of dimensions`; dimensions are big-endian uint32; only
type 0x08 (unsigned byte) is used by MNIST and its relatives, and read here.
"""

from __future__ import annotations

import gzip
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
        DatasetNotFoundError: There is no such file.
        DatasetError: `error`: another magic number, or more or fewer bytes than announced.
    """
    data = read_file(path, what="idx file")
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

    Raises:
        DatasetError: `error`: another magic number, or more or fewer bytes than announced.
    """
    if data[:2] == _GZIP_MAGIC:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as cause:
            raise error(f"{where} is a damaged gzip file ({cause}); fetch it again") from cause
    expected = [_magic(number) for number in dimensions]
    if data[:4] not in expected:
        raise error(
            f"{where} begins with 0x{data[:4].hex()}, expected "
            f"{' or '.join(f'0x{magic.hex()}' for magic in expected)} (idx, unsigned bytes, "
            f"{' or '.join(map(str, dimensions))} dimension{'s'[: dimensions[-1] > 1]})"
        )
    count = data[3]
    header = 4 + 4 * count
    if len(data) < header:
        raise error(f"{where} ends within its header: {len(data)} bytes, expected at least {header}")
    shape = struct.unpack(f">{count}I", data[4:header])
    announced = header + int(np.prod(shape, dtype=object))
    if len(data) != announced:
        raise error(
            f"{where} holds {len(data)} bytes, expected {announced} for "
            f"{' × '.join(map(str, shape))} items; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


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
