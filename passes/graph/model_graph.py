"""A model as onnx-graphsurgeon's graph, and back without loss.

graphsurgeon carries neither every attribute type nor doc strings, and moves initializers about. So the model it came
from stays at hand: on the way back, a node that no pass touched is the original NodeProto, inputs, outputs, metadata
and functions are the original ones, and of initializers exactly those remain that something still reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.logger import G_LOGGER

from paconv.onnx_file.copying import copy_field
from paconv.onnx_file.loading import check_model
from paconv.ops import DOMAIN, LIBRARY_OPS, add_functions

__all__ = ["ModelGraph", "inner_convs"]


class ModelGraph:
    """The top-level graph of a model, for passes to edit. Subgraphs (If, Loop) are never edited.

    nodes: the graphsurgeon nodes in topological order; protected: names of tensors that must go on existing, because
    they are graph outputs or are read inside a subgraph. Tensors carry the shapes found by shape inference.
    """

    def __init__(self, model: onnx.ModelProto, where: str = "model"):
        """Raises ModelError if the model is inconsistent (paconv.onnx_file.loading.check_model)."""
        self._original = model
        with G_LOGGER.suppress():  # it warns of attributes it can't carry, which stay in the original nodes
            self._gs = gs.import_onnx(_without_overridable(check_model(model, where)))
        self.nodes: list[gs.Node] = self._gs.nodes
        self.protected = {t.name for t in model.graph.output} | _names_in_subgraphs(model.graph)
        self._untouched = {
            _key(proto): (OnnxExporter.export_node(node), proto)
            for node, proto in zip(self.nodes, model.graph.node, strict=True)
        }
        self._original_names = _names_used(model.graph) | {i.name for i in model.graph.input}
        self._original_names.update(i.name for i in model.graph.initializer)
        self._taken = set(self._original_names)
        self._free_sizes = _free_sizes(model.graph)
        self._labels = _unique_labels(self.nodes)
        self._kept = list(self.nodes)  # ids in _labels stay valid while the nodes are referenced

    @property
    def opset(self) -> int:
        """Version of the standard ops."""
        return self._gs.opset

    def label(self, node: gs.Node) -> str:
        """A name for `node`: its own, or else that of its first output in the original model. Unique at top level."""
        return self._labels.get(id(node)) or node.name or node.outputs[0].name

    def is_free(self, tensor: gs.Tensor) -> bool:
        """Whether the tensor may disappear: no graph output and not read in a subgraph."""
        return tensor.name not in self.protected

    def replace_input(self, node: gs.Node, index: int, values: np.ndarray, name: str) -> None:
        """Give `node` a new initializer as its input `index`. Other nodes that read the old one aren't affected."""
        old = node.inputs[index]
        if old.name not in self._original_names and len(old.outputs) == 1:
            self._taken.discard(old.name)
        node.inputs[index] = self.constant(values, name)

    def constant(self, values: np.ndarray, name: str) -> gs.Constant:
        """A new initializer called `name` or, where that is taken, `name`.1, .2, ..."""
        return gs.Constant(self._new_name(name), np.ascontiguousarray(values))

    def variable(self, name: str, dtype: np.dtype | type, shape: Sequence[int | str | None] | None) -> gs.Variable:
        """A new tensor called `name` or, where that is taken, `name`.1, .2, ..."""
        return gs.Variable(self._new_name(name), np.dtype(dtype), None if shape is None else list(shape))

    def is_taken(self, name: str) -> bool:
        """Whether a tensor of the original model, or one made since, has this name."""
        return name in self._taken

    def insert_before(self, node: gs.Node, new: gs.Node) -> None:
        """Put the node `new` right before `node`."""
        self.nodes.insert(self._position(node), new)

    def insert_after(self, node: gs.Node | None, new: gs.Node) -> None:
        """Put the node `new` right after `node`, first of all where that is None."""
        self.nodes.insert(0 if node is None else self._position(node) + 1, new)

    def remove(self, node: gs.Node) -> None:
        """Take `node` out of the graph, and away from the tensors it reads and makes."""
        self.nodes.pop(self._position(node))
        node.inputs.clear()
        node.outputs.clear()

    def move_before(self, node: gs.Node, other: gs.Node) -> None:
        """Put `node`, a node of the graph, right before `other`."""
        self.nodes.pop(self._position(node))
        self.insert_before(other, node)

    def same_shape(self, a: gs.Tensor, b: gs.Tensor) -> bool:
        """Whether both shapes are known to be equal: the same sizes, or the same names of free sizes of graph inputs.

        Names that shape inference makes up for what it doesn't know prove nothing.
        """
        known = a.shape is not None and b.shape is not None and list(a.shape) == list(b.shape)
        return known and all(isinstance(n, int) or n in self._free_sizes for n in a.shape)

    def _position(self, node: gs.Node) -> int:
        return next(k for k, other in enumerate(self.nodes) if other is node)  # == compares nodes by content

    def _new_name(self, name: str) -> str:
        candidate, count = name, 0
        while candidate in self._taken:
            count += 1
            candidate = f"{name}.{count}"
        self._taken.add(candidate)
        return candidate

    def export(self) -> onnx.ModelProto:
        """The model as it is now, self-contained: with the functions of the paconv ops it uses, without unused parts.

        Graph inputs and outputs, opsets, IR version and metadata of the model are the original's.
        """
        original = self._original
        model = onnx.ModelProto()
        for field, value in original.ListFields():
            if field.name != "graph":
                copy_field(model, field, value)
        for field, value in original.graph.ListFields():
            if field.name not in ("node", "initializer", "sparse_initializer", "value_info"):
                copy_field(model.graph, field, value)

        model.graph.node.extend(self._export_node(node) for node in self.nodes)
        used = _names_used(model.graph)
        constants = {t.name: t for t in self._gs.tensors().values() if isinstance(t, gs.Constant)}
        known = set()
        for initializer in original.graph.initializer:
            if initializer.name in used:
                known.add(initializer.name)
                model.graph.initializer.append(initializer)
        for sparse in original.graph.sparse_initializer:
            if sparse.values.name in used:
                known.add(sparse.values.name)
                model.graph.sparse_initializer.append(sparse)
        for name, tensor in constants.items():
            if name not in known:
                model.graph.initializer.append(onnx.numpy_helper.from_array(tensor.values, name))
        model.graph.value_info.extend(self._value_info(used))
        _drop_unused_functions(model)
        add_functions(model)
        return model

    def _export_node(self, node: gs.Node) -> onnx.NodeProto:
        exported = OnnxExporter.export_node(node)
        before, proto = self._untouched.get(_key(exported), (None, None))
        kept = onnx.NodeProto()
        kept.CopyFrom(proto if before == exported else exported)
        kept.ClearField("doc_string")
        return kept

    def _value_info(self, used: set[str]) -> list[onnx.ValueInfoProto]:
        """The original's shapes of tensors that still exist, and inferred ones for what the library's ops compute."""
        listed = [v for v in self._original.graph.value_info if v.name in used]
        known = {v.name for v in listed} | {v.name for v in self._original.graph.output}
        ops = {op.name for op in LIBRARY_OPS}
        for tensor in (t for n in self.nodes if n.domain == DOMAIN and n.op in ops for t in n.outputs):
            unlisted = not tensor.is_empty() and tensor.name not in known
            if unlisted and tensor.dtype is not None and tensor.shape is not None:
                listed.append(OnnxExporter.export_value_info_proto(tensor, do_type_check=True))
        return listed


