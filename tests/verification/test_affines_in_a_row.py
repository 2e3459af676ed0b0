"""Chains of batch norms and constants before, behind and beside a convolution: optimize composes them, verify agrees.

Parameters have any size that float32 has, subnormal numbers and such as overflow among them.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import paconv
from paconv.ops import add_functions

SIZES = [1, 1, 1, 1e-3, 1e3, 1e-10, 1e-20, 1e-38, 1e-42, 1e-45, 1e20, 0]


class Chain:
    """Nodes in the making."""

    def __init__(self, rng: np.random.Generator, sizes: list[float]):
        self.rng, self.sizes = rng, sizes
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), f"k{len(self.constants)}"))
        return self.constants[-1].name

    def numbers(self, shape) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return (self.rng.standard_normal(shape) * self.rng.choice(self.sizes, shape)).astype(np.float32)

    def node(self, op: str, inputs: list[str], output: str = "", **attributes) -> str:
        output = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def affine(self, x: str, channels: int) -> str:
        op = str(self.rng.choice(["BatchNormalization", "BatchNormalization", "Mul", "Add", "Sub", "Div", "Relu"]))
        if op == "Relu":
            return self.node(op, [x])
        if op == "BatchNormalization":
            gamma, beta, mean, var = (self.numbers(channels) for _ in range(4))
            names = [self.constant(each) for each in (gamma, beta, mean, np.abs(var))]
            return self.node(op, [x, *names], epsilon=float(self.rng.choice([1e-5, 1e-12])))
        k = self.numbers([(1, channels, 1, 1), (channels, 1, 1), (1,), ()][self.rng.integers(4)])
        inputs = [x, self.constant(np.where(k == 0, np.float32(1), k) if op == "Div" else k)]
        return self.node(op, inputs[:: 1 if op == "Div" or self.rng.integers(2) else -1])


def network(seed: int) -> tuple[onnx.ModelProto, np.ndarray]:
    rng = np.random.default_rng(seed)
    chain = Chain(rng, SIZES if seed % 2 else [1.0])
    C, O, x = 3, 4, "x"
    for _ in range(rng.integers(1, 5)):
        x = chain.affine(x, C)
    beside = [x] if seed % 3 == 0 else []
    with np.errstate(under="ignore"):
        v = np.sort((rng.standard_normal(3) * rng.choice([1, 1e-20, 1e-42])).astype(np.float32))
    levels = [0, *np.sort(np.abs(rng.standard_normal(3)))] if rng.integers(2) else np.arange(4) * np.float32(0.37)
    a = chain.node("PAActivation", [x, chain.constant(v), chain.constant(levels)], domain="paconv")
    weight = [chain.constant(each) for each in (rng.standard_normal((O, C, 3, 3)), [-0.5, 0.5], [-0.7, 0, 0.6])]
    w = chain.node("PAWeight", weight, domain="paconv")
    y = chain.node("Conv", [a, w, chain.constant(chain.numbers(O))], pads=[1, 1, 1, 1])
    for _ in range(rng.integers(1, 4)):
        y = chain.affine(y, O)
    graph = helper.make_graph(
        chain.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", C, 5, 5])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (y, *beside)], chain.constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    model.opset_import.append(helper.make_opsetid("paconv", 1))
    add_functions(model)
    with np.errstate(under="ignore"):
        return model, (rng.standard_normal((2, C, 5, 5)) * rng.choice([1, 1e-3, 1e-40, 1e3])).astype(np.float32)


@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "canonical"])
@pytest.mark.parametrize("seed", [*range(8), 55, 94, 96, 105, 153, 162, 169])
def test_verify_accepts_what_optimize_made_of_any_chain(seed, fuse):
    model, x = network(seed)
    result = paconv.verify(model, paconv.optimize(model, fuse=fuse).model, {"x": x})
    assert result.ok, result.first_difference


def test_an_endpoint_moved_by_one_float_is_found_behind_a_chain():
    model, x = network(0)
    optimized = paconv.optimize(model, fuse=False).model
    (conv,) = [node for node in optimized.graph.node if node.op_type == "PABitConv"]
    (v,) = [tensor for tensor in optimized.graph.initializer if tensor.name == conv.input[3]]
    moved = np.nextafter(numpy_helper.to_array(v), np.float32(np.inf))
    v.CopyFrom(numpy_helper.from_array(moved, v.name))
    assert "decisions" in str(paconv.verify(model, optimized, {"x": x}).first_difference)
