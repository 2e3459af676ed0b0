"""An ONNX graph as counting sees it: what is constant, what produces what, what is live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.ops import DOMAIN

__all__ = ["GraphView", "Parameter", "all_nodes", "attribute", "constant_array", "inner_nodes", "names_read", "op_name",
           "sorted_nodes", "subgraphs"]  # fmt: skip


_CONSTANT_TYPES = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def attribute(node: onnx.NodeProto, name: str, default=None):
    """Value of a node's attribute, `default` without one."""
    for found in node.attribute:
        if found.name == name:
            return onnx.helper.get_attribute_value(found)
    return default


def op_name(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


@dataclass(frozen=True)
class Parameter:
    """A constant tensor used as a weight."""

    shape: tuple[int, ...]
    """As the layer sees it."""
    leaf: str
    """The stored tensor that it comes from."""
    coder: onnx.NodeProto | None = None
    """The PAWeight or PAUnpackWeight node between the two."""


class GraphView:
    """The live nodes of a graph, in order, with producers, consumers and constants.

    A constant is an initializer, the output of a Constant node, or of a node that reads only constants.
    """

    def __init__(self, graph: onnx.GraphProto):
        self.stored: dict[str, onnx.TensorProto] = {i.name: i for i in graph.initializer}
        self.stored.update((sparse.values.name, _dense_face(sparse)) for sparse in graph.sparse_initializer)
        self.producer: dict[str, onnx.NodeProto] = {o: n for n in graph.node for o in n.output if o}
        self._labels = _unique_labels(graph)
        self.nodes = self._live(graph)
        self.constants = set(self.stored)
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            inputs = [i for i in node.input if i]
            for name in inputs:
                self.consumers[name].append(node)
            if node.op_type == "Constant":
                self._store(node)
            nested = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
            if not nested and all(name in self.constants for name in inputs):
                self.constants.update(o for o in node.output if o)

    def _live(self, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
        """Nodes that an output of the graph depends on."""
        wanted, seen = [o.name for o in graph.output], set()
        while wanted:
            name = wanted.pop()
            if name not in seen:
                seen.add(name)
                node = self.producer.get(name)
                if node is not None:
                    wanted.extend(names_read(node))
        return [n for n in graph.node if any(o in seen for o in n.output)]

    def _store(self, node: onnx.NodeProto) -> None:
        """Keep the value of a Constant node."""
        for found in node.attribute:
            if found.name == "value":
                self.stored[node.output[0]] = found.t
            elif found.name == "sparse_value":
                self.stored[node.output[0]] = _dense_face(found.sparse_tensor)
            elif (array := constant_array(node)) is not None:
                self.stored[node.output[0]] = numpy_helper.from_array(array, node.output[0])

    def label(self, node: onnx.NodeProto) -> str:
        """The node's name, or that of an output where it has none of its own. Unique in the graph."""
        return self._labels[_first_output(node)]

    def is_constant(self, node: onnx.NodeProto) -> bool:
        """Whether the node's result doesn't depend on the model's inputs."""
        return _first_output(node) in self.constants

    def dynamic_inputs(self, node: onnx.NodeProto) -> list[str]:
        """The node's inputs that aren't constants."""
        return [name for name in node.input if name and name not in self.constants]

    def parameter(self, name: str) -> Parameter | None:
        """The constant behind `name`, seen through Identity, Cast, Transpose and paconv's weight ops; else None."""
        if name in self.stored:
            return Parameter(tuple(self.stored[name].dims), name)
        node = self.producer.get(name)
        if node is None:
            return None
        if node.domain == DOMAIN and node.op_type == "PAUnpackWeight":
            return Parameter(tuple(attribute(node, "weight_shape")), node.input[0], node)
        inner = self.parameter(node.input[0]) if node.input else None
        if inner is None:
            return None
        if node.domain == DOMAIN and node.op_type == "PAWeight":
            return Parameter(inner.shape, inner.leaf, node)
        if op_name(node) in ("Identity", "Cast"):
            return inner
        if op_name(node) == "Transpose":
            perm = attribute(node, "perm", list(reversed(range(len(inner.shape)))))
            return Parameter(tuple(inner.shape[p] for p in perm), inner.leaf, inner.coder)
        return None

    def leaves(self, name: str) -> list[str]:
        """Stored tensors that the constant `name` is computed from."""
        if name in self.stored:
            return [name]
        node = self.producer.get(name)
        return [leaf for source in node.input if source for leaf in self.leaves(source)] if node is not None else []


def constant_array(node: onnx.NodeProto) -> np.ndarray | None:
    """The value of a Constant node in any form but a sparse or a string one; None for others."""
    if op_name(node) != "Constant" or len(node.attribute) != 1 or node.attribute[0].ref_attr_name:
        return None
    (found,) = node.attribute
    if found.name == "value":
        return numpy_helper.to_array(found.t)
    if found.name not in _CONSTANT_TYPES:
        return None
    return np.array(onnx.helper.get_attribute_value(found), _CONSTANT_TYPES[found.name])


def _dense_face(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    """Name, type and dense shape of a sparse tensor; no values."""
    return onnx.TensorProto(name=sparse.values.name, data_type=sparse.values.data_type, dims=sparse.dims)


def sorted_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes so that each comes behind those it reads, otherwise in their order; onnxruntime takes any order."""
    producer = {name: k for k, node in enumerate(graph.node) for name in node.output if name}
    order: list[int] = []
    placed: set[int] = set()
    for start in range(len(graph.node)):
        pending = [start]
        while pending:
            k = pending[-1]
            before = [producer[name] for name in names_read(graph.node[k]) if name in producer]
            missing = [m for m in before if m not in placed and m not in pending]
            if missing and k not in placed:
                pending.append(missing[0])
                continue
            pending.pop()
            if k not in placed:
                placed.add(k)
                order.append(k)
    return [graph.node[k] for k in order]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for found in node.attribute:
        if found.type == onnx.AttributeProto.GRAPH:
            yield found.g
        yield from found.graphs


def inner_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes of the subgraphs of `nodes`, and of theirs."""
    for node in nodes:
        for graph in subgraphs(node):
            for inner in graph.node:
                yield inner
                yield from inner_nodes([inner])


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graph and of model-local functions, and those of their subgraphs."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        yield from nodes
        yield from inner_nodes(nodes)


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, and its subgraphs from outside; "" for an input that is left out."""
    yield from node.input
    for graph in subgraphs(node):
        own = {name for inner in graph.node for name in inner.output} | {tensor.name for tensor in graph.initializer}
        own |= {value.name for value in graph.input}
        read = [name for inner in graph.node for name in names_read(inner)]
        yield from (name for name in (*read, *(value.name for value in graph.output)) if name not in own)


def _first_output(node: onnx.NodeProto) -> str:
    return next((name for name in node.output if name), "")


def _unique_labels(graph: onnx.GraphProto) -> dict[str, str]:
    """First output of each node -> label."""
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for index, node in enumerate(graph.node):
        candidates = [node.name, *node.output, f"{node.op_type}_{index}"]
        label = next((c for c in candidates if c and c not in seen), f"{node.op_type}_{index}")
        seen.add(label)
        labels[_first_output(node)] = label
    return labels
