"""Real convolutions that took in a batch norm, or constants, of the reference.

    y = s (W * X + b) + t    in float64, W and b of the reference's Conv, s and t of what follows it there

The reference's Y and the optimized model's, each on the reference's X, may be off by their own rounding:

    reference    as far as paconv.verification.bounds lets the chain be, from gamma_{K+1} (|W| * |X| + |b|) on
    optimized    gamma_{K+2} (|s| |W| * |X| + |s b| + |t|): K products and the bias are added, the weights and the bias
                 rounded once; among the subnormal numbers h for each product and for the bias, h |x| for each weight
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from paconv.errors import VerifyError
from paconv.reference import convolve
from paconv.verification.bounds import TINY, Bounded, folded, gamma, through
from paconv.verification.layers import first
from paconv.verification.model import OpenModel

__all__ = ["FoldedConv", "folded_convs"]


@dataclass(frozen=True)
class FoldedConv:
    """A Conv of the optimized model, and the one of the reference that it was made from."""

    node: onnx.NodeProto
    """The optimized model's."""
    conv: onnx.NodeProto
    """The reference's."""

    @property
    def X(self) -> str:
        return self.node.input[0]

    @property
    def Y(self) -> str:
        return self.node.output[0]

    def difference(self, reference: OpenModel, values: dict[str, np.ndarray], found: np.ndarray) -> str | None:
        """What is wrong with `found`, the node's result on the reference's X, in words. values: the reference's."""
        W, bias, attributes = _parameters(self.conv, self.node, reference)
        X, Y, K = values[self.X], values[self.Y], prod(W.shape[1:])
        if found.shape != Y.shape:
            return f"tensor '{self.Y}': shape {found.shape} instead of {Y.shape}"
        path = reference.path(self.conv.output[0], self.Y)
        exact, absolute = convolve(X, W, attributes), convolve(np.abs(X), np.abs(W), attributes)
        y = Bounded(exact + bias, gamma(K + 1) * (absolute + np.abs(bias)) + TINY * K)
        for node, source in path:
            y = through(node, y, reference.constants, source)
        after = folded(path, bias, reference.constants)
        seen = convolve(np.abs(X), np.ones_like(W), attributes)
        bound = gamma(K + 2) * (np.abs(after.slope) * absolute + after.size) + TINY * (K + seen + 1)
        for who, tensor, within in (("reference", Y, y.error), ("optimized model", found, bound)):
            wrong = ~(np.abs(tensor - y.value) <= within) & ~np.asarray(y.lost)
            if wrong.any():
                at = first(wrong)
                return (
                    f"tensor '{self.Y}': {int(wrong.sum())} values of the {who} are beyond their bound, first at {at}: "
                    f"{tensor[at]} instead of {y.value[at]} +- {np.broadcast_to(within, Y.shape)[at]:.3g}"
                )
        return None


def folded_convs(reference: OpenModel, optimized: OpenModel) -> list[FoldedConv]:
    """Real Convs of the optimized model whose result another node makes in the reference: it was folded into them."""
    found = []
    for node in optimized.model.graph.node:
        maker = reference.producer.get(node.output[0]) if node.op_type == "Conv" else None
        while maker is not None and maker.op_type != "Conv":
            computed = [name for name in maker.input if name in reference.producer and name not in reference.constants]
            maker = reference.producer[computed[0]] if len(computed) == 1 else None
        if maker is not None and maker.output[0] != node.output[0]:
            found.append(FoldedConv(node, maker))
    return found


def _parameters(
    conv: onnx.NodeProto, node: onnx.NodeProto, reference: OpenModel
) -> tuple[np.ndarray, np.ndarray, dict]:
    """W and bias (1, O or 1, 1, 1) of the reference's Conv, and the geometry that paconv.passes.fold.fold_depthwise
    states.
    """
    names = [name for name in conv.input[1:] if name]
    stated = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if not {*names} <= reference.constants.keys() or not {"strides", "pads", "dilations", "group"} <= stated.keys():
        raise VerifyError(
            f"Conv '{node.name}': expected constant weights and bias in {reference.label}, and strides, pads and "
            "dilations stated; found none"
        )
    W, *bias = (reference.constants[name] for name in names)
    b = bias[0].astype(np.float64) if bias else np.zeros(1)
    return W, b.reshape(1, -1, 1, 1), stated | {"weight_shape": list(W.shape)}
