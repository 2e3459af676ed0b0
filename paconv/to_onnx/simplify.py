"""From the exporter's graph to the canonical one: layers as torch has them, constants folded, nothing computed twice.

The exporter's own `optimize` is not used: it fuses batch norm into Conv and merges equal parameters of different
layers, so that neither layers nor parameters would be those of the torch model any more.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules.common import materialize_reshape_shape_rule

__all__ = ["canonicalize"]


def canonicalize(model: ir.Model, parameters: set[str]) -> None:
    """Simplify `model` in place. parameters: names of the torch model's parameters and buffers, which stay untouched.

    Quantizers that read the same tensor with the same endpoints and levels become one node.
    """
    passes.CommonSubexpressionEliminationPass()(model)
    fold_constants_ir(model, onnx_shape_inference=True)
    RewritePass([materialize_reshape_shape_rule])(model)
    for node in model.graph:
        _drop_zero_bias(node, parameters)
    passes.RemoveUnusedNodesPass()(model)
    passes.IdentityEliminationPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    inputs = [(value, value.name) for value in model.graph.inputs]
    passes.OutputFixPass()(model)  # an input that is an output as well gets an Identity between, and another name
    for value, name in inputs:
        value.name = name
    passes.RemoveUnusedOpsetsPass()(model)


def _drop_zero_bias(node: ir.Node, parameters: set[str]) -> None:
    """Remove the zeros that the exporter gives a Conv without bias. A bias that is a parameter stays, zeros or not."""
    if node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 3:
        return
    bias = node.inputs[2]
    if bias is None or bias.name in parameters:
        return
    value = ir.convenience.get_const_tensor(bias)
    if value is not None and not np.any(value.numpy()):
        node.resize_inputs(2)
