"""Real depthwise convolutions whose results are read channel-last become PADepthwiseConv.

    Conv(X) -> Y   becomes   PADepthwiseConv(X^T, R = 0, clip = none) -> Y^T,   Y = (Y^T)^T

with ^T as in paconv.passes.fuse.link_convs. What is added, clipped and compared behind it is then taken in as by a
PALevelConv. Its sums are those of the Conv but for their order, so they differ by rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN, OPSET_VERSION
from paconv.passes.fuse.finishes import finish_constants
from paconv.passes.fuse.layout import channel_last, make_result_channel_last
from paconv.passes.fuse.sink_transposes import wanted_channel_last
from paconv.passes.graph.depthwise import depthwise_geometry, is_depthwise
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.matching import optional_input
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import IN_ORDER

__all__ = ["LINK_DEPTHWISE"]


def _to_depthwise_conv(conv: gs.Node, graph: ModelGraph) -> None:
    label, Y, geometry = graph.label(conv), conv.outputs[0], depthwise_geometry(conv)
    bias = optional_input(conv, 2)
    if bias is None:
        bias = graph.constant(np.zeros(1, np.float32), f"{label}.no_bias")
    R, *finish = finish_constants(label, graph)
    conv.op, conv.domain, conv.name = "PADepthwiseConv", DOMAIN, label
    conv.inputs = [channel_last(conv.inputs[0], graph), R, conv.inputs[1], bias, *finish]
    conv.attrs = {
        "strides": geometry.strides,
        "pads": geometry.pads,
        "dilations": geometry.dilations,
        "version": OPSET_VERSION,
        "names": [Y.name, "", ""],
    }
    make_result_channel_last(conv, graph)
    conv.outputs.extend([gs.Variable.empty(), gs.Variable.empty()])


def _linked(graph: ModelGraph) -> list[gs.Node]:
    wanted = wanted_channel_last(graph)
    return [node for node in graph.nodes if id(node) in wanted and is_depthwise(node)]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in _linked(graph):
        label = graph.label(conv)
        _to_depthwise_conv(conv, graph)
        result.rewritten.append(Rewrite("depthwise", label))
    return result


def _still_linked(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in _linked(graph):
        yield graph.label(conv), "it is a plain depthwise Conv whose result is read channel-last"


LINK_DEPTHWISE = Pass(
    name="channel-last-depthwise",
    requires=(IN_ORDER,),
    ensures=(Promise("no plain depthwise Conv's result is read channel-last", _still_linked),),
    run=_run,
)
