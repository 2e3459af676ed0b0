"""A float ONNX file of any producer made plain: what comes in many forms has one.

    standard opset   13 or later; what is older is raised by onnx's version converter
    IR version       8 or later; initializers are no inputs
    functions        model-local ones are inlined
    constants        initializers, weights among them (paconv.onnx_file.constant_folding)
    nodes            live, each with a name of its own; names that were given stay
    shapes           inferred, as far as they can be; what no size is known of has a name
    batch            the first dimension of inputs is free, where two samples at once give what each gives alone

Batch norms stay. The result is run beside the original, and says the same (paconv.onnx_file.trial).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference, version_converter

from paconv.errors import ModelError
from paconv.onnx_file.constant_folding import WEIGHTED_OPS, fold_constants, keep_only
from paconv.onnx_file.graph_view import GraphView, attribute, op_name
from paconv.onnx_file.loading import check_model, read_model
from paconv.onnx_file.shapes import fixed_input_shapes
from paconv.onnx_file.trial import RunError, agree, random_inputs, run, session
from paconv.ops import DOMAIN, standard_opset
from paconv.ops.schema import MIN_STANDARD_OPSET

__all__ = ["ModelInput", "PlainModel", "plain_model"]

BATCH = "batch"
"""Name of the free first dimension."""

_MIN_IR = 8

_TRIAL_SIZES = (64, 224, 48, 32, 96, 128, 256, 320, 299, 512, 640)
"""What free dimensions are tried with, until onnxruntime runs the model."""

_QUANTIZED_OPS = {
    "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "MatMulNBits", "QLinearConv",
    "QLinearMatMul", "QuantizeLinear",
}  # fmt: skip
"""And every op whose name begins with QLinear."""

_HALF_TYPES = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}


class ModelInput(NamedTuple):
    """An input of a model. shape: sizes, and names of free dimensions, the batch first."""

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class PlainModel:
    """A model in its plain form."""

    model: onnx.ModelProto
    """With the shapes of its tensors as value infos."""
    inputs: tuple[ModelInput, ...]
    """What it reads."""
    batch: int | None
    """None where any number of samples goes at once; otherwise the only number that does."""
    shapes: dict[str, tuple[int, ...]]
    """Shapes of the inputs, and of what layers read and make, as seen when it ran on one batch."""


def plain_model(
    source: str | os.PathLike | onnx.ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> PlainModel:
    """The plain form of a float ONNX file or ModelProto, which is left as it is.

    input_shapes: sizes of free dimensions to run it with, as paconv.onnx_file.shapes.parse_input_shapes returns them;
    without them, usual sizes are tried.

    Raises ModelError: it can't be read or is inconsistent; it is quantized already, or in half precision; it has no
    convolution; its opset can't be raised; onnxruntime doesn't run it; or its plain form says something else.
    """
    if isinstance(source, onnx.ModelProto):
        original, where = source, "model"
    else:
        original, where = read_model(source), str(source)
    model = onnx.ModelProto()
    model.CopyFrom(original)
    _check_no_paconv(model, where)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _check_float(model, where)
    _tidy_inputs(model)
    model = _raised(model, where)
    fold_constants(model, where)
    _name_nodes(model.graph)
    return _with_batch(original, model, where, input_shapes)


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _check_no_paconv(model: onnx.ModelProto, where: str) -> None:
    found = sorted({node.op_type for node in _all_nodes(model.graph) if node.domain == DOMAIN})
    if found:
        raise ModelError(
            f"{where}: expected a float network, found one that paconv has approximated already ({', '.join(found)}); "
            "give the float network it was made from"
        )


def _check_float(model: onnx.ModelProto, where: str) -> None:
    nodes = list(_all_nodes(model.graph))
    quantized = Counter(n.op_type for n in nodes if n.op_type in _QUANTIZED_OPS or n.op_type.startswith("QLinear"))
    if quantized:
        found = ", ".join(f"{count} {op}" for op, count in quantized.most_common(4))
        raise ModelError(
            f"{where}: expected a float network, found a quantized one ({found}); give the float file it was made from"
        )
    types = [t.data_type for t in model.graph.initializer] + [i.type.tensor_type.elem_type for i in model.graph.input]
    types += [a.t.data_type for n in nodes if n.op_type == "Constant" for a in n.attribute if a.name == "value"]
    if half := next((_HALF_TYPES[t] for t in types if t in _HALF_TYPES), None):
        raise ModelError(f"{where}: expected a network in float32, found {half} in it; export it again in float32")
    if not any(node.op_type in ("Conv", "ConvTranspose") and node.domain in ("", "ai.onnx") for node in nodes):
        ops = ", ".join(op for op, _ in Counter(n.op_type for n in nodes).most_common(4)) or "no node at all"
        raise ModelError(
            f"{where}: expected a network with convolutions, found none; it has {ops}. Piecewise approximation is for "
            "2-D convolutions"
        )


def _tidy_inputs(model: onnx.ModelProto) -> None:
    """Initializers out of the inputs, an IR version that allows it, inputs with names for each free dimension."""
    graph = model.graph
    model.ir_version = max(model.ir_version, _MIN_IR)
    stored = {tensor.name for tensor in graph.initializer}
    keep_only(graph.input, lambda value: value.name not in stored)
    for value in graph.input:
        if value.type.tensor_type.HasField("shape"):
            seen: set[str] = set()
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                unknown = dim.dim_value <= 0 if dim.HasField("dim_value") else dim.dim_param in ("", "?", *seen)
                if unknown:
                    dim.dim_param = f"{value.name}_{axis}"
                seen.add(dim.dim_param)
    del graph.value_info[:]


def _raised(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`model` at the least opset that paconv's ops have bodies for, or as it is where it has a later one."""
    opset = standard_opset(model)
    if opset >= MIN_STANDARD_OPSET:
        return model
    try:
        return version_converter.convert_version(model, MIN_STANDARD_OPSET)
    except (RuntimeError, ValueError, shape_inference.InferenceError) as error:
        text = " ".join(str(error).split())
        ops = sorted({node.op_type for node in _all_nodes(model.graph)}, key=len, reverse=True)
        refused = next((op for op in ops if op.lower() in text.lower()), "it")
        raise ModelError(
            f"{where}: opset {opset} can't be raised to {MIN_STANDARD_OPSET}: onnx's version converter refuses "
            f"{refused} ({text[:200]}); export the model again with opset {MIN_STANDARD_OPSET} or later"
        ) from error


