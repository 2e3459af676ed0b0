"""Relu, Clip, Add and Concat of channels work channel-last where their inputs are: Transposes sink below them.

    f(a, b, ...) = (f(a^T, b^T, ...))^T        f elementwise of (B, C, H, W), or Concat along the axis of channels

with ^T a permutation of the axes: broadcasting treats each axis alike, so it commutes too.

An input is available channel-last if one of our Transposes makes it, or if what stands for it exists anyway. One that
exists channel-first only gets a Transpose of its own if there are not more of these than Transposes that sink, so that
their number doesn't grow; at least one has to sink.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from paconv.passes.base import Pass, PassResult, Rewrite, Skip
from paconv.passes.elementwise import data_inputs
from paconv.passes.graph import ModelGraph
from paconv.passes.layout import channel_last, is_to_channel_first, make_result_channel_last, twin
from paconv.passes.matching import is_op, producer

__all__ = ["SINK_TRANSPOSES"]


def _can_be_transposed(tensor: gs.Tensor) -> bool:
    return producer(tensor) is not None and tensor.shape is not None and len(tensor.shape) == 4


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in list(graph.nodes):
        inputs = [node.inputs[k] for k in data_inputs(node)]
        sinking = sum(is_to_channel_first(producer(tensor)) for tensor in inputs)
        if not sinking:
            continue
        lacking = [tensor for tensor in inputs if twin(tensor) is None]
        if len(lacking) > sinking or not all(map(_can_be_transposed, lacking)):
            result.skipped.append(Skip("beside-channel-first", graph.label(node)))
            continue
        for k, tensor in zip(data_inputs(node), inputs, strict=True):
            node.inputs[k] = channel_last(tensor, graph)
        if is_op(node, "Concat"):
            node.attrs["axis"] = 3
        make_result_channel_last(node, graph)
        result.rewritten.append(Rewrite("channel-last", graph.label(node)))
    return result


SINK_TRANSPOSES = Pass(
    name="sink-transposes",
    requires="nodes in topological order",
    ensures="no Relu, Clip, Add or Concat of channels reads a Transpose of ours, unless more of its inputs exist "
    "channel-first only",
    run=_run,
)
