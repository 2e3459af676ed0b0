"""PABitConvs that are linked become PALevelConvs: channel-last, from level indexes of a byte, made by PALevels.

    PABitConv(X) -> Y   becomes   PALevels(X^T) -> L,   PALevelConv(L, R = 0, clip = none) -> Y^T,   Y = (Y^T)^T

with ^T for the Transposes between channel-first and channel-last (paconv.passes.fuse.layout), which the passes behind
this one move away. Nothing is computed otherwise than before.

A PABitConv is linked with those whose results flow into what it reads, or meet its own: directly or over elementwise
ops, MaxPool, real depthwise convolutions (paconv.passes.graph.depthwise) and moves of data (paconv.passes.fuse.moves).
A PABitConv between real ops stays as it is: it would only get two Transposes.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN, OPSET_VERSION
from paconv.passes.fold.fold_after import FOLD_AFTER
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.fold.narrow import NARROW
from paconv.passes.fuse.finishes import finish_constants
from paconv.passes.fuse.layout import channel_last, has_layout, make_result_channel_last, new_levels
from paconv.passes.fuse.moves import move_from
from paconv.passes.graph.bit_conv import bit_convs, parameter_tensor
from paconv.passes.graph.depthwise import is_depthwise
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip
from paconv.passes.graph.matching import data_inputs, is_op
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import IN_ORDER

__all__ = ["LINK_CONVS"]


def _linked(graph: ModelGraph, convs: list[gs.Node]) -> set[int]:
    """ids of the PABitConvs that are linked with another one."""
    flowing: dict[str, set[int]] = {}  # tensor -> the PABitConvs whose results flow into it
    found: set[int] = set()
    quantized = {id(conv) for conv in convs}
    for node in graph.nodes:
        if id(node) in quantized:
            flowing[node.outputs[0].name] = {id(node)}
            together = flowing.get(node.inputs[0].name, set()) | {id(node)}
        else:
            read, made = _links(node, graph)
            together = set().union(*(flowing.get(tensor.name, set()) for tensor in read))
            flowing |= {tensor.name: together for tensor in made}
        if len(together) > 1:
            found |= together
    return found


def _links(node: gs.Node, graph: ModelGraph) -> tuple[list[gs.Tensor], list[gs.Tensor]]:
    """Tensors that flow through `node`, and those that they flow into; of a channel shuffle at its first node."""
    move = move_from(node, graph)
    if move is not None:
        return move.inputs, move.outputs
    read = (
        [node.inputs[0]]
        if is_op(node, "MaxPool") or is_depthwise(node)
        else [node.inputs[k] for k in data_inputs(node)]
    )
    return (read, list(node.outputs)) if read and all(map(has_layout, read)) else ([], [])


def _to_level_conv(conv: gs.Node, graph: ModelGraph) -> None:
    label, X, Y = graph.label(conv), conv.inputs[0], conv.outputs[0]
    x = channel_last(X, graph)
    L = new_levels(X.name, x.shape, graph)
    endpoints = [parameter_tensor(conv, name) for name in ("v", "sign")]
    attributes = {"version": OPSET_VERSION}
    levels = gs.Node("PALevels", attrs=attributes, inputs=[x, *endpoints], outputs=[L], domain=DOMAIN)
    graph.insert_before(conv, levels)

    R, *finish = finish_constants(label, graph)
    conv.op = "PALevelConv"
    conv.inputs = [
        L,
        R,
        *(parameter_tensor(conv, name) for name in ("W", "alpha", "beta", "scale", "bias")),
        *finish,
    ]
    conv.attrs["names"] = [Y.name, "", ""]
    make_result_channel_last(conv, graph)
    conv.outputs.extend([gs.Variable.empty(), gs.Variable.empty()])


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    convs = bit_convs(graph)
    linked = _linked(graph, convs)
    for conv in convs:
        label = graph.label(conv)
        if id(conv) in linked:
            _to_level_conv(conv, graph)
            result.rewritten.append(Rewrite("linked", label))
        else:
            result.skipped.append(Skip("not-linked", label))
    return result


def _still_linked(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    convs = bit_convs(graph)
    linked = _linked(graph, convs)
    for conv in convs:
        if id(conv) in linked:
            yield graph.label(conv), "it is a PABitConv linked with another"


LINK_CONVS = Pass(
    name="channel-last",
    requires=(IN_ORDER, *FOLD_BEFORE.ensures, *FOLD_AFTER.ensures, *NARROW.ensures),  # endpoints, scale, bias are final
    ensures=(Promise("no two PABitConvs are linked", _still_linked),),
    run=_run,
)
