"""The reference of a report: the float network that a packed one was made from, or the exported one.

    float       its weights are the real ones; the result of each convolution is there to compare
    exported    PAWeight and PAActivation calls hold real weights (of a trained network), endpoints and levels in real
                units; a file of `paconv quantize` holds the levels themselves in their place

Layers are the same where their nodes have the same name and their weights the same shape.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.errors import UsageError
from paconv.model_report.packed import PackedConv
from paconv.onnx_file.graph_view import GraphView, op_name
from paconv.onnx_file.loading import load_model, read_model
from paconv.onnx_file.plain import plain_model
from paconv.ops import DOMAIN

__all__ = ["EXPORTED", "FLOAT", "ActivationStep", "Parent", "RealWeights", "parent_of"]

FLOAT, EXPORTED = "float", "exported"


@dataclass(frozen=True)
class RealWeights:
    """What stands behind a layer's level codes."""

    W: np.ndarray
    """(O, C/g, KH, KW) float32."""
    u: np.ndarray | None = None
    """(1 or O, E) float32 endpoints; None of a float network, which has none."""
    levels: np.ndarray | None = None
    """(1 or O, E+1) float32, in the units of W."""


@dataclass(frozen=True)
class ActivationStep:
    """What a layer reads in an exported network, before it is quantized."""

    x: str
    """The tensor."""
    v: np.ndarray
    """(E,) float32."""
    levels: np.ndarray
    """(E+1,) float32."""


@dataclass(frozen=True)
class Parent:
    """A reference, by layers of the packed network."""

    kind: str
    """FLOAT or EXPORTED."""
    model: onnx.ModelProto
    batch: int | None
    """Samples that it takes at once; None for any number."""
    weights: Mapping[str, RealWeights]
    activations: Mapping[str, ActivationStep] = field(default_factory=dict)
    """Of an exported network."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Tensor that the convolution makes, of a float network."""


def parent_of(path: str | os.PathLike, packed: Mapping[str, PackedConv]) -> Parent:
    """Read the reference in `path`.

    Raises ModelError as load_model and plain_model do, UsageError where it is a packed network itself or has none of
    the layers.
    """
    kinds = {node.op_type for node in read_model(path).graph.node if node.domain == DOMAIN}
    if kinds - {"PAWeight", "PAActivation"}:
        raise UsageError(f"{path}: expected a float network or an exported model.onnx as reference; found a packed one")
    found = _exported(path, packed) if kinds else _float(path, packed)
    if packed and not found.weights:
        raise UsageError(
            f"{path}: none of the {len(packed)} quantized layers has a convolution of its name and shape there, as "
            f"'{next(iter(packed))}'; is it the right reference?"
        )
    return found


def _float(path: str | os.PathLike, packed: Mapping[str, PackedConv]) -> Parent:
    plain = plain_model(path)
    view = GraphView(plain.model.graph)
    weights, results = {}, {}
    for label, node in _convs(view).items():
        conv, stored = packed.get(label), view.stored.get(node.input[1])
        if conv is None or stored is None or tuple(stored.dims) != conv.codes.shape:
            continue
        weights[label] = RealWeights(numpy_helper.to_array(stored))
        results[label] = node.output[0]
    return Parent(FLOAT, plain.model, plain.batch, weights, results=results)


def _exported(path: str | os.PathLike, packed: Mapping[str, PackedConv]) -> Parent:
    model = load_model(path)
    view = GraphView(model.graph)
    weights, activations = {}, {}
    for label, node in _convs(view).items():
        conv, coder = packed.get(label), view.producer.get(node.input[1])
        if conv is None or coder is None or coder.op_type != "PAWeight":
            continue
        if any(name not in view.stored for name in coder.input[:3]):
            continue
        W, u, levels = (numpy_helper.to_array(view.stored[name]) for name in coder.input[:3])
        if W.shape != conv.codes.shape:
            continue
        weights[label] = RealWeights(W, _rows(u), _rows(levels))
        step = _activation(view, node.input[0])
        if step is not None and all(name in view.stored for name in step.input[1:3]):
            v, table = (numpy_helper.to_array(view.stored[name]).ravel() for name in step.input[1:3])
            activations[label] = ActivationStep(step.input[0], v, table)
    return Parent(EXPORTED, model, _fixed_batch(model), weights, activations)


def _convs(view: GraphView) -> dict[str, onnx.NodeProto]:
    return {view.label(node): node for node in view.nodes if op_name(node) == "Conv"}


def _activation(view: GraphView, tensor: str) -> onnx.NodeProto | None:
    """The PAActivation that `tensor` comes from, over padding."""
    while (node := view.producer.get(tensor)) is not None:
        if (node.domain, node.op_type) == (DOMAIN, "PAActivation"):
            return node
        if op_name(node) not in ("Identity", "Pad", "MaxPool"):
            return None
        tensor = node.input[0]
    return None


def _fixed_batch(model: onnx.ModelProto) -> int | None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return dims[0].dim_value or None if dims else None


def _rows(values: np.ndarray) -> np.ndarray:
    """(n,) or (1 or O, 1, 1, 1, n) as (1 or O, n)."""
    return values[None] if values.ndim == 1 else values.reshape(values.shape[0], values.shape[-1])
