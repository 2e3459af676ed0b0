"""Reading ONNX files, and telling a reader what is wrong with one that can't be used.

Two measures: what passes rewrite has to be consistent by onnx's own checker (`check_model`); what is only read has to
be that, or a model that onnxruntime opens, which forgives more (`load_model`): outputs without a type, nodes in any
order, shapes of intermediate tensors that are no longer right.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from paconv.errors import ModelError
from paconv.onnx_file.function_meaning import same_meaning
from paconv.onnx_file.graph_view import all_nodes, inner_nodes, sorted_nodes
from paconv.onnx_file.other_kind import folder_content, kind_of
from paconv.onnx_file.trial import session
from paconv.ops import DOMAIN, OPSET_VERSION, SCHEMAS, standard_opset
from paconv.ops.schema import MIN_STANDARD_OPSET

__all__ = ["check_initializer_sizes", "check_model", "load_model", "read_model"]


def load_model(path: str | os.PathLike) -> onnx.ModelProto:
    """Read an ONNX file with its external data, any that onnxruntime opens; nodes come in topological order.

    Raises ModelError if it is no usable model.
    """
    model, where = read_model(path), str(path)
    _check_paconv(model, where)
    check_initializer_sizes(model, where)
    try:
        _check_consistent(model, where)
    except ModelError as refusal:
        return _forgiven(model, where, refusal)
    return model


def read_model(path: str | os.PathLike) -> onnx.ModelProto:
    """Read an ONNX file with its external data, unchecked but for its names' encoding.

    Raises ModelError if it can't be read or is no ONNX file.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelError(f"{path}: expected an ONNX file, found a directory{folder_content(path)}")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        if kind := kind_of(data):
            raise ModelError(f"{path}: expected an ONNX model, found {kind}") from error
        raise ModelError(
            f"{path}: expected an ONNX model, found {len(data)} bytes that don't decode as one; "
            "the file is cut short or of another kind"
        ) from error
    if not model.ir_version or not model.HasField("graph"):
        if kind := kind_of(data):
            raise ModelError(f"{path}: expected an ONNX model, found {kind}")
        raise ModelError(f"{path}: expected an ONNX model, found no graph; the file is empty or of another kind")
    _check_names(model, str(path))
    try:
        load_external_data_for_model(model, str(path.parent))
    except (OSError, RuntimeError, ValueError, onnx.checker.ValidationError) as error:  # RuntimeError: no possible name
        raise ModelError(f"{path}: cannot read its external data: {error}; keep the data beside the model") from error
    return model


def _forgiven(model: onnx.ModelProto, where: str, refusal: ModelError) -> onnx.ModelProto:
    """`model` as onnxruntime takes it, in topological order. Raises `refusal` if onnxruntime refuses it too."""
    try:
        session(model, where)
    except ModelError:
        raise refusal from None
    nodes = sorted_nodes(model.graph)
    forgiven = onnx.ModelProto()
    forgiven.CopyFrom(model)
    del forgiven.graph.node[:], forgiven.graph.value_info[:]
    forgiven.graph.node.extend(nodes)
    return forgiven


def check_model(model: onnx.ModelProto, where: str = "model") -> onnx.ModelProto:
    """Check that `model` is consistent; return a copy with inferred shapes (value_info).

    where: what messages call the model. Raises ModelError on a malformed or inconsistent graph, a standard opset
    that the bodies of its paconv ops don't cover, and model-local functions that change the meaning of ops paconv
    reads.
    """
    _check_names(model, where)
    _check_paconv(model, where)
    check_initializer_sizes(model, where)
    return _check_consistent(model, where)


