"""A model without its weights, for everything that asks its graph alone: checks, shapes, conversions.

onnx hands models to its C++ as bytes and takes bytes back, so each such step costs by the size of the weights. Here
large initializers are set aside, and are inputs of the graph in the meantime.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import onnx
from onnx import helper

from paconv.onnx_file.copying import copy_field

__all__ = ["WeightsAside", "set_weights_aside"]

_LARGE = 1024
"""Elements above which an initializer is set aside. Those that shapes are computed from are smaller."""


@dataclass
class WeightsAside:
    """A model in two parts."""

    graph_model: onnx.ModelProto
    """The model with an input for each initializer that was set aside."""
    weights: dict[str, onnx.TensorProto]
    """These initializers by name."""

    @property
    def inputs(self) -> list[onnx.ValueInfoProto]:
        """The inputs proper."""
        return [value for value in self.graph_model.graph.input if value.name not in self.weights]

    def whole(self, graph_model: onnx.ModelProto | None = None) -> onnx.ModelProto:
        """A model of both parts; `graph_model` in the place of the first, if given."""
        model = _copy_without(graph_model or self.graph_model, {"input"})
        model.graph.input.extend(v for v in (graph_model or self.graph_model).graph.input if v.name not in self.weights)
        used = {name for node in model.graph.node for name in node.input}
        nested = any(a.HasField("g") or a.graphs for node in model.graph.node for a in node.attribute)
        model.graph.initializer.extend(t for name, t in self.weights.items() if nested or name in used)
        return model


def set_weights_aside(model: onnx.ModelProto) -> WeightsAside:
    """`model`, which is left as it is, in two parts. An initializer that is an input too is no longer one."""
    light = _copy_without(model, {"initializer", "input"})
    weights = {}
    for tensor in model.graph.initializer:
        if prod(tensor.dims) > _LARGE:
            weights[tensor.name] = tensor
        else:
            light.graph.initializer.append(tensor)
    stored = {tensor.name for tensor in model.graph.initializer}
    light.graph.input.extend(value for value in model.graph.input if value.name not in stored)
    light.graph.input.extend(
        helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)) for name, tensor in weights.items()
    )
    return WeightsAside(light, weights)


def _copy_without(model: onnx.ModelProto, fields: set[str]) -> onnx.ModelProto:
    """A copy without these fields of the graph."""
    copy = onnx.ModelProto()
    for source, target in ((model, copy), (model.graph, copy.graph)):
        for field, value in source.ListFields():
            if field.name in fields or field.name == "graph":
                continue
            copy_field(target, field, value)
    return copy
