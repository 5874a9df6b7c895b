"""Type aliases of arrays, used in every signature, what arrays an image may have, and arrays as bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Number = TypeVar("Number", bound=np.generic)

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.floating[Any]]
I64: TypeAlias = NDArray[np.int64]
I8: TypeAlias = NDArray[np.int8]
U8: TypeAlias = NDArray[np.uint8]
Bool: TypeAlias = NDArray[np.bool_]

Layout: TypeAlias = Literal["labels", "posterior"]
"""What an encoder makes of an image, and a space holds of it: L vectors of k numbers, or mean and factor."""


def blocks_of(array: NDArray[Number], size: int) -> Iterator[NDArray[Number]]:
    """An array, `size` rows at a time; the last block holds what is left."""
    for start in range(0, len(array), size):
        yield array[start : start + size]


def npy(array: NDArray[Any]) -> bytes:
    """What a `.npy` file of an array holds."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def read_npy(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """The array of a `.npy` file, whatever is wrong with the file.

    Args:
        path: The file.
        mapped: Memory-mapped, read-only, instead of read.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it holds no array. numpy itself raises a dozen kinds of errors at a damaged header.
    """
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError):
        raise
    except Exception as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if not isinstance(found, np.ndarray):  # an archive of arrays
        raise ValueError("no array")  # noqa: TRY004 - the file is at fault
    return found


def digest(*arrays: NDArray[Any]) -> str:
    """sha256 of some arrays' bytes, one after another; 64 hexadecimal digits."""
    from hashlib import sha256  # loads OpenSSL, which most queries do without

    found = sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
