"""What a graph computes from constants alone becomes initializers.

Weights come as Constant nodes, as ConstantOfShape, or through chains of Identity, Cast, Reshape, Transpose and whatever
else a producer leaves in a file. All of it runs once, in onnxruntime, as a graph of its own: the arithmetic that the
file would have gone through at each start of a session.

A result replaces its node only where something that isn't constant reads it. One that would make the file larger for
nothing (an Expand to a whole image) stays computed, unless it is a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from paconv.onnx_file.graph_view import GraphView, names_read, op_name
from paconv.onnx_file.trial import session

__all__ = ["WEIGHTED_OPS", "fold_constants", "keep_only"]

WEIGHTED_OPS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Ops whose second input is a weight where it is constant."""

_LARGE = 1 << 20
"""Bytes below which a result may be larger than what it is made of."""

_RANDOM_OPS = {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
               "RandomUniformLike"}  # fmt: skip


def fold_constants(model: onnx.ModelProto, where: str) -> None:
    """Give `model`, whose nodes are in topological order, its folded form: dead nodes and unused initializers go too.

    Raises ModelError where onnxruntime can't compute a constant.
    """
    graph = model.graph
    live = GraphView(graph).nodes
    known = {tensor.name for tensor in graph.initializer}
    computed = []
    for node in live:
        if _is_foldable(node) and all(name in known for name in node.input if name):
            computed.append(node)
            known.update(name for name in node.output if name)
    made = {name for node in computed for name in node.output if name}
    constant = {id(node) for node in computed}
    readers = [node for node in live if id(node) not in constant]
    weights = {n.input[1] for n in readers if op_name(n) in WEIGHTED_OPS and len(n.input) > 1}
    read = {name for node in readers for name in names_read(node)}
    wanted = sorted(made & (read | {output.name for output in graph.output}))
    if wanted:
        stored = {tensor.name: tensor for tensor in graph.initializer}
        sizes = _bytes_behind(computed, stored)
        values = _values(model, computed, stored, wanted, where)
        outputs = {output.name for output in graph.output}
        folded = [
            name for name in wanted
            if name not in outputs and (name in weights or values[name].nbytes <= max(_LARGE, sizes[name]))
        ]  # fmt: skip
        graph.initializer.extend(numpy_helper.from_array(values[name], name) for name in folded)
        _drop(graph, set(folded))
    _drop_dead(graph)


def _is_foldable(node: onnx.NodeProto) -> bool:
    nested = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
    tensors = not node.op_type.startswith(("Sequence", "Optional", "SplitToSequence"))
    return node.domain in ("", "ai.onnx") and node.op_type not in _RANDOM_OPS and tensors and not nested


def _bytes_behind(nodes: list[onnx.NodeProto], stored: dict[str, onnx.TensorProto]) -> dict[str, int]:
    """Result -> bytes of the initializers and Constants that it is computed from, the most along one way."""
    sizes = {name: _bytes(tensor) for name, tensor in stored.items()}
    for node in nodes:
        own = sum(_bytes(attribute.t) for attribute in node.attribute)
        size = own + sum(sizes[name] for name in node.input if name)
        sizes.update((name, size) for name in node.output if name)
    return sizes


def _bytes(tensor: onnx.TensorProto) -> int:
    return max(tensor.ByteSize(), 4 * prod(tensor.dims)) if tensor.dims else tensor.ByteSize()


def _values(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], stored: dict[str, onnx.TensorProto], wanted: list[str],
    where: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(nodes)
    needed = {name for node in nodes for name in node.input}
    part.graph.initializer.extend(tensor for name, tensor in stored.items() if name in needed)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)  # onnxruntime finds their types
    found = session(part, f"{where}: its constants", ort.GraphOptimizationLevel.ORT_DISABLE_ALL).run(None, {})
    return dict(zip(wanted, map(np.asarray, found), strict=True))


def _drop(graph: onnx.GraphProto, folded: set[str]) -> None:
    """Take the folded results away from their nodes, so that no name has two sources."""
    keep_only(graph.node, lambda node: not any(node.output) or not folded.issuperset(filter(None, node.output)))
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in folded:
                node.output[index] = ""


def _drop_dead(graph: onnx.GraphProto) -> None:
    live = GraphView(graph).nodes
    kept = {id(node) for node in live}
    used = {name for node in live for name in names_read(node)}
    used.update(output.name for output in graph.output)
    keep_only(graph.node, lambda node: id(node) in kept)
    keep_only(graph.initializer, lambda tensor: tensor.name in used)


def keep_only(field, wanted: Callable) -> None:
    """Delete what isn't wanted from a repeated field of a proto."""
    items = list(field)
    for index in reversed(range(len(items))):
        if not wanted(items[index]):
            del field[index]
