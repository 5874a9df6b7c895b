"""Searches by KL on a GPU: whether there is one, and how near a scan comes to the speed of its memory.

A scan of flat features can be no quicker than the device reads them. What it reads at most is measured in the
same run, as the bytes that a copy from the device to itself reads and writes a second, and only the share is
reported.

Notation: N images, F numbers a feature, m queries of a batch.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import DeviceError
from olrsearch.search.device import AUTO, DeviceScan, find_device, in_memory
from olrsearch.search.kl.projection import row_blocks

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64

_log = logging.getLogger(__name__)

DEVICE_SCANS: Final = ("kl-torch",)
"""Recipes that are measured where torch sees a GPU."""

BATCHES: Final = (1, 64)
"""Queries multiplied together."""

_COPIED: Final = {"cuda": 1 << 30, "cpu": 1 << 24}
"""Bytes copied to measure a device's memory, more than a GPU's cache holds."""


class DeviceProposer:
    """A scan of all features on a device, as recipes that propose are measured.

    Args:
        features: float32 [N, F].
        device: As `DeviceScan` takes it.

    Attributes:
        scan: Of the features.
        count: N.
        bytes: Memory taken on the device.

    Raises:
        DeviceError: there is no such device, or it has too little memory.
    """

    def __init__(self, features: F32, device: str) -> None:
        blocks = (features[rows] for rows in row_blocks(len(features)))
        self.scan = DeviceScan(blocks, features.shape, device)
        self.count, self.bytes = self.scan.count, self.scan.bytes

    def propose(self, query: F64, count: int) -> I64:
        """Rows with the smallest inner products."""
        return self.scan.nearest(-query.astype(np.float32), count)


def device_scans() -> tuple[tuple[str, ...], str | None]:
    """Recipes that can be measured here beside those of every machine, and a note where there are none."""
    try:
        find_device(AUTO)
    except DeviceError as error:
        note = f"Not measured: {', '.join(DEVICE_SCANS)}, for {str(error).partition(',')[0]}."
        _log.warning("%s", note)
        return (), note
    return DEVICE_SCANS, None


def memory_shares(scan: DeviceScan, queries: F64, *, turns: int = 15) -> dict[str, float]:
    """How much of the speed of its device's memory a scan reaches, transfers included.

    Args:
        scan: Of a gallery.
        queries: float64 [q, F], asked in turn.
        turns: Scans timed for each size of batch, after one to warm up.

    Returns:
        What was measured → bytes of the features, by the median time of a scan, by the rate of a copy.

    Raises:
        DeviceError: the device has too little memory.
    """
    rate = copy_rate(scan.device)
    found = {}
    for many in BATCHES:
        batch = queries[np.arange(many) % len(queries)].astype(np.float32)
        seconds = []
        for _ in range(turns + 1):
            started = time.perf_counter()
            scan.products(batch)  # ends with the answer here, so nothing is left running
            seconds.append(time.perf_counter() - started)
        found[f"share of the memory's speed, {many} at once"] = (
            scan.bytes / float(np.median(seconds[1:])) / rate
        )
    return found


def copy_rate(device: str, *, turns: int = 5) -> float:
    """Bytes a second that a device reads and writes while it copies memory of its own, the median of turns.

    Args:
        device: As `find_device` takes it.
        turns: Copies timed, after one to warm up.

    Raises:
        DeviceError: there is no such device, or it has too little memory.
    """
    where = find_device(device)
    import torch

    size = _COPIED[where.type]
    with in_memory(where, f"two times {size / 1e6:,.0f} MB"):
        source = torch.ones(size, dtype=torch.uint8, device=where)
        target = torch.empty_like(source)
    seconds = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        target.copy_(source)
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        seconds.append(time.perf_counter() - started)
    return 2 * size / float(np.median(seconds[1:]))
