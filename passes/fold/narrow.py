"""Constants that passes compute in float64 are rounded to float32, once, when nothing is folded into them any more.

scale, bias     the nearest float32
endpoints v     the least float32 at or above: sign x >= v decides alike for every float32 x
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from paconv.passes.fold.endpoints import narrowed
from paconv.passes.fold.fold_after import FOLD_AFTER
from paconv.passes.fold.fold_before import FOLD_BEFORE
from paconv.passes.graph.bit_conv import bit_convs, parameter, set_parameter
from paconv.passes.graph.graph_pass import Pass, PassResult, Promise, Rewrite
from paconv.passes.graph.model_graph import ModelGraph
from paconv.passes.graph.promises import ENDPOINTS_ASCEND

__all__ = ["NARROW"]


def _narrow(node: gs.Node, graph: ModelGraph) -> bool:
    wide = {name: values for name in ("v", "scale", "bias") if (values := parameter(node, name)).dtype == np.float64}
    for name, values in wide.items():
        narrow = narrowed(values) if name == "v" else values.astype(np.float32)
        if name == "v" and len(parameter(node, "sign")) == 1:
            same = np.array_equal(narrow, np.broadcast_to(narrow[0], narrow.shape), equal_nan=True)
            narrow = narrow[:1] if same else narrow
        set_parameter(node, graph, name, narrow)
    return bool(wide)


def _run(graph: ModelGraph) -> PassResult:
    rewritten = [Rewrite("narrowed", graph.label(node)) for node in bit_convs(graph) if _narrow(node, graph)]
    return PassResult(rewritten)


def _wide(graph: ModelGraph) -> Iterator[tuple[str, str]]:
    for node in bit_convs(graph):
        for name in ("v", "scale", "bias"):
            if parameter(node, name).dtype != np.float32:
                yield graph.label(node), f"its {name} is {parameter(node, name).dtype}"


NARROW = Pass(
    name="narrow",
    requires=(*FOLD_BEFORE.ensures, *FOLD_AFTER.ensures),  # nothing is left to fold
    ensures=(Promise("endpoints, scale and bias of PABitConv are float32", _wide), ENDPOINTS_ASCEND),
    run=_run,
)
