"""Engines: what computes a network's forward pass when images are encoded.

All give the same embeddings but for rounding, except those that compute with fewer bits, whose
names say so. Which is fastest depends on the machine: `olrsearch bench speed encoding`.

Notation: n images of one forward pass, H × W pixels.
"""

from __future__ import annotations

import copy
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import torch

from olrsearch.core.errors import EngineError
from olrsearch.encoders.engines.folding import folded
from olrsearch.encoders.protocol import check_pixels
from olrsearch.encoders.trunks.trunk import channels_last

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto
    from torch import nn

    from olrsearch.core.arrays import F32, U8

log = logging.getLogger(__name__)

_INSTEAD: Final = "choose another engine, or none for the default"

_GPU_CHUNK, _CPU_CHUNK, _ONNX_CHUNK = 256, 32, 8
"""Images a forward pass. On a CPU the feature maps of few images stay in its caches."""


class Engine(Protocol):
    """Computes forward passes; may be called from as many threads at once as it has workers.

    Attributes:
        name: A name of `ENGINES`.
        chunk: Images of a forward pass.
        workers: How many forward passes at once keep the machine busy.
    """

    name: str
    chunk: int
    workers: int

    def run(self, pixels: U8) -> F32:
        """One forward pass: uint8 [n, H, W, 3] in C order, n ≤ chunk → float32 [n, …], the network's."""


class TorchEngine:
    """torch, whose operations divide their work among its threads.

    Args:
        name: A name of `ENGINES`.
        network: In evaluation mode, on the device.
        device: Where it computes.
        bfloat16: Whether convolutions and products are computed with 8 bits of mantissa.
    """

    def __init__(
        self, name: str, network: nn.Module, device: torch.device, *, bfloat16: bool = False
    ) -> None:
        self.name = name
        self.chunk = _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
        self.workers = 1
        self._network = network
        self._device = device
        self._bfloat16 = bfloat16

    def run(self, pixels: U8) -> F32:
        """See `Engine.run`."""
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16),
        ):
            # [n, H, W, 3] in memory seen as [n, 3, H, W] is torch's channels-last format.
            batch = torch.tensor(pixels).to(self._device).permute(0, 3, 1, 2)
            found: F32 = self._network(batch).float().cpu().numpy()
        return found


class OnnxEngine:
    """ONNX Runtime on the CPU: a thread a forward pass, and as many passes at once as torch has threads.

    Passes side by side never wait for each other; threads that share one wait at every layer.

    Args:
        name: A name of `ENGINES`.
        model: From `onnx_graph` or `quantise`.

    Raises:
        EngineError: ONNX Runtime refuses the model.
    """

    def __init__(self, name: str, model: ModelProto) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no class of their own in common
            raise EngineError(f"ONNX Runtime refuses the network ({_line(error)}): {_INSTEAD}") from error
        self.name = name
        self.chunk = _ONNX_CHUNK
        self.workers = torch.get_num_threads()

    def run(self, pixels: U8) -> F32:
        """See `Engine.run`."""
        found: F32 = self._session.run(None, {"pixels": pixels})[0]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What an engine is made for.

    Attributes:
        network: In evaluation mode, on the device; no engine changes it.
        device: Where to compute.
        size: (H, W), pixels.
        calibration: uint8 [n, H, W, 3], typical images; for the engine with 8-bit numbers alone.
    """

    network: nn.Module
    device: torch.device
    size: tuple[int, int]
    calibration: U8 | None = None


def run_all(engine: Engine, pixels: U8, out: F32) -> None:
    """Forward passes over a whole set of images, as many at once as the engine has workers.

    Args:
        engine: What computes.
        pixels: uint8 [B, H, W, 3]; not changed.
        out: float32 [B, …], perhaps a view: what the network makes of the images is written to it.
    """

    def run(start: int) -> None:
        rows = slice(start, min(start + engine.chunk, len(pixels)))
        out[rows] = engine.run(np.ascontiguousarray(pixels[rows]))

    starts = range(0, len(pixels), engine.chunk)
    workers = min(engine.workers, len(starts))
    if workers <= 1:
        for start in starts:
            run(start)
        return
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(run, starts):
            pass  # raises what a thread has raised


def make_engine(task: Task, name: str | None = None) -> Engine:
    """Make an engine, by default the fastest whose rankings are those of torch.

    The default is torch on a GPU; on a CPU ONNX Runtime, then torch with folded batch
    normalisations, then torch as it is: the first that can run the network, with a warning for
    each that cannot.

    Args:
        task: The network and what belongs to it.
        name: A name of `ENGINES`; the default when None.

    Raises:
        EngineError: no engine has this name, or the one asked for cannot run the network here.
    """
    if name is not None:
        if name not in ENGINES:
            raise EngineError(f"unknown engine {name!r}; expected one of {', '.join(ENGINES)}")
        return ENGINES[name](task)
    for choice in () if task.device.type != "cpu" else ("onnx", "torch-folded"):
        try:
            return ENGINES[choice](task)
        except EngineError as error:
            log.warning("the engine %s is left out: %s", choice, error)
    return ENGINES["torch"](task)


def _eager(task: Task) -> Engine:
    return TorchEngine("torch", task.network, task.device)


def _folded(task: Task) -> Engine:
    return TorchEngine("torch-folded", _flat(task), task.device)


def _bfloat16(task: Task) -> Engine:
    if not _has_bfloat16(task.device):
        raise EngineError(f"this {task.device.type} does not compute with bfloat16: {_INSTEAD}")
    return TorchEngine("torch-bf16", _flat(task), task.device, bfloat16=True)


def _onnx(task: Task) -> Engine:
    return OnnxEngine("onnx", _graph(task, "onnx"))


def _int8(task: Task) -> Engine:
    if task.calibration is None or not len(task.calibration):
        raise EngineError("the engine onnx-int8 needs typical images: give `calibration`, a hundred or so")
    check_pixels(task.calibration, task.size)
    graph = _graph(task, "onnx-int8")
    from olrsearch.encoders.engines.quantise import quantised

    return OnnxEngine("onnx-int8", quantised(graph, task.calibration))


ENGINES: Final[dict[str, Callable[[Task], Engine]]] = {
    "torch": _eager,
    "torch-folded": _folded,
    "torch-bf16": _bfloat16,
    "onnx": _onnx,
    "onnx-int8": _int8,
}
"""How to make each engine, the reference first."""


def _flat(task: Task) -> nn.Module:
    """The network with its batch normalisations folded; its weights are copies."""
    return channels_last(copy.deepcopy(folded(task.network))).requires_grad_(requires_grad=False)


def _graph(task: Task, name: str) -> ModelProto:
    if task.device.type != "cpu":
        raise EngineError(f"the engine {name} computes on the CPU, not on {task.device}: {_INSTEAD}")
    try:
        import onnxruntime  # noqa: F401 - before the graph is written for nobody

        from olrsearch.encoders.engines.onnx_graph import to_onnx
    except ImportError as error:
        raise EngineError(
            f"the engine {name} cannot be loaded ({_line(error)}): pip install onnx onnxruntime"
        ) from None
    return to_onnx(folded(task.network), task.size)


def _has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes with bfloat16 rather than convert it to and fro."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # An older torch cannot say what the processor has.
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(feature) for feature in ("avx512_bf16", "amx_bf16", "bf16"))


def _line(error: Exception) -> str:
    """What an error says first, in one line."""
    return " ".join(str(error).partition("\n\n")[0].split())
