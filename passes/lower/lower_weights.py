"""A PAWeight that is still read becomes PAUnpackWeight: codes of a few bits in the file, real weights after loading.

The convolution stays a standard Conv. onnxruntime folds the unpacking at load, so the file is small and the speed is
that of float.
"""

from __future__ import annotations

from paconv.ops import DOMAIN
from paconv.passes.graph.graph_pass import Pass, PassResult, Rewrite, Skip, Unsuitable
from paconv.passes.graph.matching import is_op, is_paconv_op, readers
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.lower.weight_codes import packed_weight

__all__ = ["LOWER_WEIGHTS"]


def _run(graph: ModelGraph) -> PassResult:
    result = PassResult()
    for node in graph.nodes:
        if not is_paconv_op(node, "PAWeight"):
            continue
        consumers = readers(node.outputs[0])
        if not consumers and graph.is_free(node.outputs[0]):
            continue
        labels = [graph.label(n) for n, i in consumers if is_op(n, "Conv") and i == 1] or [graph.label(node)]
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


LOWER_WEIGHTS = Pass(
    name="lower-weights",
    requires="lower-conv has taken the weights that it can",
    ensures="every constant 4-D PAWeight that is read is a PAUnpackWeight",
    run=_run,
    decides=True,
)
