"""A model run beside the file it was made from, with as free a number of samples as its graph allows.

    free     two samples at once give what each gives alone: any number goes
    freed    as above, after Reshapes to the fixed number have been rewritten
    fixed    neither: the file's own number, 1 where it is free

What was run has to say what the file says (paconv.onnx_file.trial).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, shape_inference

from paconv.errors import ModelError
from paconv.onnx_file.constant_folding import WEIGHTED_OPS, keep_only
from paconv.onnx_file.graph_view import attribute, op_name
from paconv.onnx_file.loading import check_model
from paconv.onnx_file.shapes import fixed_input_shapes
from paconv.onnx_file.trial import RunError, agree, random_inputs, run, session
from paconv.onnx_file.weights_aside import WeightsAside
from paconv.ops import standard_opset
from paconv.ops.schema import MIN_STANDARD_OPSET

__all__ = ["BATCH", "Tried", "with_free_batch"]

BATCH = "batch"
"""Name of the free first dimension."""

_SIZES = (64, 224, 48, 32, 96, 128, 256, 320, 299, 512, 640)
"""What free dimensions are tried with, until onnxruntime runs the model."""

Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Tried:
    """A model that was run, and says what its file says."""

    model: onnx.ModelProto
    """Whole, with the shapes of its tensors."""
    batch: int | None
    """The only number of samples it takes, None for any."""
    shapes: Shapes
    """Of inputs, outputs, and what layers read and make."""


def with_free_batch(
    source: str | os.PathLike | onnx.ModelProto,
    aside: WeightsAside,
    where: str,
    given: Mapping[str, Sequence[int]] | None,
) -> Tried:
    """The model `aside`, made from `source`, after a trial.

    given: shapes of the inputs, or sizes of free dimensions (paconv.onnx_file.shapes.parse_input_shapes); without them,
    usual sizes are tried. Raises ModelError: it is inconsistent, doesn't run, or says something else than `source`.
    """
    start = aside.graph_model
    _sized(start, [], None, [max(1, _rank(value)) for value in start.graph.output], where)
    opened = session(source, where)
    draw = np.random.default_rng(0)
    shapes, first, wanted = _first_run(opened, aside.inputs, where, given, draw)
    ranks = [value.ndim for value in wanted]
    batched = _batched(aside.inputs)
    if batched:
        size = shapes[batched[0]][0]
        second = {**first, **{n: v for n, v in random_inputs(aside.inputs, shapes, draw).items() if n in batched}}
        both = {n: np.concatenate([first[n], second[n]]) if n in batched else first[n] for n in first}
        apart = run(opened, second, where)
        for each in _free_forms(start, size):
            try:
                model = aside.whole(_sized(each, batched, None, ranks, where))
                candidate, seen = _observed(model, where)
                alone, together = run(candidate, first, where), run(candidate, both, where)
            except ModelError:  # what the file computes holds for its own number of samples alone
                continue
            pairs = zip(together, wanted, apart, strict=False)
            if all(map(agree, alone, wanted)) and all(_side_by_side(found, a, b, size) for found, a, b in pairs):
                return _tried(model, None, shapes, seen, alone)
    fixed = shapes[batched[0]][0] if batched else None
    model = aside.whole(_sized(start, batched, fixed, ranks, where))
    candidate, seen = _observed(model, where)
    found = run(candidate, first, where)
    if not all(map(agree, found, wanted)):
        raise ModelError(
            f"{where}: its plain form (opset {standard_opset(model)}, constants folded) gives other outputs than the "
            f"file itself; export the model again with opset {MIN_STANDARD_OPSET} or later"
        )
    return _tried(model, fixed, shapes, seen, found)


def _first_run(
    opened: ort.InferenceSession,
    inputs: list[onnx.ValueInfoProto],
    where: str,
    given: Mapping[str, Sequence[int]] | None,
    draw: np.random.Generator,
) -> tuple[Shapes, Arrays, list[np.ndarray]]:
    """Shapes, inputs and outputs of the first run that goes well."""
    if given:
        face = onnx.ModelProto()
        face.graph.input.extend(inputs)
        tries = [fixed_input_shapes(face, given)]
    else:
        tries = list({str(s): s for s in (_shapes_at(inputs, size, where) for size in _SIZES)}.values())
    failure: RunError | None = None
    for shapes in tries:
        values = random_inputs(inputs, shapes, draw)
        try:
            return shapes, values, run(opened, values, where)
        except RunError as error:
            failure = failure or error
    tried = "; ".join(",".join(map(str, shape)) for shape in tries[0].values())
    more = f" and {len(tries) - 1} more" if len(tries) > 1 else ""
    raise ModelError(f"{failure} (inputs of {tried}{more}); give --input-shape") from failure


def _shapes_at(inputs: list[onnx.ValueInfoProto], size: int, where: str) -> Shapes:
    shapes = {}
    for value in inputs:
        if not value.type.tensor_type.HasField("shape"):
            raise ModelError(
                f"{where}: input {value.name} has no shape in the file; give --input-shape {value.name}=CxHxW"
            )
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(d.dim_value or (1 if axis == 0 else size) for axis, d in enumerate(dims))
    return shapes


def _batched(inputs: list[onnx.ValueInfoProto]) -> list[str]:
    """Inputs whose first dimension is the batch: it is free, or has the size that the first input's has."""
    firsts = {value.name: value.type.tensor_type.shape.dim[0].dim_value for value in inputs if _rank(value)}
    size = next(iter(firsts.values()), 0)
    return [name for name, found in firsts.items() if found in (0, size)]


