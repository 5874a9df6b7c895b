"""Searches by KL on a GPU: whether there is one, and how near a scan comes to the speed of its memory.

A scan of flat features can be no quicker than the device reads them. What it reads at most is measured in the
same run, as the bytes that a copy from the device to itself reads and writes a second, and only the share is
reported.

Notation: F numbers a feature, m queries of a batch.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import DeviceError
from olrsearch.search.kl.torch_flat import AUTO, copy_rate, find_device

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64
    from olrsearch.search.kl.torch_flat import TorchFlatKl

_log = logging.getLogger(__name__)

DEVICE_SCANS: Final = ("kl-torch",)
"""Recipes that are measured where torch sees a GPU."""

BATCHES: Final = (1, 64)
"""Queries proposed for together."""

_PROPOSED: Final = 512
"""Images proposed to a query."""


def device_scans() -> tuple[tuple[str, ...], str | None]:
    """Recipes that can be measured here beside those of every machine, and a note where there are none."""
    try:
        find_device(AUTO)
    except DeviceError as error:
        note = f"Not measured: {', '.join(DEVICE_SCANS)}, for {str(error).partition(',')[0]}."
        _log.warning("%s", note)
        return (), note
    return DEVICE_SCANS, None


def memory_shares(proposer: TorchFlatKl, queries: F64, *, turns: int = 15) -> dict[str, float]:
    """How much of the speed of its device's memory a scan reaches, selection and transfers included.

    Args:
        proposer: Of a gallery.
        queries: float64 [q, F], asked in turn.
        turns: Scans timed for each size of batch, after one to warm up.

    Returns:
        What was measured → bytes of the features, by the median time of a scan, by the rate of a copy.

    Raises:
        DeviceError: the device has too little memory.
    """
    rate = copy_rate(proposer.device)
    found = {}
    for many in BATCHES:
        batch = queries[np.arange(many) % len(queries)]
        seconds = []
        for _ in range(turns + 1):
            started = time.perf_counter()
            proposer.propose_batch(batch, _PROPOSED)  # ends with the answer here, so nothing is left running
            seconds.append(time.perf_counter() - started)
        found[f"share of the memory's speed, {many} at once"] = (
            proposer.bytes / float(np.median(seconds[1:])) / rate
        )
    return found
