"""A folded network as an ONNX graph, made in memory: no second file of weights that could disagree.

torch's own exporters were not chosen: the new one needs onnxscript and seconds, the old one is
deprecated. They write any network; this one writes what trunks and heads are made of, and
refuses the rest.

Notation: B images in a batch, H × W pixels.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as nnf
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn

from olrsearch.core.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

INPUT, OUTPUT = "pixels", "embeddings"

_OPSET: Final = 18
"""The ONNX operators of 2022, which every ONNX Runtime since then knows."""

_ALL: Final = np.iinfo(np.int64).min
"""Where a slice that runs backwards ends."""


@dataclass(frozen=True, slots=True)
class _Value:
    """A tensor of the graph.

    Attributes:
        name: Its name.
        rank: How many dimensions it has.
    """

    name: str
    rank: int


def to_onnx(network: fx.GraphModule, size: tuple[int, int]) -> ModelProto:
    """Write a folded network as ONNX.

    Args:
        network: From pixels [B, 3, H, W] to embeddings float32 [B, …]; not changed.
        size: (H, W).

    Returns:
        A model from `pixels`, uint8 [B, H, W, 3], to `embeddings`, float32 [B, …].

    Raises:
        EngineError: a layer or an operation that has no counterpart here.
    """
    return _Writer(network).model(size)


class _Writer(fx.Interpreter):
    """Goes through a graph with names in place of tensors, and writes a node for each operation."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.extra_traceback = False  # an error is one line
        self._nodes: list[NodeProto] = []
        self._constants: list[NDArray[Any]] = []

    def model(self, size: tuple[int, int]) -> ModelProto:
        """The whole graph, from uint8 [B, H, W, 3]."""
        pixels = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["B", *size, 3])
        result: _Value = self.run(self.write("Transpose", _Value(INPUT, 4), perm=(0, 3, 1, 2)))
        self._nodes.append(helper.make_node("Identity", [result.name], [OUTPUT]))
        sides = ["B", *(f"side_{number}" for number in range(1, result.rank))]
        graph = helper.make_graph(
            self._nodes,
            "olrsearch",
            [pixels],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, sides)],
            [
                numpy_helper.from_array(array, f"constant_{number}")
                for number, array in enumerate(self._constants)
            ],
        )
        opset = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=helper.find_min_ir_version_for(opset))

    def write(self, operation: str, *inputs: _Value, rank: int | None = None, **attributes: Any) -> _Value:  # noqa: ANN401 - as ONNX has them
        """Add a node; its output has the rank of the first input unless told otherwise."""
        output = f"{operation.lower()}_{len(self._nodes)}"
        names = [item.name for item in inputs]
        self._nodes.append(helper.make_node(operation, names, [output], name=output, **attributes))
        return _Value(output, inputs[0].rank if rank is None else rank)

    def constant(self, value: object, kind: type[np.generic] = np.float32) -> _Value:
        """A number, a list of numbers or a tensor that does not depend on the pixels."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value, kind)
        self._constants.append(np.asarray(array, order="C"))  # a number stays one, not a list of one
        return _Value(f"constant_{len(self._constants) - 1}", array.ndim)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> _Value:  # noqa: ANN401 - as in torch.fx
        """A parameter or a buffer."""
        return self.constant(super().get_attr(target, args, kwargs))

    def call_module(self, target: Any, args: Any, kwargs: Any) -> _Value:  # noqa: ANN401 - as in torch.fx
        """A layer."""
        del kwargs  # layers of torch.nn that are written here have one argument
        return _layer(self.fetch_attr(target), self, *args)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> _Value:  # noqa: ANN401 - as in torch.fx
        """An operator or a function."""
        return self._call(_FUNCTIONS.get(target), getattr(target, "__name__", str(target)), args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> _Value:  # noqa: ANN401 - as in torch.fx
        """A method of a tensor."""
        return self._call(_METHODS.get(target), target, args, kwargs)

    def _call(self, found: Callable[..., _Value] | None, name: str, args: Any, kwargs: Any) -> _Value:  # noqa: ANN401 - as in torch.fx
        if found is None:
            raise _unknown(f"the operation {name}")
        try:
            return found(self, *args, **kwargs)
        except TypeError:
            raise _unknown(f"the operation {name} with other arguments than are known") from None


def _unknown(what: str) -> EngineError:
    return EngineError(
        f"{what} has no counterpart among the ONNX operations written here: add it to onnx_graph.py, "
        "or choose an engine of torch"
    )


# -- layers ------------------------------------------------------------------------------


@singledispatch
def _layer(layer: nn.Module, _writer: _Writer, _x: _Value) -> _Value:
    """What a layer does with its input."""
    raise _unknown(f"the layer {type(layer).__name__}")


@_layer.register
def _(layer: nn.Conv2d, writer: _Writer, x: _Value) -> _Value:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise _unknown(f"a convolution with padding {layer.padding!r} of {layer.padding_mode}")
    bias = [] if layer.bias is None else [writer.constant(layer.bias)]
    return writer.write(
        "Conv",
        x,
        writer.constant(layer.weight),
        *bias,
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=(*layer.padding, *layer.padding),
        dilations=layer.dilation,
        group=layer.groups,
    )


@_layer.register
def _(layer: nn.BatchNorm2d, writer: _Writer, x: _Value) -> _Value:
    parameters = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    if layer.training or any(item is None for item in parameters):
        raise _unknown("a batch normalisation that is not fixed")
    return writer.write("BatchNormalization", x, *map(writer.constant, parameters), epsilon=layer.eps)


@_layer.register
def _(layer: nn.Linear, writer: _Writer, x: _Value) -> _Value:
    product = writer.write("MatMul", x, writer.constant(layer.weight.T))
    return product if layer.bias is None else writer.write("Add", product, writer.constant(layer.bias))


@_layer.register
def _(layer: nn.AvgPool2d, writer: _Writer, x: _Value) -> _Value:
    if layer.padding not in {0, (0, 0)} or layer.divisor_override is not None:
        raise _unknown("average pooling with padding or a divisor of its own")
    kernel, stride = (
        (item, item) if isinstance(item, int) else tuple(item) for item in (layer.kernel_size, layer.stride)
    )
    # A window over the edge is divided by what lies within, there as here.
    return writer.write("AveragePool", x, kernel_shape=kernel, strides=stride, ceil_mode=int(layer.ceil_mode))


@_layer.register
def _(_layer: nn.ReLU, writer: _Writer, x: _Value) -> _Value:
    return writer.write("Relu", x)


@_layer.register
def _(_layer: nn.ReLU6, writer: _Writer, x: _Value) -> _Value:
    return writer.write("Clip", x, writer.constant(0), writer.constant(6))


@_layer.register(nn.Identity)
@_layer.register(nn.Dropout)
def _(layer: nn.Module, _writer: _Writer, x: _Value) -> _Value:
    if layer.training and not isinstance(layer, nn.Identity):
        raise _unknown("dropout while training")
    return x


# -- operators, functions, methods -----------------------------------------------------------


def _arithmetic(operation: str) -> Callable[[_Writer, object, object], _Value]:
    def write(writer: _Writer, left: object, right: object) -> _Value:
        first, second = (
            item if isinstance(item, _Value) else writer.constant(item) for item in (left, right)
        )
        return writer.write(operation, first, second, rank=max(first.rank, second.rank))

    return write


def _relu(writer: _Writer, x: _Value, *, inplace: bool = False) -> _Value:
    del inplace  # the graph has a new value for every result
    return writer.write("Relu", x)


def _softmax(writer: _Writer, x: _Value, dim: int) -> _Value:
    return writer.write("Softmax", x, axis=dim)


def _shape(writer: _Writer, x: _Value, name: str) -> _Value:
    if name != "shape":
        raise _unknown(f"the attribute {name}")
    return writer.write("Shape", x, rank=1)


def _item(writer: _Writer, shape: _Value, position: int) -> _Value:
    """One entry of a shape, as a list of one number."""
    if shape.rank != 1 or not isinstance(position, int):
        raise _unknown("an index into anything but a shape")
    return writer.write("Gather", shape, writer.constant([position], np.int64), rank=1)


def _reshape(writer: _Writer, x: _Value, *shape: Any) -> _Value:  # noqa: ANN401 - numbers, of the graph or not
    sides: Sequence[Any] = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if all(isinstance(side, int) for side in sides):
        target = writer.constant(sides, np.int64)
    else:
        parts = [side if isinstance(side, _Value) else writer.constant([side], np.int64) for side in sides]
        target = writer.write("Concat", *parts, axis=0)
    return writer.write("Reshape", x, target, rank=len(sides))


def _flatten(writer: _Writer, x: _Value, start_dim: int) -> _Value:
    # 0 leaves a side as it is.
    return writer.write("Reshape", x, writer.constant([0] * start_dim + [-1], np.int64), rank=start_dim + 1)


def _permute(writer: _Writer, x: _Value, *order: int) -> _Value:
    return writer.write("Transpose", x, perm=order)


def _transpose(writer: _Writer, x: _Value, first: int, second: int) -> _Value:
    order = list(range(x.rank))
    order[first], order[second] = order[second], order[first]
    return writer.write("Transpose", x, perm=order)


def _flip(writer: _Writer, x: _Value, dims: tuple[int, ...]) -> _Value:
    count = len(dims)
    bounds = ([-1] * count, [_ALL] * count, dims, [-1] * count)
    return writer.write("Slice", x, *(writer.constant(item, np.int64) for item in bounds))


def _mean(writer: _Writer, x: _Value, dim: tuple[int, ...]) -> _Value:
    axes = writer.constant(dim, np.int64)
    return writer.write("ReduceMean", x, axes, rank=x.rank - len(dim), keepdims=0)


def _cat(writer: _Writer, parts: Sequence[_Value], dim: int = 0) -> _Value:
    return writer.write("Concat", *parts, axis=dim)


def _to(writer: _Writer, x: _Value, dtype: torch.dtype = torch.float32) -> _Value:
    if dtype != torch.float32:
        raise _unknown(f"a conversion to {dtype}")
    return writer.write("Cast", x, to=TensorProto.FLOAT)


def _contiguous(writer: _Writer, x: _Value, *, memory_format: torch.memory_format) -> _Value:
    del writer, memory_format
    return x


_FUNCTIONS: dict[Any, Callable[..., _Value]] = {
    operator.add: _arithmetic("Add"),
    operator.sub: _arithmetic("Sub"),
    operator.mul: _arithmetic("Mul"),
    operator.truediv: _arithmetic("Div"),
    operator.matmul: _arithmetic("MatMul"),
    torch.bmm: _arithmetic("MatMul"),
    torch.relu: _relu,
    nnf.relu: _relu,
    torch.softmax: _softmax,
    torch.cat: _cat,
    getattr: _shape,
    operator.getitem: _item,
}

_METHODS: dict[str, Callable[..., _Value]] = {
    "to": _to,
    "float": _to,
    "contiguous": _contiguous,
    "mean": _mean,
    "reshape": _reshape,
    "flatten": _flatten,
    "permute": _permute,
    "transpose": _transpose,
    "flip": _flip,
}
