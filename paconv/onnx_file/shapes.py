"""Shapes of every tensor of a model, through paconv's ops, once its free dimensions are fixed.

onnx's own shape inference does the work, on a skeleton of the graph: weights are left out (their shapes
stay), and each op of domain paconv is replaced by a standard op of the same shape:

    PAWeight, PAActivation  ->  Identity            PAUnpackWeight  ->  an input of shape weight_shape
    PABitConv               ->  Conv with a weight input of shape weight_shape
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import onnx
from onnx import TensorProto, helper, shape_inference

from paconv.errors import ModelError, UsageError
from paconv.onnx_file.graph_view import attribute
from paconv.ops import DOMAIN

__all__ = ["fixed_input_shapes", "parse_input_shapes", "tensor_shapes"]

_CONV_ATTRIBUTES = ("strides", "pads", "dilations", "group")
"""What PABitConv's geometry has in common with Conv's, names included."""

_SMALL = 1024
"""Constants of at most this many elements stay in the skeleton: Reshape, Resize and Slice need their values.
"""


def parse_input_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read `--input-shape` values: "3,224,224" or "3x224x224", "image=3,224,224", "height=224,width=224".

    Returns name -> sizes.

    The key "" is the shape of a model's only input. Raises UsageError on anything else.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        key, fresh = "", True
        for part in text.split(","):
            name, equals, size = part.rpartition("=")
            if equals:
                key, fresh = name.strip(), True
            sizes = size.strip().lower().split("x")
            if not all(s.isdecimal() and int(s) > 0 for s in sizes) or (fresh and key in shapes):
                raise UsageError(
                    f"--input-shape: expected sizes like 3,224,224 or NAME=3,224,224 or DIMENSION=224, each name once; "
                    f"found {text!r}"
                )
            shapes[key] = (() if fresh else shapes[key]) + tuple(map(int, sizes))
            fresh = False
    return shapes


def fixed_input_shapes(
    model: onnx.ModelProto, given: Mapping[str, Sequence[int]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Shape of every input of the model; a free first dimension (the batch) is 1 unless given.

    given: as parse_input_shapes returns; a shape may leave out the batch. Raises UsageError naming the input
    and the dimension that stays free, that is given twice differently, or that the model doesn't have.
    """
    sizes = {key: tuple(shape) for key, shape in (given or {}).items()}
    unused = set(sizes)
    stored = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in stored]
    shapes = {}
    for value in inputs:
        key = "" if "" in sizes and len(inputs) == 1 else value.name
        unused.discard(key)
        dims = _declared(value)
        if dims is None:
            if key not in sizes:
                raise UsageError(f"input {value.name} has no shape in the file; give --input-shape {value.name}=C,H,W")
            dims = [None] * (len(sizes[key]) + 1)
        unused -= {d for d in dims if isinstance(d, str)}
        shapes[value.name] = _fix(value.name, dims, sizes, sizes.get(key))
    if unused:
        known = [i.name for i in inputs] + sorted({d for i in inputs for d in _declared(i) or () if isinstance(d, str)})
        found = ", ".join(name or "a shape without a name" for name in sorted(unused))
        raise UsageError(f"--input-shape: expected names among {', '.join(known)}; found {found}")
    return shapes


def _declared(value: onnx.ValueInfoProto) -> list[int | str | None] | None:
    """Dimensions as the file has them: a size, a name, or None; None altogether without a shape."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]


def _fix(name: str, dims: list, named: Mapping[str, tuple[int, ...]], shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """One input's dimensions, with `shape` (batch left out or not) and named dimensions put in."""
    full: list[int | None] = [None] * len(dims)
    if shape is not None:
        if len(shape) not in (len(dims), len(dims) - 1):
            raise UsageError(
                f"--input-shape: input {name} has {len(dims) - 1} dimensions beside the batch; found "
                f"{','.join(map(str, shape))}"
            )
        full[len(dims) - len(shape) :] = shape
    fixed = []
    for axis, (dim, size) in enumerate(zip(dims, full, strict=True)):
        if isinstance(dim, str) and dim in named:
            if len(named[dim]) != 1:
                raise UsageError(f"--input-shape: dimension {dim} takes one size; found {named[dim]}")
            size = named[dim][0]
        if isinstance(dim, int):
            if size not in (None, dim):
                raise UsageError(
                    f"input {name} has the fixed size {dim} in dimension {axis}; --input-shape says {size}"
                )
            size = dim
        if size is None and axis == 0:
            size = 1
        if size is None:
            label = f"{dim!r} (dimension {axis})" if dim else f"{axis}"
            raise UsageError(f"input {name}: the size of dimension {label} is free; give it with --input-shape")
        fixed.append(size)
    return tuple(fixed)


def tensor_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int | None, ...]]:
    """Tensor name -> shape of every tensor whose rank is known; None for a dimension that isn't.

    input_shapes: every input of the model. Raises ModelError if the shapes contradict each other.
    """
    try:
        inferred = shape_inference.infer_shapes(_skeleton(model, input_shapes), strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError) as error:
        raise ModelError(f"the model's shapes are inconsistent: {' '.join(str(error).split())}") from error
    graph = inferred.graph
    shapes: dict[str, tuple[int | None, ...]] = {i.name: tuple(i.dims) for i in model.graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = _declared(value)
        if dims is not None:
            shapes[value.name] = tuple(d if isinstance(d, int) else None for d in dims)
    return shapes


def _skeleton(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    types = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    inputs = [helper.make_tensor_value_info(n, types[n], list(s)) for n, s in input_shapes.items()]
    small = []
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SMALL:
            small.append(tensor)
        else:
            inputs.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    nodes = []
    for node in model.graph.node:
        if node.domain != DOMAIN:
            nodes.append(node)
            continue
        if node.op_type == "PAUnpackWeight":
            inputs.append(_weight_input(node, node.output[0]))
        elif node.op_type == "PABitConv":
            weight = f"{node.output[0]}//weight"
            inputs.append(_weight_input(node, weight))
            conv = helper.make_node("Conv", [node.input[0], weight], list(node.output), node.name)
            conv.attribute.extend(a for a in node.attribute if a.name in _CONV_ATTRIBUTES)
            nodes.append(conv)
        else:
            nodes.append(helper.make_node("Identity", [node.input[0]], list(node.output), node.name))
    outputs = [helper.make_tensor_value_info(o.name, o.type.tensor_type.elem_type, None) for o in model.graph.output]
    graph = helper.make_graph(nodes, model.graph.name, inputs, outputs, initializer=small)
    opsets = [o for o in model.opset_import if o.domain != DOMAIN]
    return helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)


def _weight_input(node: onnx.NodeProto, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, attribute(node, "weight_shape"))
