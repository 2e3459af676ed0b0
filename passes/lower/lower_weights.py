"""A PAWeight that is still read becomes PAUnpackWeight: codes of a few bits in the file, real weights after loading.

The convolution stays a standard Conv. onnxruntime folds the unpacking at load, so the file is small and the speed is
that of float.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from paconv.ops import DOMAIN
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, is_paconv_op, readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.lower.lower_conv import LOWER_CONV
from paconv.passes.lower.weight_codes import packed_weight

__all__ = ["LOWER_WEIGHTS"]


def _concerned(node: gs.Node, graph: ModelGraph) -> list[str]:
    """Labels of the convolutions whose weight the node makes, or its own if something else reads it; empty if nothing
    does, or it is no PAWeight.
    """
    if not is_paconv_op(node, "PAWeight"):
        return []
    consumers = readers(node.outputs[0])
    if not consumers and graph.is_free(node.outputs[0]):
        return []
    return [graph.label(n) for n, i in consumers if is_op(n, "Conv") and i == 1] or [graph.label(node)]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in graph.nodes:
        labels = _concerned(node, graph)
        if not labels:
            continue
        try:
            packed = packed_weight(node)
        except Unsuitable as refusal:
            result.skipped += [Skip(refusal.reason, label) for label in labels]
            continue
        base = graph.label(node)
        node.op, node.domain = "PAUnpackWeight", DOMAIN
        node.attrs = {"weight_shape": packed.shape, "weight_masks": packed.masks}
        node.inputs = [graph.constant(packed.W, f"{base}.W"), graph.constant(packed.alpha, f"{base}.alpha")]
        result.rewritten += [Rewrite("weights-only", label) for label in labels]
    return result


def _not_packed(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in graph.nodes:
        for label in _concerned(node, graph):
            yield label, f"the PAWeight '{graph.label(node)}' is read and not packed"


LOWER_WEIGHTS = Pass(
    name="lower-weights",
    requires=LOWER_CONV.ensures,  # it has taken the weights that it can
    ensures=(Promise("every constant 4-D PAWeight that is read is a PAUnpackWeight", _not_packed, but_skipped=True),),
    run=_run,
    decides=True,
)
