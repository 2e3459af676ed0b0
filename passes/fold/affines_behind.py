"""Chains of affine nodes behind a convolution, which its slope and bias take in.

With Y = slope S + bias and a = s_c Y + b_c per output channel,  a = (s_c slope) S + (s_c bias + b_c).  A chain is
folded in float64, node after node as long as float32 holds what comes of it.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fold.affine import Affine, affine_of
from paconv.passes.graph.graph_pass import PassResult, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import readers
from paconv.passes.graph.model_graph import ModelGraph

__all__ = ["could_be_folded", "fold_affines"]


def fold_affines(
    conv: gs.Node, slope: np.ndarray, bias: np.ndarray, channels: int, graph: ModelGraph, result: PassResult
) -> tuple[np.ndarray, np.ndarray] | None:
    """Take the affine nodes behind `conv` out of the graph and note them in `result`.

    slope (1 | O, ...) and bias (1 | O,), float64; returned as they become, None where there is no such node.
    """
    label, found = graph.label(conv), None
    while True:
        try:
            affine = _affine_behind(conv.outputs[0], channels, graph)
            if affine is None:
                return found
            s = affine.s.reshape(-1, *[1] * (slope.ndim - 1))
            slope, bias = s * slope, affine.s * bias + affine.b
            with np.errstate(over="ignore"):
                if not all(np.isfinite(a.astype(np.float32)).all() for a in (slope, bias)):
                    raise Unsuitable("non-finite-parameters")
        except Unsuitable as refusal:
            result.skipped.append(Skip(refusal.reason, label))
            return found
        found = slope, bias
        output = affine.node.outputs[0]
        graph.remove(affine.node)
        conv.outputs = [output]
        result.rewritten.append(Rewrite(f"{affine.kind}-after", label))


def could_be_folded(conv: gs.Node, channels: int, graph: ModelGraph) -> str | None:
    """The affine node behind `conv` that `fold_affines` would take in, in words; None if there is none."""
    try:
        affine = _affine_behind(conv.outputs[0], channels, graph)
    except Unsuitable:
        return None
    return None if affine is None else f"the {affine.node.op} '{graph.label(affine.node)}' behind it could be folded"


def _affine_behind(tensor: gs.Tensor, channels: int, graph: ModelGraph) -> Affine | None:
    """The affine node that is the only reader of `tensor`."""
    consumers = readers(tensor)
    if not consumers or not graph.is_free(tensor):
        return None
    candidates = [affine_of(node, channels, graph) for node, _ in consumers]
    found = next((a for a in candidates if a is not None and a.x is tensor), None)
    if found is not None and len(consumers) > 1:
        raise Unsuitable("read-by-others")
    return found
