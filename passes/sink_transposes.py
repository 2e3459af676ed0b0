"""Relu, Clip, Add and Concat of channels work channel-last where their inputs are: Transposes sink below them.

    f(a, b, ...) = (f(a^T, b^T, ...))^T        f elementwise of (B, C, H, W), or Concat along the axis of channels

with ^T a permutation of the axes: broadcasting treats each axis alike, so it commutes too.

An input is available channel-last if one of our Transposes makes it, or if what stands for it exists anyway. At
least one has to be of the first kind: otherwise there is nothing to sink.
"""

from __future__ import annotations

from paconv.passes.base import Pass, PassResult, Rewrite, Skip
from paconv.passes.elementwise import data_inputs
from paconv.passes.graph import ModelGraph
from paconv.passes.layout import is_to_channel_first, make_result_channel_last, twin
from paconv.passes.matching import is_op, producer

__all__ = ["SINK_TRANSPOSES"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in list(graph.nodes):
        indexes = data_inputs(node)
        if not any(is_to_channel_first(producer(node.inputs[k])) for k in indexes):
            continue
        twins = [twin(node.inputs[k]) for k in indexes]
        if any(t is None for t in twins):
            result.skipped.append(Skip("beside-channel-first", graph.label(node)))
            continue
        for k, tensor in zip(indexes, twins, strict=True):
            node.inputs[k] = tensor
        if is_op(node, "Concat"):
            node.attrs["axis"] = 3
        make_result_channel_last(node, graph)
        result.rewritten.append(Rewrite("channel-last", graph.label(node)))
    return result


SINK_TRANSPOSES = Pass(
    name="sink-transposes",
    requires="nodes in topological order",
    ensures="no Relu, Clip, Add or Concat of channels reads a Transpose of ours while all its inputs exist "
    "channel-last",
    run=_run,
)
