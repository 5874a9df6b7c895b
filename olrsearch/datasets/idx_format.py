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

from olrsearch.errors import DatasetError, DatasetNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.arrays import U8

UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, *, dimensions: int, error: type[DatasetError] = DatasetError) -> U8:
    """Read an idx file of unsigned bytes, compressed with gzip or not.

    Args:
        path: The file; compression is told from its content, not from its name.
        dimensions: 3 for images [N, H, W], 1 for labels [N].
        error: What to raise when the file is not as it should be.

    Returns:
        uint8 array with that many dimensions, read-only.

    Raises:
        DatasetNotFoundError: There is no such file.
        DatasetError: `error`: another magic number, or more or fewer bytes than announced.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as cause:
        raise DatasetNotFoundError(f"no idx file at {path}") from cause
    if data[:2] == _GZIP_MAGIC:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as cause:
            raise error(f"{path} is a damaged gzip file ({cause}); fetch it again") from cause
    expected = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if data[:4] != expected:
        raise error(
            f"{path} begins with 0x{data[:4].hex()}, expected 0x{expected.hex()} "
            f"(idx, unsigned bytes, {dimensions} dimension{'s'[: dimensions > 1]})"
        )
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise error(f"{path} ends within its header: {len(data)} bytes, expected at least {header}")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    announced = header + int(np.prod(shape, dtype=object))
    if len(data) != announced:
        raise error(
            f"{path} holds {len(data)} bytes, expected {announced} for "
            f"{' × '.join(map(str, shape))} items; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
