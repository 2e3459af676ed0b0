"""Relu, or Clip with constant bounds, behind PALevelConv becomes its clip: min(max(Y, low), high)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fuse.finishes import CLIPPED, has_bounds, has_levels, input_index, with_finish
from paconv.passes.fuse.fuse_residual import FUSE_RESIDUAL
from paconv.passes.fuse.layout import stands_for
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import clip_bounds, is_op, readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["FUSE_CLIP"]


def _clip_behind(conv: gs.Node) -> tuple[gs.Node, tuple[float, float]] | None:
    """The Relu or Clip behind `conv` and its bounds; None if there is none. Raises Unsuitable where it has to stay."""
    consumers = [] if conv.outputs[0].is_empty() else readers(conv.outputs[0])
    clip = next((n for n, i in consumers if i == 0 and is_op(n, "Relu", "Clip")), None)
    if clip is None:
        return None
    if len(consumers) > 1 or has_levels(conv):
        raise Unsuitable("result-read-by-others")
    if has_bounds(conv):
        raise Unsuitable("finish-is-full")
    bounds = clip_bounds(clip)
    if bounds is None:
        raise Unsuitable("bounds-not-constant")
    return clip, bounds


def _fuse(conv: gs.Node, clip: gs.Node, bounds: tuple[float, float], graph: ModelGraph) -> None:
    result = clip.outputs[0]
    graph.remove(clip)
    graph.replace_input(conv, input_index(conv, "clip"), np.array(bounds, np.float32), f"{graph.label(conv)}.clip")
    conv.outputs[0] = result
    names = list(conv.attrs["names"])
    names[CLIPPED] = stands_for(result.name)
    conv.attrs["names"] = names


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for conv in with_finish(graph):
        label = graph.label(conv)
        try:
            while (found := _clip_behind(conv)) is not None:
                _fuse(conv, *found, graph)
                result.rewritten.append(Rewrite("clip", label))
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
    return result


def _not_clipped(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for conv in with_finish(graph):
        try:
            found = _clip_behind(conv)
        except Unsuitable:
            continue
        if found is not None:
            yield graph.label(conv), f"the {found[0].op} '{graph.label(found[0])}' behind it could be its clip"


FUSE_CLIP = Pass(
    name="fuse-clip",
    requires=FUSE_RESIDUAL.ensures,  # what is added is added before the clip
    ensures=(
        Promise(
            "no Relu or Clip with constant bounds is the only reader of a PALevelConv's result that isn't clipped yet",
            _not_clipped,
        ),
    ),
    run=_run,
    absorbs=("clip",),
)
