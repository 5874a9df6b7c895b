"""Memory-mapped arrays whose blocks are compared with checksums when they are first read.

A `CheckedArray` is no numpy array, so no function reaches its numbers past the comparison: it is indexed
as its readers index, and gives plain arrays. `np.asarray` of it reads all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from olrsearch.core.checksums import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from olrsearch.core.arrays import I64, Number
    from olrsearch.core.checksums import FileBlocks


class CheckedArray:
    """An array of a `.npy` file in C order.

    Args:
        mapped: The array, memory-mapped.
        blocks: Of its file.

    Attributes:
        shape: Of the array.
        dtype: Of its numbers.
        ndim: How many axes it has.
    """

    def __init__(self, mapped: NDArray[Any], blocks: FileBlocks) -> None:
        self.shape = mapped.shape
        self.dtype = mapped.dtype
        self.ndim = mapped.ndim
        self._mapped = np.asarray(mapped)
        self._blocks = blocks
        # Numbers lie at the end of a `.npy` file, behind a header.
        self._start = int(getattr(mapped, "offset", 0))
        self._width = self._bytes(1)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - what numpy takes, and gives
        # A question asked again meets what was compared: it must cost nothing then.
        if not self._blocks.whole and not self._compared(index):
            self._compare(index)
        return self._mapped[index]

    def _compared(self, index: Any) -> bool:  # noqa: ANN401
        """Whether all that lies at the first of these axes was compared, where it is one run of bytes."""
        first = index[0] if isinstance(index, tuple) and index else index
        if isinstance(first, slice):
            begin, end, _ = first.indices(len(self))
        elif isinstance(first, int | np.integer) and 0 <= first < len(self):
            begin, end = int(first), int(first) + 1
        else:
            return False
        return begin < end and self._blocks.compared(
            self._start + begin * self._width, self._start + end * self._width
        )

    def _compare(self, index: Any) -> None:  # noqa: ANN401
        """Compares the blocks in which what an index means lies."""
        first, *others = index if isinstance(index, tuple) else (index,)
        rows = self._places(0, first)
        if rows is None or len(others) > 1:
            self._blocks.check_all()
        elif others and (inner := self._places(1, others[0])) is not None:
            width = self._bytes(2)
            starts = (rows[:, None] * self.shape[1] + inner[None, :]).ravel() * width
            self._check(starts, width)
        else:
            width = self._bytes(1)
            if isinstance(first, slice) and first.step in {None, 1} and len(rows):  # one run of bytes
                self._blocks.check(
                    self._start + int(rows[0]) * width, self._start + int(rows[-1] + 1) * width
                )
            else:
                self._check(rows * width, width)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401
        self._blocks.check_all()
        return np.array(self._mapped, dtype, copy=copy) if copy else np.asarray(self._mapped, dtype)

    def _places(self, axis: int, index: Any) -> I64 | None:  # noqa: ANN401
        """The places along an axis that an index means, int64; None where it is none of the usual."""
        if axis >= self.ndim or (isinstance(index, np.ndarray) and index.ndim != 1):
            return None
        if not isinstance(index, int | np.integer | slice | np.ndarray | list):
            return None
        found: I64 = np.atleast_1d(np.arange(self.shape[axis])[index])
        return found

    def _bytes(self, axis: int) -> int:
        """How many bytes lie between neighbours along the axis before this one."""
        return int(np.prod(self.shape[axis:], dtype=np.int64)) * self.dtype.itemsize

    def _check(self, starts: I64, width: int) -> None:
        """Compares the blocks in which runs of `width` bytes lie that begin at these places of the array."""
        if not width or not len(starts):
            return
        first = (self._start + starts) // BLOCK
        last = (self._start + starts + width - 1) // BLOCK
        reach = int((last - first).max(initial=0))
        self._blocks.check_blocks(
            np.unique(np.concatenate([np.minimum(first + step, last) for step in range(reach + 1)]))
        )


def checked(mapped: NDArray[Number], blocks: FileBlocks) -> NDArray[Number]:
    """An array that is compared as it is read. It is typed as what its readers take it for."""
    return cast("NDArray[Number]", CheckedArray(mapped, blocks))
