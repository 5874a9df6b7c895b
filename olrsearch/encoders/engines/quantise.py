"""A network's ONNX graph with 8-bit weights and activations.

Weights are scaled a channel each, activations a tensor each, by what typical images show (static
quantisation). Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018, without the training.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from olrsearch.encoders.engines.onnx_graph import INPUT

if TYPE_CHECKING:
    from onnx import ModelProto

    from olrsearch.core.arrays import U8

_BATCH = 8

_FLOAT = 5
"""Convolutions at the beginning that stay as they are: few channels of many pixels each, whose
ranges differ so much that one scale for all of them costs more than all later layers together."""


def quantised(model: ModelProto, pixels: U8) -> ModelProto:
    """Quantise a model from `onnx_graph`; takes seconds.

    Args:
        model: In float32; not changed.
        pixels: uint8 [n, H, W, 3], typical images.

    Returns:
        The model with 8-bit convolutions, but for the first five and the last, which makes the
        label embeddings or what their queries look at.
    """
    model = copy.deepcopy(model)  # it is emptied
    add_pre_process_metadata(model)  # nothing is left to fold; it would be asked for in the log
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory(prefix="olrsearch-") as scratch:
        path = Path(scratch) / "model.onnx"
        quantize_static(
            model,
            path,
            _Pixels(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[*convolutions[:_FLOAT], convolutions[-1]],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(path)


class _Pixels(CalibrationDataReader):  # type: ignore[misc]  # its package has no types
    """Images in batches, as the quantiser asks for them."""

    def __init__(self, pixels: U8) -> None:
        self._batches = iter([pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)])

    def get_next(self) -> dict[str, U8] | None:
        """The next batch by the name of the input; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
