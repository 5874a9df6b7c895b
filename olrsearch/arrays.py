"""Array type aliases used in every signature."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.floating[Any]]
I64: TypeAlias = NDArray[np.int64]
I8: TypeAlias = NDArray[np.int8]
U8: TypeAlias = NDArray[np.uint8]
Bool: TypeAlias = NDArray[np.bool_]


def digest(*arrays: NDArray[Any]) -> str:
    """sha256 of some arrays' bytes, one after another; 64 hexadecimal digits."""
    from hashlib import sha256  # loads OpenSSL, which most queries do without

    found = sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
