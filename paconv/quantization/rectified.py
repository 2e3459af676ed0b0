"""Which tensors of a graph can't be negative, whatever the input.

One walk in topological order. What an op makes is

    never negative                        Relu, Sigmoid, Softmax, Abs, Exp, ..., Clip from 0 or above, x * x
    not negative if no operand is         Add, Mul, Div, Concat, AveragePool, Resize without overshoot, moves, ...
    not negative if any operand isn't     Max
    not negative if no level is           PAActivation
    otherwise unknown                     Conv, BatchNormalization, HardSwish of anything, ...

NaN aside, which an activation's quantizer takes for 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

from paconv.onnx_file.graph_view import GraphView, attribute, op_name
from paconv.ops import DOMAIN

__all__ = ["rectified_tensors"]

_NEVER_NEGATIVE = {
    "Abs", "Exp", "HardSigmoid", "ReduceL1", "ReduceL2", "ReduceSumSquare", "Relu", "Shape", "Sigmoid", "Size",
    "Softmax", "Softplus", "Sqrt",
}  # fmt: skip

_OF_NO_NEGATIVE = {
    "Add", "AveragePool", "Ceil", "Celu", "Concat", "Div", "Elu", "Floor", "Gelu", "GlobalAveragePool", "GlobalLpPool",
    "GlobalMaxPool", "HardSwish", "LRN", "LeakyRelu", "LpPool", "MaxPool", "Mean", "Min", "Mish", "Mod", "Mul", "PRelu",
    "Pow", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Round", "Selu", "Sum", "Swish", "Tanh",
}  # fmt: skip
"""Every operand counts: a sum of a positive and an unknown is unknown. Activations leave what isn't negative so."""

_MOVES = {
    "Cast", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity",
    "Reshape", "ReverseSequence", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Of these the first operand alone is data."""


def rectified_tensors(view: GraphView) -> set[str]:
    """Names of the tensors that are known not to be negative; constants among them."""
    found = {name for name, tensor in view.stored.items() if _not_negative(tensor)}
    for node in view.nodes:
        if op_name(node) != "Constant" and _keeps(view, node, found.__contains__):
            found.update(name for name in node.output if name)
    return found


def _keeps(view: GraphView, node: onnx.NodeProto, known: Callable[[str], bool]) -> bool:
    """Whether no result of `node` is negative."""
    op, inputs = op_name(node), [name for name in node.input if name]
    if op in _NEVER_NEGATIVE:
        return True
    if op == "Mul" and len(set(inputs)) == 1:
        return True
    if op in _OF_NO_NEGATIVE:
        return all(map(known, inputs[:1] if op.startswith("Reduce") or op == "PRelu" else inputs))
    if op in _MOVES:
        return known(inputs[0])
    if op == "Clip":
        low, high = (_input(view, node, index) for index in (1, 2))
        from_zero = low is not None and bool((low >= 0).all())
        return from_zero or (known(inputs[0]) and (high is None or bool((high >= 0).all())))
    if op == "Max":
        return any(map(known, inputs))
    if op == f"{DOMAIN}.PAActivation":
        return known(node.input[2])
    if op == "Where":
        return all(map(known, inputs[1:]))
    if op == "Pad":
        constant = attribute(node, "mode", b"constant") == b"constant"
        value = _input(view, node, 2)
        filled = (
            not constant or len(node.input) < 3 or not node.input[2] or (value is not None and bool((value >= 0).all()))
        )
        return known(inputs[0]) and filled
    if op == "Resize":
        return (
            known(inputs[0])
            and attribute(node, "mode", b"nearest") != b"cubic"
            and (attribute(node, "extrapolation_value", 0.0) >= 0)
        )
    if op == "ThresholdedRelu":
        return attribute(node, "alpha", 1.0) >= 0
    return False


def _input(view: GraphView, node: onnx.NodeProto, index: int) -> np.ndarray | None:
    """The constant that a node reads there; None for none, or for one that is computed."""
    if index >= len(node.input) or node.input[index] not in view.stored:
        return None
    return numpy_helper.to_array(view.stored[node.input[index]])


def _not_negative(tensor: onnx.TensorProto) -> bool:
    values = numpy_helper.to_array(tensor)
    return values.dtype.kind in "fiub" and bool((values >= 0).all())