def _key(node: onnx.NodeProto) -> tuple[str, ...]:
    return tuple(node.output)


def _free_sizes(graph: onnx.GraphProto) -> set[str]:
    """Names of the free sizes of graph inputs."""
    return {d.dim_param for i in graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}


def _without_overridable(model: onnx.ModelProto) -> onnx.ModelProto:
    """An initializer that is also a graph input is only a default: for the passes it isn't a constant."""
    inputs = {i.name for i in model.graph.input}
    kept = [i for i in model.graph.initializer if i.name not in inputs]
    if len(kept) < len(model.graph.initializer):
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    return model


def _subgraphs(nodes) -> list[onnx.GraphProto]:
    found = []
    for node in nodes:
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                if graph.node or graph.output:
                    found += [graph, *_subgraphs(graph.node)]
    return found


def inner_convs(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """(name, reason code) of every Conv that isn't in the top-level graph."""

    def convs(nodes, reason: str) -> list[tuple[str, str]]:
        found = [n for n in nodes if n.op_type == "Conv" and n.domain in ("", "ai.onnx")]
        return [(n.name or n.output[0], reason) for n in found]

    inner = [entry for g in _subgraphs(model.graph.node) for entry in convs(g.node, "inside-subgraph")]
    for function in model.functions:
        if function.domain != DOMAIN:
            nodes = [*function.node, *(n for g in _subgraphs(function.node) for n in g.node)]
            inner += convs(nodes, "inside-function")
    return inner


def _names_in_subgraphs(graph: onnx.GraphProto) -> set[str]:
    names: set[str] = set()
    for inner in _subgraphs(graph.node):
        names.update(t.name for t in inner.output)
        names.update(name for node in inner.node for name in (*node.input, *node.output))
    return names


def _names_used(graph: onnx.GraphProto) -> set[str]:
    names = {t.name for t in graph.output} | _names_in_subgraphs(graph)
    names.update(name for node in graph.node for name in (*node.input, *node.output))
    return names


def _unique_labels(nodes: list[gs.Node]) -> dict[int, str]:
    labels, seen = {}, set()
    for index, node in enumerate(nodes):
        outputs = [t.name for t in node.outputs if t.name]
        candidates = [node.name, *outputs, f"{node.op}_{index}"]
        label = next((c for c in candidates if c and c not in seen), f"{node.op}_{index}")
        seen.add(label)
        labels[id(node)] = label
    return labels


def _drop_unused_functions(model: onnx.ModelProto) -> None:
    """Keep only functions of other domains that something calls, directly or through another function."""
    by_id = {(f.domain, f.name): f for f in model.functions}
    wanted: set[tuple[str, str]] = set()

    def visit(nodes) -> None:
        for node in [*nodes, *(n for g in _subgraphs(nodes) for n in g.node)]:
            name = (node.domain, node.op_type)
            if name in by_id and name not in wanted:
                wanted.add(name)
                visit(by_id[name].node)

    visit(model.graph.node)
    kept = [f for f in model.functions if f.domain == DOMAIN or (f.domain, f.name) in wanted]
    if len(kept) < len(model.functions):
        del model.functions[:]
        model.functions.extend(kept)