def _rank(value: onnx.ValueInfoProto) -> int:
    return len(value.type.tensor_type.shape.dim)


def _free_forms(model: onnx.ModelProto, batch: int) -> Iterator[onnx.ModelProto]:
    """The model, and if it has any, one whose Reshapes to `batch` samples keep the number that they read.

    As a size, -1 is what is left of the elements, and 0 the size of what is read. Whether that is the number of samples
    depends on what the sizes mean; a trial shows it.
    """
    yield model
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    changed = False
    for node in freed.graph.node:
        sizes = stored.get(node.input[1]) if op_name(node) == "Reshape" else None
        if sizes is None or attribute(node, "allowzero", 0):
            continue
        values = numpy_helper.to_array(sizes).copy()
        if values.ndim == 1 and len(values) and values[0] == batch:
            values[0] = 0 if -1 in values else -1
            node.input[1] = f"{node.output[0]}//sizes"
            freed.graph.initializer.append(numpy_helper.from_array(values, node.input[1]))
            changed = True
    if changed:
        used = {name for node in freed.graph.node for name in node.input}
        keep_only(freed.graph.initializer, lambda tensor: tensor.name in used or tensor.name not in _reshaped(model))
        yield freed


def _reshaped(model: onnx.ModelProto) -> set[str]:
    """Names of the sizes that Reshapes read."""
    return {node.input[1] for node in model.graph.node if op_name(node) == "Reshape"}


def _sized(
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
        shape = value.type.tensor_type.shape
        if not value.type.tensor_type.HasField("shape"):
            shape.SetInParent()
            for axis in range(rank):
                shape.dim.add(dim_param=f"{value.name}_{axis}")
    stored = {tensor.name for tensor in sized.graph.initializer}
    keep_only(sized.graph.value_info, lambda value: value.name not in stored)
    check_model(sized, where)
    return sized


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


def _side_by_side(found: np.ndarray, a: np.ndarray, b: np.ndarray, size: int) -> bool:
    """Whether `found` is a and b, of `size` samples each, one after the other along some axis."""
    if found.ndim != a.ndim or a.shape != b.shape:
        return False
    axis = next((k for k, (n, m) in enumerate(zip(found.shape, a.shape, strict=True)) if n != m), None)
    return axis is not None and a.shape[axis] == size and agree(found, np.concatenate([a, b], axis))


def _tried(
    model: onnx.ModelProto, batch: int | None, inputs: Shapes, seen: list[str], outputs: list[np.ndarray]
) -> Tried:
    names = [*(output.name for output in model.graph.output), *seen]
    return Tried(model, batch, inputs | {name: value.shape for name, value in zip(names, outputs, strict=True)})
