"""A float ONNX file of any producer made plain: what comes in many forms has one.

    standard opset   13 or later; what is older is raised by onnx's version converter
    IR version       8 or later; initializers are no inputs
    precision        float32 (paconv.onnx_file.single_precision)
    functions        model-local ones are inlined
    constants        initializers, weights among them (paconv.onnx_file.constant_folding)
    nodes            live, each with a name of its own; names that were given stay
    shapes           inferred, as far as they can be; what no size is known of has a name
    batch            the first dimension of inputs is free, where two samples at once give what each gives alone

Batch norms stay. The result is run beside the original, and says the same (paconv.onnx_file.free_batch).
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, inliner, shape_inference, version_converter

from paconv.errors import ModelError
from paconv.onnx_file.constant_folding import fold_constants
from paconv.onnx_file.free_batch import with_free_batch
from paconv.onnx_file.graph_view import GraphView, inner_nodes
from paconv.onnx_file.loading import check_initializer_sizes, read_model
from paconv.onnx_file.single_precision import half_types, has_half_edges, in_single_precision
from paconv.onnx_file.weights_aside import WeightsAside, set_weights_aside
from paconv.ops import DOMAIN, standard_opset
from paconv.ops.schema import MIN_STANDARD_OPSET

__all__ = ["ModelInput", "PlainModel", "plain_model", "with_least_opset"]

_MIN_IR = 8

_QUANTIZED_OPS = {
    "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "MatMulNBits", "QLinearConv",
    "QLinearMatMul", "QuantizeLinear",
}  # fmt: skip
"""And every op whose name begins with QLinear."""


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

    Raises ModelError: it can't be read or is inconsistent; it is quantized already; it has no convolution; its opset
    can't be raised; onnxruntime doesn't run it; or its plain form says something else.
    """
    if isinstance(source, onnx.ModelProto):
        original, where = source, "model"
    else:
        original, where = read_model(source), str(source)
    check_initializer_sizes(original, where)
    if halves := half_types(original):
        edges = "; inputs and outputs too" if has_half_edges(original) else ""
        original = source = in_single_precision(original)
        message = f"{where}: its {' and '.join(halves)} become float32, exactly{edges}"
        warnings.warn_explicit(message, UserWarning, "paconv", 0)
    aside = set_weights_aside(original)
    _check_no_paconv(aside.graph_model, where)
    if aside.graph_model.functions:
        aside.graph_model = inliner.inline_local_functions(aside.graph_model)
    _check_float(aside.graph_model, where)
    _tidy(aside)
    aside.graph_model = with_least_opset(aside.graph_model, where)
    model = aside.whole()
    fold_constants(model, where)
    _name_nodes(model.graph)
    tried = with_free_batch(source, set_weights_aside(model), where, input_shapes)
    return PlainModel(tried.model, tuple(map(_model_input, tried.model.graph.input)), tried.batch, tried.shapes)


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return chain(model.graph.node, inner_nodes(model.graph.node))


def _check_no_paconv(model: onnx.ModelProto, where: str) -> None:
    found = sorted({node.op_type for node in _all_nodes(model) if node.domain == DOMAIN})
    if found:
        raise ModelError(
            f"{where}: expected a float network, found one that paconv has approximated already ({', '.join(found)}); "
            "give the float network it was made from"
        )


def _check_float(model: onnx.ModelProto, where: str) -> None:
    nodes = list(_all_nodes(model))
    quantized = Counter(n.op_type for n in nodes if n.op_type in _QUANTIZED_OPS or n.op_type.startswith("QLinear"))
    if quantized:
        found = ", ".join(f"{count} {op}" for op, count in quantized.most_common(4))
        raise ModelError(
            f"{where}: expected a float network, found a quantized one ({found}); give the float file it was made from"
        )
    if not any(node.op_type in ("Conv", "ConvTranspose") and node.domain in ("", "ai.onnx") for node in nodes):
        ops = ", ".join(op for op, _ in Counter(n.op_type for n in nodes).most_common(4)) or "no node at all"
        raise ModelError(
            f"{where}: expected a network with convolutions, found none; it has {ops}. Piecewise approximation is for "
            "2-D convolutions"
        )


def _tidy(aside: WeightsAside) -> None:
    """A recent IR version, a name for each free dimension of an input, no shapes but those of inputs and outputs."""
    model = aside.graph_model
    model.ir_version = max(model.ir_version, _MIN_IR)
    del model.graph.value_info[:]
    for value in aside.inputs:
        seen: set[str] = set()
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            unknown = dim.dim_value <= 0 if dim.HasField("dim_value") else dim.dim_param in ("", "?", *seen)
            if unknown:
                dim.dim_param = f"{value.name}_{axis}"
            seen.add(dim.dim_param)


def with_least_opset(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """`model` at the least opset that paconv's ops have bodies for, or as it is where it has a later one.

    Raises ModelError, naming the op, where onnx's version converter refuses it.
    """
    opset = standard_opset(model)
    if opset >= MIN_STANDARD_OPSET:
        return model
    try:
        return version_converter.convert_version(model, MIN_STANDARD_OPSET)
    except (RuntimeError, ValueError, IndexError, shape_inference.InferenceError) as error:
        text = " ".join(str(error).split())
        ops = sorted({node.op_type for node in _all_nodes(model) if not node.domain}, key=len, reverse=True)
        named = [op for op in ops if re.search(rf"(?<![A-Za-z]){op}(?![A-Za-z])", text, re.IGNORECASE)]
        unknown = [op for op in ops if not onnx.defs.has(op)]  # older converters don't name it
        refused = next(iter((*named, *unknown)), "it")
        raise ModelError(
            f"{where}: opset {opset} can't be raised to {MIN_STANDARD_OPSET}: onnx's version converter refuses "
            f"{refused} ({text[:200]}); export the model again with opset {MIN_STANDARD_OPSET} or later"
        ) from error


def _name_nodes(graph: onnx.GraphProto) -> None:
    view = GraphView(graph)
    for node in graph.node:
        node.name = view.label(node)


def _model_input(value: onnx.ValueInfoProto) -> ModelInput:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in tensor.shape.dim)
    return ModelInput(value.name, shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
