"""Relu, or Clip with constant bounds, behind PALevelConv becomes its clip: min(max(Y, low), high)."""

from __future__ import annotations

import numpy as np

from paconv.passes.fuse.layout import stands_for
from paconv.passes.fuse.level_conv import CLIPPED, has_bounds, has_levels, input_index, level_convs
from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import clip_bounds, is_op, readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FUSE_CLIP"]


def _fuse(conv, graph: ModelGraph) -> bool:
    """Take the Relu or Clip behind `conv` in; False if there is none. Raises Unsuitable where it has to stay."""
    consumers = [] if conv.outputs[0].is_empty() else readers(conv.outputs[0])
    clip = next((n for n, i in consumers if i == 0 and is_op(n, "Relu", "Clip")), None)
    if clip is None:
        return False
    if len(consumers) > 1 or has_levels(conv):
        raise Unsuitable("result-read-by-others")
    if has_bounds(conv):
        raise Unsuitable("finish-is-full")
    bounds = clip_bounds(clip)
    if bounds is None:
        raise Unsuitable("bounds-not-constant")
    result = clip.outputs[0]
    graph.remove(clip)
    graph.replace_input(conv, input_index("clip"), np.float32(bounds), f"{graph.label(conv)}.clip")
    conv.outputs[0] = result
    names = list(conv.attrs["names"])
    names[CLIPPED] = stands_for(result.name)
    conv.attrs["names"] = names
    return True


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in level_convs(graph):
        label = graph.label(conv)
        try:
            while _fuse(conv, graph):
                result.rewritten.append(Rewrite("clip", label))
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
    return result


FUSE_CLIP = Pass(
    name="fuse-clip",
    requires="residuals are fused: what is added is added before the clip",
    ensures="no Relu or Clip with constant bounds is the only reader of a PALevelConv's result that isn't clipped yet",
    run=_run,
    absorbs=("clip",),
)
