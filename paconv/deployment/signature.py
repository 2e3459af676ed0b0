"""What a server must know of a model: its inputs and outputs, whether it batches, and whether it needs our library.

Names, types and shapes are those that an onnxruntime session reports, not those in the file: onnxruntime narrows
shapes when it loads a model, and servers compare theirs with its.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import onnxruntime as ort

from paconv.errors import ModelError
from paconv.onnx_file.loading import load_model
from paconv.ops import DOMAIN, LIBRARY_OPS
from paconv.runtime.session import ORT_ERRORS, register

__all__ = ["Signature", "TensorSpec", "read_signature"]

_LIBRARY_OPS = {op.name for op in LIBRARY_OPS}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output."""

    name: str
    """Its name."""
    dtype: str
    """Its element type: "float", "int64", "string", ..."""
    shape: tuple[int | str | None, ...]
    """Of each dimension its size, or the name of a free one, or None for a free one without a name."""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a model."""

    inputs: tuple[TensorSpec, ...]
    """Those that have no initializer."""
    outputs: tuple[TensorSpec, ...]
    """All of them."""
    needs_library: bool
    """Whether it has an op of the custom-op library; without any, the library is of no use."""

    @property
    def batches(self) -> bool:
        """Whether a server can put samples of several requests together.

        That is where the first dimension of every tensor is free, and no two have different names for it.
        """
        first = [tensor.shape[0] if tensor.shape else 0 for tensor in (*self.inputs, *self.outputs)]
        return not any(isinstance(size, int) for size in first) and len({name for name in first if name}) <= 1


def read_signature(path: str | os.PathLike) -> Signature:
    """Signature of the ONNX file at `path`.

    Raises ModelError if it is no usable model, onnxruntime refuses it, or an input or output is no tensor;
    PaconvError if it needs the custom-op library and that can't be had.
    """
    model = load_model(path)
    needs_library = any(n.domain == DOMAIN and n.op_type in _LIBRARY_OPS for n in _nodes(model.graph.node))
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is in the exception
    if needs_library:
        register(options)
    try:
        session = ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        raise ModelError(f"{path}: onnxruntime refuses it: {error}") from error
    _check_ranks(model, session, str(path))
    return Signature(
        tuple(_spec(arg, f"{path}: input") for arg in session.get_inputs()),
        tuple(_spec(arg, f"{path}: output") for arg in session.get_outputs()),
        needs_library,
    )


def _check_ranks(model: onnx.ModelProto, session: ort.InferenceSession, where: str) -> None:
    """Raise ModelError for an output of unknown rank, which onnxruntime reports as it does a scalar."""
    scalars = {arg.name for arg in session.get_outputs() if not arg.shape and arg.type.startswith("tensor(")}
    if not scalars:
        return
    for output in onnx.shape_inference.infer_shapes(model).graph.output:
        if output.name in scalars and not output.type.tensor_type.HasField("shape"):
            raise ModelError(
                f"{where}: output {output.name}: expected a known shape, which servers ask for; found none"
            )


def _spec(arg: ort.NodeArg, what: str) -> TensorSpec:
    if not arg.type.startswith("tensor("):
        raise ModelError(f"{what} {arg.name}: expected a tensor, found {arg.type}")
    return TensorSpec(arg.name, arg.type.removeprefix("tensor(").removesuffix(")"), tuple(arg.shape))


def _nodes(nodes) -> Iterator[onnx.NodeProto]:
    """The nodes and those of their subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)
