"""The quantized network as a model.onnx: each convolution reads a PAActivation and a PAWeight, as exported ones do.

PAWeight's input W holds the levels themselves, its endpoints lie in the middle between them: so its codes are those
that were chosen, and stay so whatever rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from paconv._version import __version__
from paconv.bits import binary_masks, code_bits, one_hot_masks
from paconv.lloyd_max import midpoints
from paconv.onnx_file.constant_folding import keep_only
from paconv.onnx_file.graph_view import names_read
from paconv.onnx_file.names import name_nodes, unique
from paconv.onnx_file.scheme_note import write_scheme
from paconv.ops import DOMAIN, add_functions
from paconv.quantization.activation_levels import ActivationLevels
from paconv.quantization.march import Layer

__all__ = ["written"]


def written(model: onnx.ModelProto, layers: Sequence[Layer]) -> onnx.ModelProto:
    """A copy of the float `model` with `layers` quantized; their names are those of its Conv nodes."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    taken = {name for node in graph.node for name in (node.name, *node.input, *node.output)}
    taken |= {tensor.name for tensor in graph.initializer}
    by_output = {layer.target.node.output[0]: layer for layer in layers if not layer.real}
    activations: dict[tuple[str, int], str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        layer = by_output.get(node.output[0])
        if layer is not None:
            name = layer.target.name
            if layer.activation is not None:
                key = (node.input[0], id(layer.activation))
                if key not in activations:
                    read = node.input[0]
                    for op, what, constant in _by_channel(layer.activation):
                        changed = onnx.helper.make_node(op, [read], [], unique(f"{name}.{what}", taken))
                        changed.output.append(unique(f"{changed.name}:0", taken))
                        _constants(graph, changed, {"by": constant}, taken)
                        nodes.append(changed)
                        read = changed.output[0]
                    call = _call("PAActivation", unique(f"{name}.activation", taken), read, taken)
                    _constants(graph, call, _activation(layer.activation), taken)
                    nodes.append(call)
                    activations[key] = call.output[0]
                node.input[0] = activations[key]
            call = _call("PAWeight", unique(f"{name}.weight_quantizer", taken), "", taken)
            del call.input[:]
            _constants(graph, call, _weight(layer), taken)
            nodes.append(call)
            bias = unique(f"{name}.bias", taken)
            graph.initializer.append(numpy_helper.from_array(layer.weights.bias, bias))
            del node.input[1:]
            node.input.extend([call.output[0], bias])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in graph.node for name in names_read(node)} | {value.name for value in graph.output}
    keep_only(graph.initializer, lambda tensor: tensor.name in read)
    write_scheme(made, "pa")
    made.producer_name, made.producer_version = "paconv", __version__
    add_functions(made)
    name_nodes(made)
    return made


def _by_channel(levels: ActivationLevels) -> Iterator[tuple[str, str, np.ndarray]]:
    """Operator, name and constant of what is done to each channel before."""
    if levels.channels.shift is not None:
        yield "Sub", "shift", levels.channels.shift
    if levels.channels.stretch is not None:
        yield "Mul", "stretch", levels.channels.stretch


def _activation(levels: ActivationLevels) -> dict[str, np.ndarray]:
    """v, levels, beta, level_masks of PAActivation: one plane for each level but 0, or digits of its index."""
    table = levels.table
    if levels.digits:
        planes = code_bits(len(table))
        beta = levels.unit * np.array([-levels.zero, *(1 << j for j in range(planes))])
        masks = binary_masks(planes)[: len(table)]
    else:
        beta = np.concatenate([np.zeros(1), np.delete(table, levels.zero)])
        masks = one_hot_masks(len(levels.v), levels.zero)
    return {
        "v": levels.v,
        "levels": table,
        "beta": beta.astype(np.float32),
        "level_masks": np.array(masks, np.uint8),
    }


def _weight(layer: Layer) -> dict[str, np.ndarray]:
    """W, u, levels, alpha, weight_masks of PAWeight, a row per output channel: one plane for each level but 0, or the
    digits of their integers in two's complement.
    """
    weights, table = layer.weights, layer.weights.table
    O, L = table.shape
    if layer.target.settings.digits:
        M = code_bits(L)
        planes = weights.units[:, None] * np.array([*(1 << i for i in range(M - 1)), -(1 << M - 1)])
        masks = np.roll(binary_masks(M), L // 2)
    else:
        planes, masks = np.delete(table, weights.zero, 1), np.array(one_hot_masks(L - 1, weights.zero))
    alpha = np.concatenate([np.zeros((O, 1)), planes], 1).astype(np.float32)
    u = midpoints(table.astype(np.float64)).astype(np.float32)
    return {
        "W": weights.values,
        "u": u.reshape(O, 1, 1, 1, L - 1),
        "levels": table.reshape(O, 1, 1, 1, L),
        "alpha": alpha,
        "weight_masks": masks[None].astype(np.uint8),
    }


def _call(op: str, name: str, read: str, taken: set[str]) -> onnx.NodeProto:
    return onnx.helper.make_node(op, [read], [unique(f"{name}:0", taken)], name, domain=DOMAIN)


def _constants(graph: onnx.GraphProto, node: onnx.NodeProto, values: dict[str, np.ndarray], taken: set[str]) -> None:
    for suffix, value in values.items():
        name = unique(f"{node.name}.{suffix}", taken)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        node.input.append(name)
