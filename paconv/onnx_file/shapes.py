"""Shapes of every tensor of a model, through paconv's ops, once its free dimensions are fixed.

onnx's own shape inference does the work, on a skeleton of the graph: weights are left out (their shapes
stay), and each op of domain paconv is replaced by a standard op of the same shape:

    PAWeight, PAActivation  ->  Identity            PAUnpackWeight  ->  an input of shape weight_shape
    PABitConv               ->  Conv with a weight input of shape weight_shape
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

from paconv.errors import ModelError, UsageError
from paconv.onnx_file.graph_view import GraphView, attribute
from paconv.onnx_file.trial import random_inputs, run, session
from paconv.ops import DOMAIN

__all__ = ["constant_shapes", "fixed_input_shapes", "parse_input_shapes", "tensor_shapes"]

_CONV_ATTRIBUTES = ("strides", "pads", "dilations", "group")
"""What PABitConv's geometry has in common with Conv's, names included."""

_SMALL = 1024
"""Constants of at most this many elements stay in the skeleton: Reshape, Resize and Slice need their values.
"""

_MIN_IR = 4
"""Initializers need not be inputs from then on."""


def parse_input_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read `--input-shape` values: "3x224x224" or "3,224,224", "image=3x224x224", "height=224,width=224".

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
                    f"--input-shape: expected sizes like 3x224x224 or NAME=3x224x224 or DIMENSION=224, each name once; "
                    f"found {text!r}"
                )
            shapes[key] = (() if fresh else shapes[key]) + tuple(map(int, sizes))
            fresh = False
    return shapes


def fixed_input_shapes(
    model: onnx.ModelProto, given: Mapping[str, Sequence[int]] | None = None, batch: int = 1
) -> dict[str, tuple[int, ...]]:
    """Shape of every input of the model; a free first dimension is `batch` unless given.

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
                raise UsageError(f"input {value.name} has no shape in the file; give --input-shape {value.name}=CxHxW")
            dims = [None] * (len(sizes[key]) + 1)
        unused -= {d for d in dims if isinstance(d, str)}
        shapes[value.name] = _fix(value.name, dims, sizes, sizes.get(key), batch)
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


def _fix(
    name: str, dims: list, named: Mapping[str, tuple[int, ...]], shape: tuple[int, ...] | None, batch: int
) -> tuple[int, ...]:
    """One input's dimensions, with `shape` (batch left out or not) and named dimensions put in."""
    full: list[int | None] = [None] * len(dims)
    if shape is not None:
        if len(shape) not in (len(dims), len(dims) - 1):
            raise UsageError(
                f"--input-shape: input {name} has {len(dims) - 1} dimensions beside the batch; found "
                f"{'x'.join(map(str, shape))}"
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
            size = batch
        if size is None:
            label = f"{dim!r} (dimension {axis})" if dim else f"{axis}"
            raise UsageError(f"input {name}: the size of dimension {label} is free; give it with --input-shape")
        fixed.append(size)
    return tuple(fixed)


def tensor_shapes(
    model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]], wanted: Collection[str] = ()
) -> dict[str, tuple[int | None, ...]]:
    """Tensor name -> shape of every tensor whose rank is known; None for a dimension that isn't.

    input_shapes: every input of the model. wanted: tensors whose shapes are observed in a run, where shape inference
    can't tell them (a Reshape to a size that is computed, say). Raises ModelError if the shapes contradict each other.
    """
    skeleton = _skeleton(model, input_shapes)
    shapes: dict[str, tuple[int | None, ...]] = {
        name: tuple(t.dims) for name, t in GraphView(model.graph).stored.items()
    }
    refusal = None
    try:
        shapes |= _inferred(skeleton, strict=True)
    except (shape_inference.InferenceError, RuntimeError) as error:
        refusal = ModelError(f"the model's shapes are inconsistent: {' '.join(str(error).split())}")
        with suppress(shape_inference.InferenceError, RuntimeError):
            shapes |= _inferred(skeleton, strict=False)
    unknown = [name for name in wanted if None in shapes.get(name, (None,))]
    if unknown or refusal:
        try:
            shapes |= _observed(skeleton, input_shapes, unknown)
        except ModelError:
            if refusal:
                raise refusal from None
    return shapes


def constant_shapes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Shapes of the tensors that a model computes from constants alone, as far as they can be told."""
    with suppress(shape_inference.InferenceError, RuntimeError):
        return _inferred(_skeleton(model, {}), strict=False)
    return {}


def _inferred(skeleton: onnx.ModelProto, strict: bool) -> dict[str, tuple[int | None, ...]]:
    graph = shape_inference.infer_shapes(skeleton, strict_mode=strict, data_prop=True).graph
    found = {value.name: _declared(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    return {
        name: tuple(d if isinstance(d, int) else None for d in dims) for name, dims in found.items() if dims is not None
    }


def _observed(
    skeleton: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]], wanted: Sequence[str]
) -> dict[str, tuple[int | None, ...]]:
    """Shapes of tensors as a run of the skeleton has them, on random inputs and weights of 0."""
    computed = {name for node in skeleton.graph.node for name in node.output}
    names = [name for name in wanted if name in computed]
    probe = onnx.ModelProto()
    probe.CopyFrom(skeleton)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    probe.graph.output.extend(output for output in skeleton.graph.output if output.name not in names)
    draw = np.random.default_rng(0)
    given = [value for value in probe.graph.input if value.name in input_shapes]
    feeds = random_inputs(given, input_shapes, draw)
    for value in probe.graph.input:
        if value.name not in feeds:
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[value.name] = np.zeros([d.dim_value for d in value.type.tensor_type.shape.dim], dtype)
    values = run(session(probe, "the model's shapes"), feeds, "the model's shapes")
    return {name: value.shape for name, value in zip(names, values, strict=False)}


def _skeleton(model: onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """The graph in standard ops, its large constants as inputs; an input that isn't in `input_shapes` has no shape."""
    stored = {i.name for i in model.graph.initializer}
    inputs = [
        helper.make_tensor_value_info(i.name, i.type.tensor_type.elem_type, input_shapes.get(i.name))
        for i in model.graph.input
        if i.name not in stored
    ]
    small = []
    for sparse in model.graph.sparse_initializer:
        inputs.append(helper.make_tensor_value_info(sparse.values.name, sparse.values.data_type, list(sparse.dims)))
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
    outputs = []
    for output in model.graph.output:  # a type or none, as the file has it, without the shape
        value = onnx.ValueInfoProto(name=output.name)
        value.type.CopyFrom(output.type)
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
        outputs.append(value)
    graph = helper.make_graph(nodes, model.graph.name, inputs, outputs, initializer=small)
    opsets = [o for o in model.opset_import if o.domain != DOMAIN]
    return helper.make_model(graph, opset_imports=opsets, ir_version=max(model.ir_version, _MIN_IR))


def _weight_input(node: onnx.NodeProto, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, attribute(node, "weight_shape"))