def _name_nodes(graph: onnx.GraphProto) -> None:
    view = GraphView(graph)
    for node in graph.node:
        node.name = view.label(node)


def _with_batch(
    original: onnx.ModelProto, model: onnx.ModelProto, where: str, given: Mapping[str, Sequence[int]] | None
) -> PlainModel:
    """The model with as free a batch as it allows, after a trial."""
    _with_first_size(model, [], None, [max(1, _rank(value)) for value in model.graph.output], where)
    opened = session(original, where)
    draw = np.random.default_rng(0)
    shapes, first, wanted = _first_run(opened, model, where, given, draw)
    ranks = [value.ndim for value in wanted]
    batched = _batched(model)
    if batched:
        second = random_inputs(list(model.graph.input), shapes, draw)
        second = {name: second[name] if name in batched else first[name] for name in first}
        both = {n: np.concatenate([first[n], second[n]]) if n in batched else first[n] for n in first}
        apart = run(opened, second, where)
        for each in (model, _with_free_reshapes(model, shapes[batched[0]][0])):
            try:
                free = _with_first_size(each, batched, None, ranks, where)
                candidate, seen = _observed(free, where)
                alone = run(candidate, first, where)
                together = run(candidate, both, where)[: len(wanted)]
            except ModelError:  # what the file computes holds for its own number of samples alone
                continue
            if _all_agree(alone, wanted) and all(map(_side_by_side, together, wanted, apart)):
                return _plain(free, None, shapes, seen, alone)
    size = next((shapes[name][0] for name in batched), None)
    fixed = _with_first_size(model, batched, size, ranks, where)
    opened, seen = _observed(fixed, where)
    found = run(opened, first, where)
    if not _all_agree(found, wanted):
        raise ModelError(
            f"{where}: its plain form (opset {standard_opset(model)}, constants folded) gives other outputs than the "
            f"file itself; export the model again with opset {MIN_STANDARD_OPSET} or later"
        )
    return _plain(fixed, size, shapes, seen, found)


def _with_free_reshapes(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy whose Reshapes to `batch` samples keep the number that they read, as far as that can be said.

    As a size, -1 is what is left of the elements, and 0 the size of what is read. Which of both is right, if any, depends
    on what the sizes mean; a trial shows it.
    """
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in freed.graph.node:
        sizes = stored.get(node.input[1]) if op_name(node) == "Reshape" else None
        if sizes is None or attribute(node, "allowzero", 0):
            continue
        values = numpy_helper.to_array(sizes).copy()
        if values.ndim == 1 and len(values) and values[0] == batch:
            values[0] = 0 if -1 in values else -1
            node.input[1] = f"{node.output[0]}//sizes"
            freed.graph.initializer.append(numpy_helper.from_array(values, node.input[1]))
    used = {name for node in freed.graph.node for name in node.input}
    keep_only(freed.graph.initializer, lambda tensor: tensor.name in used)
    return freed


def _all_agree(found: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    """Whether the first of what was found is what was wanted."""
    return all(map(agree, found, wanted))


def _observed(model: onnx.ModelProto, where: str) -> tuple[ort.InferenceSession, list[str]]:
    """A session that gives, behind the model's outputs, what its layers read and make, and the names of these."""
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.output)} | {tensor.name for tensor in graph.initializer}
    layers = [node for node in graph.node if op_name(node) in WEIGHTED_OPS]
    tensors = dict.fromkeys(name for each in layers for name in (each.input[0], each.output[0]))
    names = [name for name in tensors if name not in known]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        return session(model, where), names
    finally:
        del graph.output[len(graph.output) - len(names) :]


