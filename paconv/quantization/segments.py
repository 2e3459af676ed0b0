"""A graph cut at some of its convolutions, so that it can be run from one to the next with others in their place.

Segment 0 is all nodes that need none of the convolutions; segment k+1 those that need convolution k and none after it.
Between two segments stand the tensors that a later one reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from paconv.onnx_file.graph_view import names_read

__all__ = ["Cut", "Segment", "cut"]


@dataclass
class Segment:
    """Some nodes of a graph, in order."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    """In the order of the graph."""
    reads: list[str] = field(default_factory=list)
    """Tensors from outside that it reads, constants aside."""
    gives: list[str] = field(default_factory=list)
    """Those of its tensors that are read outside."""


@dataclass(frozen=True)
class Cut:
    """A model in segments."""

    model: onnx.ModelProto
    """The whole."""
    convs: tuple[onnx.NodeProto, ...]
    """Where it is cut, in the order of the graph."""
    segments: tuple[Segment, ...]
    """One more than convolutions."""
    last_use: dict[str, int]
    """Tensor -> the last segment that reads it; convolution k is read with segment k+1."""

    def runner(
        self,
        segment: Segment,
        before: Sequence[onnx.NodeProto],
        constants: dict[str, np.ndarray],
        like: dict[str, np.ndarray],
    ) -> Runner:
        """What runs `segment` with the nodes `before` in front. constants: further initializers; like: arrays of the
        types of what is read.
        """
        nodes = [*before, *segment.nodes]
        inside = {name for node in nodes for name in node.output}
        wanted = {name for node in nodes for name in names_read(node)}
        stored = [tensor for tensor in self.model.graph.initializer if tensor.name in wanted]
        stored += [numpy_helper.from_array(array, name) for name, array in constants.items()]
        known = {tensor.name for tensor in stored} | inside
        reads = [name for name in sorted(wanted) if name and name not in known]
        gives = [name for name in segment.gives if name in inside]
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(like[name].dtype), _sizes(like[name])
            )
            for name in reads
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in gives]
        graph = onnx.helper.make_graph(nodes, "segment", inputs, outputs, stored)
        model = onnx.helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        return Runner(model, reads, gives)


class Runner:
    """A segment in a session of onnxruntime."""

    def __init__(self, model: onnx.ModelProto, reads: list[str], gives: list[str]) -> None:
        self.reads, self.gives = reads, gives
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = (
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            if gives
            else None
        )

    def __call__(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What it gives, for the tensors that it reads (others may be among them)."""
        if self._session is None:
            return {}
        found = self._session.run(self.gives, {name: tensors[name] for name in self.reads})
        return dict(zip(self.gives, found, strict=True))


def _sizes(value: np.ndarray) -> list[int | None]:
    """Sizes of a tensor between segments: free ones, but for lists of whole numbers, which are sizes themselves, and
    whose length onnxruntime wants to know beforehand.
    """
    return list(value.shape) if value.ndim == 1 and value.dtype.kind == "i" else [None] * value.ndim


def cut(model: onnx.ModelProto, convs: Sequence[str]) -> Cut:
    """`model` cut at the convolutions whose outputs are `convs`. Its nodes are in topological order."""
    graph = model.graph
    at = set(convs)
    chosen = [node for node in graph.node if node.output[0] in at]
    number = {node.output[0]: k + 1 for k, node in enumerate(chosen)}
    constants = {tensor.name for tensor in graph.initializer}
    stage: dict[str, int] = {}
    segments = [Segment() for _ in range(len(chosen) + 1)]
    last_use: dict[str, int] = {value.name: len(chosen) + 1 for value in graph.output}
    for node in graph.node:
        reads = [name for name in names_read(node) if name and name not in constants]
        if node.output[0] in at:
            where = number[node.output[0]]
        else:
            where = max((stage.get(name, 0) for name in reads), default=0)
            segments[where].nodes.append(node)
            segments[where].reads += reads
        for name in reads:
            last_use[name] = max(last_use.get(name, 0), where)
        stage.update(dict.fromkeys(node.output, where))
    for where, segment in enumerate(segments):
        made = [name for node in segment.nodes for name in node.output]
        made += [chosen[where - 1].output[0]] if where else []
        segment.gives = [name for name in made if last_use.get(name, -1) > where]
        segment.reads = list(dict.fromkeys(name for name in segment.reads if name not in made))
    return Cut(model, tuple(chosen), tuple(segments), last_use)
