"""A model in half precision made one in float32: every number that it stores is kept exactly, sums are finer.

    float16, bfloat16   ->   float32   of inputs, outputs, initializers, constants, and what casts and fills make

Casts between them then change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from paconv.onnx_file.graph_view import all_nodes, sorted_nodes, subgraphs

__all__ = ["half_types", "has_half_edges", "in_single_precision"]

_HALF_TYPES = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}

_TYPE_ATTRIBUTES = ("to", "dtype")
"""Of Cast, EyeLike and the random ops: the element type of what they make."""


def half_types(model: onnx.ModelProto) -> list[str]:
    """Names of the half precision types in a model, "float16" before "bfloat16"; [] where all is float32."""
    found = {t.data_type for t in _tensors(model)} | _edge_types(model)
    return [name for kind, name in _HALF_TYPES.items() if kind in found]


def has_half_edges(model: onnx.ModelProto) -> bool:
    """Whether an input or output is in half precision."""
    return not _edge_types(model).isdisjoint(_HALF_TYPES)


def _edge_types(model: onnx.ModelProto) -> set[int]:
    return {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}


def in_single_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model`, in topological order, with float32 in the place of float16 and bfloat16."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = sorted_nodes(copy.graph)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    for tensor in _tensors(copy):
        if tensor.data_type in _HALF_TYPES:
            tensor.CopyFrom(numpy_helper.from_array(_widened(tensor), tensor.name))
    for graph in _graphs(copy):
        for value in (*graph.input, *graph.output, *graph.value_info):
            _widen(value.type)
    for function in copy.functions:
        for value in function.value_info:
            _widen(value.type)
    for attribute in (attribute for node in all_nodes(copy) for attribute in node.attribute):
        if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALF_TYPES:
            attribute.i = TensorProto.FLOAT
    return copy


def _widened(tensor: onnx.TensorProto) -> np.ndarray:
    """A bfloat16 is the upper half of a float32; releases of onnx differ in what they make of one."""
    if tensor.data_type == TensorProto.FLOAT16:
        return numpy_helper.to_array(tensor).astype(np.float32)
    stored = (
        np.frombuffer(tensor.raw_data, "<u2") if tensor.HasField("raw_data") else np.array(tensor.int32_data, "<u2")
    )
    return (stored.astype(np.uint32) << 16).view(np.float32).reshape(tuple(tensor.dims))


def _widen(kind: onnx.TypeProto) -> None:
    tensor = kind.tensor_type
    if kind.HasField("tensor_type") and tensor.elem_type in _HALF_TYPES:
        tensor.elem_type = TensorProto.FLOAT


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield model.graph
    for node in all_nodes(model):
        yield from subgraphs(node)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Initializers and the values of attributes, of Constant and ConstantOfShape above all."""
    for graph in _graphs(model):
        yield from graph.initializer
    for node in all_nodes(model):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
