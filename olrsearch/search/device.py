"""A flat scan of vectors on a torch device, a GPU as a rule; torch is imported when a scan is made.

Vectors lie on the device in float32 and are multiplied with a query in float32, so what bounds the error of
such a product on a CPU bounds it here. What a scan finds is scored again on the CPU by whoever asked.

It has been tested on torch's CPU device alone; on a GPU nothing was measured yet.

Notation: n vectors of d numbers, m queries.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import DeviceError
from olrsearch.core.shown import shown
from olrsearch.maths.metric import check_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

    from olrsearch.core.arrays import F32, I64

AUTO: Final = "auto"
"""The GPU that torch sees; never the CPU, which a recipe must name."""

DEVICES: Final = re.compile(r"auto|cpu|cuda(:\d+)?")

OTHERS: Final = "leave --recipe out to search exactly, or use a recipe for the CPU"
"""What to do where there is no device."""


class DeviceScan:
    """Vectors on a torch device.

    Args:
        blocks: float32 [b, d] each, one after another all n vectors; not changed.
        shape: n and d.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Attributes:
        count: n.
        size: d.
        device: Where the vectors lie, such as `cuda:0`.

    Raises:
        DeviceError: there is no such device, or it has too little memory.
    """

    def __init__(self, blocks: Iterable[F32], shape: tuple[int, ...], device: str = AUTO) -> None:
        count, size = shape
        where = check_device(device, count, size)
        import torch

        self.count, self.size, self.device = count, size, str(where)
        with in_memory(where, f"{count:,} vectors"):
            self._vectors = torch.empty((count, size), dtype=torch.float32, device=where)
            start = 0
            for block in blocks:
                # copied, for torch takes no read-only memory
                self._vectors[start : start + len(block)] = torch.from_numpy(np.array(block)).to(where)
                start += len(block)
            self._squares = self._vectors.square().sum(dim=1)

    @property
    def bytes(self) -> int:
        """Memory taken on the device."""
        return self._vectors.nbytes + self._squares.nbytes

    def products(self, queries: F32) -> F32:
        """Inner products of all vectors with m queries, float32 [m, n].

        Args:
            queries: float32 [m, d].

        Raises:
            DeviceError: the device has too little memory, or torch multiplies in less than float32.
        """
        import torch

        with torch.inference_mode(), in_memory(self._vectors.device, f"the scores of {len(queries)} queries"):
            found: F32 = self._products(queries).cpu().numpy()
        return found

    def nearest(self, query: F32, count: int, *, squared_l2: bool = False) -> I64:
        """The vectors with the largest inner product with a query, or the smallest distance from it.

        Args:
            query: float32 [d].
            count: How many; all when there are fewer.
            squared_l2: Whether the squared L2 distance counts, else the inner product.

        Returns:
            int64 [≤ count], positions among the vectors, nearest first.

        Raises:
            VectorError: the query has another length, or holds NaN or infinities.
            DeviceError: as `products`.
        """
        import torch

        check_query(query, self.size)
        with torch.inference_mode(), in_memory(self._vectors.device, "the scores of 1 queries"):
            found = self._products(query[None])[0]
            near = 2.0 * found - self._squares if squared_l2 else found
            rows: I64 = near.topk(min(count, self.count)).indices.cpu().numpy()
        return rows

    def _products(self, queries: F32) -> torch.Tensor:
        import torch

        if torch.get_float32_matmul_precision() != "highest":
            raise DeviceError(
                "torch multiplies float32 with fewer bits in this process, which no bound covers: call "
                "torch.set_float32_matmul_precision('highest') before searching"
            )
        asked = torch.from_numpy(np.array(queries, np.float32)).to(self._vectors.device)
        return asked @ self._vectors.T


def device_bytes(count: int, size: int) -> int:
    """Memory that a scan of n vectors of d numbers takes on its device."""
    return 4 * count * (size + 1)


def find_device(name: str) -> torch.device:
    """The device of a recipe.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: torch does not load, or there is no such device.
    """
    try:
        import torch
    except ImportError as error:
        raise DeviceError(f"torch does not load ({error}): install it again, or {OTHERS}") from error
    if not DEVICES.fullmatch(name):
        raise DeviceError(f"no device is called {shown(name)}: expected auto, cpu, cuda or cuda:N")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(f"torch sees no GPU here, and the index is for the device {name}: {OTHERS}")
    wanted = int(name.partition(":")[2] or torch.cuda.current_device())
    if wanted >= torch.cuda.device_count():
        raise DeviceError(
            f"torch sees GPUs up to cuda:{torch.cuda.device_count() - 1}, and the index is for the device "
            f"{name}: name another one in its recipe"
        )
    return torch.device("cuda", wanted)


def check_device(name: str, count: int, size: int) -> torch.device:
    """The device of a recipe, where n vectors of d numbers fit.

    Raises:
        DeviceError: there is no such device, or it has too little memory free.
    """
    where = find_device(name)
    import torch

    needed = device_bytes(count, size)
    free = torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else needed
    if needed > free:
        raise DeviceError(
            f"{count:,} vectors take {needed / 1e6:,.0f} MB, {where} has {free / 1e6:,.0f} MB free: free "
            f"some, or {OTHERS}"
        )
    return where


@contextmanager
def in_memory(device: torch.device, what: str) -> Iterator[None]:
    """Give a device's lack of memory a name; torch has an error of its own for it on GPUs alone."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in ("out of memory", "allocate memory", "not enough memory")):
            raise
        raise DeviceError(f"{device} has too little memory for {what}: free some, or {OTHERS}") from error