def _check_consistent(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """What onnx's checker and shape inference say, and counts of channels; a copy with inferred shapes."""
    try:
        onnx.checker.check_model(_with_output_shapes(model))
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{where}: inconsistent model: {' '.join(str(error).split())}") from error
    except ValueError as error:  # protobuf's limit
        raise ModelError(f"{where}: expected a model below 2 GiB: {error}") from error
    _check_channels(inferred, where)
    return inferred


def _check_names(model: onnx.ModelProto, where: str) -> None:
    """Refuse names that aren't UTF-8, which protobuf gives as bytes."""
    graph = model.graph
    names: list[str | bytes] = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    for node in all_nodes(model):
        names += [node.op_type, node.domain, node.name, *node.input, *node.output]
    damaged = next((name for name in names if isinstance(name, bytes)), None)
    if damaged is not None:
        raise ModelError(f"{where}: expected names in UTF-8, found {damaged!r}; the file is damaged")


def check_initializer_sizes(model: onnx.ModelProto, where: str) -> None:
    """Raise ModelError if an initializer has another number of bytes than its shape asks for."""
    for tensor in model.graph.initializer:
        if not tensor.HasField("raw_data") or tensor.data_type in _PACKED_TYPES:
            continue
        try:
            want = prod(tensor.dims) * _itemsize(tensor.data_type)
        except KeyError as error:
            raise ModelError(f"{where}: initializer {tensor.name}: unknown element type {tensor.data_type}") from error
        if len(tensor.raw_data) != want:
            raise ModelError(
                f"{where}: initializer {tensor.name}: expected {want} bytes for shape {tuple(tensor.dims)}, "
                f"found {len(tensor.raw_data)}; the file or its external data is cut short"
            )


_ITEMSIZES = {onnx.TensorProto.BFLOAT16: 2} | {
    value: 1 for name, value in onnx.TensorProto.DataType.items() if name.startswith("FLOAT8")
}
"""Bytes of types that NumPy lacks, for which older releases of onnx give another one's."""


def _itemsize(element_type: int) -> int:
    return _ITEMSIZES.get(element_type) or onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize


_PACKED_TYPES = {
    getattr(onnx.TensorProto, name)
    for name in ("UINT4", "INT4", "FLOAT4E2M1", "UINT2", "INT2")
    if hasattr(onnx.TensorProto, name)
}
"""Element types with several values per byte; onnxruntime checks those."""


def _with_output_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, its outputs with inferred types and shapes where some have none, which the checker asks for."""
    complete = all(output.type.tensor_type.HasField("shape") for output in model.graph.output)
    return model if complete else onnx.shape_inference.infer_shapes(model)


_REGISTERED = 1000
"""What onnxruntime writes as the version of a registered library's domain when it saves a model that it optimized."""


def _check_channels(inferred: onnx.ModelProto, where: str) -> None:
    """Check the channels of convolutions, which onnx's shape inference leaves unchecked."""
    graph = inferred.graph
    shapes = {i.name: list(i.dims) for i in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes[value.name] = [d.dim_value if d.HasField("dim_value") else None for d in dims]

    def check(node: onnx.NodeProto, what: str, want: int, found: int | None) -> None:
        if found is not None and found != want:
            name = node.name or node.output[0]
            raise ModelError(f"{where}: inconsistent model: Conv {name}: expected {what} of {want}, found {found}")

    for node in graph.node:
        if node.op_type != "Conv" or node.domain not in ("", "ai.onnx"):
            continue
        x, weight = (shapes.get(name) for name in node.input[:2])
        if weight is not None and len(weight) > 1 and None not in weight[:2]:
            out, per_group = weight[:2]
            group = next((a.i for a in node.attribute if a.name == "group"), 1)
            check(node, "input channels", per_group * group, x[1] if x is not None and len(x) > 1 else None)
            check(node, f"output channels divisible by {group} groups: a remainder", 0, out % max(group, 1))


def _check_paconv(model: onnx.ModelProto, where: str) -> None:
    """Refuse paconv's ops where they mean something else than in this version, and functions that shadow others."""
    opset, version = (
        standard_opset(model),
        max((o.version for o in model.opset_import if o.domain == DOMAIN), default=0),
    )
    has_ops = any(node.domain == DOMAIN for node in (*model.graph.node, *inner_nodes(model.graph.node)))
    if opset < MIN_STANDARD_OPSET and (has_ops or any(f.domain == DOMAIN for f in model.functions)):
        raise ModelError(
            f"{where}: expected opset {MIN_STANDARD_OPSET} or later beside paconv's ops, found {opset}; export the "
            "model again, or convert it with onnx.version_converter.convert_version(model, 18)"
        )
    if version > OPSET_VERSION and version != _REGISTERED:
        raise ModelError(
            f"{where}: made for version {version} of domain {DOMAIN}; this paconv knows {OPSET_VERSION}: update it"
        )
    for function in model.functions:
        if function.domain in ("", "ai.onnx"):
            raise ModelError(
                f"{where}: a model-local function shadows the standard op {function.name}; inline it first "
                "(onnx.inliner.inline_local_functions)"
            )
        if function.domain != DOMAIN:
            continue
        if function.name not in SCHEMAS:
            raise ModelError(f"{where}: unknown function {DOMAIN}.{function.name}; known are {', '.join(SCHEMAS)}")
        if not same_meaning(function, SCHEMAS[function.name].function(opset)):
            raise ModelError(
                f"{where}: function {DOMAIN}.{function.name} differs from the one this version of paconv defines; "
                "export the model again"
            )