def _first_run(
    opened: ort.InferenceSession, model: onnx.ModelProto, where: str, given, draw: np.random.Generator
) -> tuple[dict[str, tuple[int, ...]], dict[str, np.ndarray], list[np.ndarray]]:
    """Shapes, inputs and outputs of the first run that goes well."""
    inputs = list(model.graph.input)
    if given:
        tries = [fixed_input_shapes(model, given)]
    else:
        tries = list({str(s): s for s in (_shapes_at(inputs, size, where) for size in _TRIAL_SIZES)}.values())
    failure: RunError | None = None
    for shapes in tries:
        values = random_inputs(inputs, shapes, draw)
        try:
            return shapes, values, run(opened, values, where)
        except RunError as error:
            failure = failure or error
    tried = "; ".join(",".join(map(str, shape)) for shape in tries[0].values())
    raise ModelError(f"{failure} (inputs of {tried} and {len(tries) - 1} more); give --input-shape") from failure


def _shapes_at(inputs: list[onnx.ValueInfoProto], size: int, where: str) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for value in inputs:
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(
                f"{where}: input {value.name} has no shape in the file; give --input-shape {value.name}=C,H,W"
            )
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(d.dim_value or (1 if axis == 0 else size) for axis, d in enumerate(dims))
    return shapes


def _batched(model: onnx.ModelProto) -> list[str]:
    """Inputs whose first dimension is the batch: it is free, or has the size that the first input's has."""
    firsts = {v.name: v.type.tensor_type.shape.dim[0].dim_value for v in model.graph.input if _rank(v)}
    size = next(iter(firsts.values()), 0)
    return [name for name, found in firsts.items() if found in (0, size)]


def _rank(value: onnx.ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)


def _with_first_size(
    model: onnx.ModelProto, batched: list[str], size: int | None, ranks: list[int], where: str
) -> onnx.ModelProto:
    """A copy with this number of samples, None for any, and with the shapes of all tensors, as far as they can be told.

    ranks: of the outputs. Raises ModelError if the shapes don't allow it.
    """
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    for value in sized.graph.input:
        if value.name in batched:
            dim = value.type.tensor_type.shape.dim[0]
            if size is None:
                dim.dim_param = BATCH
            else:
                dim.dim_value = size
    for value in sized.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        sized = shape_inference.infer_shapes(sized, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError) as error:
        raise ModelError(f"{where}: its shapes are inconsistent: {' '.join(str(error).split())}") from error
    for value, rank in zip(sized.graph.output, ranks, strict=True):
        if not value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim  # an empty shape from here on
            value.type.tensor_type.shape.SetInParent()
            for axis in range(rank):
                dims.add(dim_param=f"{value.name}_{axis}")
    stored = {tensor.name for tensor in sized.graph.initializer}
    keep_only(sized.graph.value_info, lambda value: value.name not in stored)
    check_model(sized, where)
    return sized


def _side_by_side(found: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether `found` is a and b one after the other along some axis."""
    if found.ndim != a.ndim or a.ndim != b.ndim:
        return False
    axis = next((k for k, (n, m) in enumerate(zip(found.shape, a.shape, strict=True)) if n != m), None)
    if axis is None or any(n != m for k, (n, m) in enumerate(zip(a.shape, b.shape, strict=True)) if k != axis):
        return False
    return agree(found, np.concatenate([a, b], axis))


def _plain(
    model: onnx.ModelProto,
    batch: int | None,
    inputs: dict[str, tuple[int, ...]],
    seen: list[str],
    run: list[np.ndarray],
) -> PlainModel:
    names = [*(output.name for output in model.graph.output), *seen]
    shapes = inputs | {name: value.shape for name, value in zip(names, run, strict=True)}
    return PlainModel(model, tuple(map(_model_input, model.graph.input)), batch, shapes)


def _model_input(value: onnx.ValueInfoProto) -> ModelInput:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in tensor.shape.dim)
    return ModelInput(value.name, shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
