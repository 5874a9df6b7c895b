"""A network as one flat graph whose batch normalisations are part of the convolutions before them.

In evaluation a batch normalisation is a fixed scale and offset a channel, so the convolution
before it can do its work. Source: Jacob et al., "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", section 3.2.
"""

from __future__ import annotations

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from olrsearch.core.errors import EngineError


def folded(network: nn.Module) -> fx.GraphModule:
    """The graph of a network's forward pass with every batch normalisation folded that can be.

    Args:
        network: In evaluation mode; not changed. Layers without a batch normalisation behind
            them are shared with it.

    Raises:
        EngineError: its forward pass cannot be followed, since it depends on values.
    """
    try:
        graph = fx.symbolic_trace(network)
    except (RuntimeError, TypeError, ValueError) as error:  # TraceError is a ValueError
        reason = " ".join(str(error).split())
        raise EngineError(
            f"the forward pass of {type(network).__name__} cannot be followed ({reason}): "
            "choose the engine torch, which needs no graph"
        ) from None
    called = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    for node in graph.graph.nodes:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or {node.op, before.op} != {"call_module"}:
            continue
        convolution, norm = (graph.get_submodule(str(item.target)) for item in (before, node))
        if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        if len(before.users) > 1 or called.count(str(before.target)) > 1:
            continue  # somebody else needs what comes before the normalisation
        graph.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph
