"""Random PALevelConv nodes for the tests: a PABitConv case with levels for its input, and a finish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from paconv import ops
from paconv.reference import activation_levels
from tests.bit_conv_cases import Case, cases

OUTPUTS = {"Y": TensorProto.FLOAT, "L1": TensorProto.UINT8, "L2": TensorProto.UINT8}


@dataclass(frozen=True)
class LevelCase:
    """`case` gives the convolution; finish the constant inputs clip, v1, sign1, v2, sign2; residual R, or a single 0;
    wanted: the outputs that are there.
    """

    case: Case
    finish: dict[str, np.ndarray]
    residual: np.ndarray
    wanted: tuple[str, ...]

    @property
    def L(self) -> np.ndarray:
        """(B, H, W, C) uint8: the levels of the case's X."""
        levels = activation_levels(self.case.X, self.case.inputs["v"], self.case.inputs["sign"])
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


def make_level_case(case: Case, rng: np.random.Generator, out_shape, wanted=("Y", "L1", "L2"), residual=True):
    """A case whose finish clips some values and whose endpoints lie among them. out_shape: (B, O, OH, OW) of case."""
    batch, out, rows, columns = out_shape
    finish = {"clip": np.float32([(-np.inf, 0, -1)[rng.integers(3)], (np.inf, 3)[rng.integers(2)]])}
    for k in (1, 2):
        channels = (1, out)[rng.integers(2)]
        endpoints = 3 * rng.standard_normal((channels, int(rng.integers(1, 9))))
        finish[f"v{k}"] = np.sort(endpoints, axis=1).astype(np.float32)
        finish[f"sign{k}"] = rng.choice(np.array([-1, 1], np.int8), (1, out)[rng.integers(2)])
    R = np.zeros((1, 1, 1, 1), np.float32)
    if residual:
        R = rng.standard_normal((batch, rows, columns, out)).astype(np.float32)
    return LevelCase(case, finish, R, wanted)


@st.composite
def level_cases(draw, grids=(None,)) -> LevelCase:
    """Any PABitConv case, with any finish. grids: as for `cases`."""
    case = draw(cases(grids=grids))
    a = case.attributes
    shape = ops.pa_bit_conv.output_shape(case.X.shape, a["weight_shape"], a["strides"], a["pads"], a["dilations"])
    wanted = draw(st.sampled_from([("Y",), ("L1",), ("Y", "L1"), ("L1", "L2"), ("Y", "L1", "L2"), ("L2",)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return make_level_case(case, rng, shape, wanted, draw(st.booleans()))


def level_model(level_case: LevelCase, **changes) -> onnx.ModelProto:
    """A model of one PALevelConv that reads L and R. changes: attributes or constant inputs to replace."""
    case = level_case.case
    constants = {n: a for n, a in case.inputs.items() if n not in ("v", "sign")} | level_case.finish
    constants = {n: changes.get(n, a) for n, a in constants.items()}
    attributes = {n: changes.get(n, a) for n, a in case.attributes.items()} | {"names": ["s", "r", "y"]}
    names = [t.name for t in ops.PA_LEVEL_CONV.inputs]
    outputs = [name if name in level_case.wanted else "" for name in OUTPUTS]
    node = helper.make_node("PALevelConv", names, outputs, domain=ops.DOMAIN, name="the_conv", **attributes)
    free = ["B", "H", "W", "C"]
    return one_node(
        node,
        [("L", TensorProto.UINT8, free), ("R", TensorProto.FLOAT, [f"R{k}" for k in range(4)])],
        [(name, OUTPUTS[name], [f"{name}{k}" for k in range(4)]) for name in level_case.wanted],
        constants,
    )


def one_node(node, inputs, outputs, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """A model of one node of domain paconv, with its function. inputs, outputs: (name, type, shape)."""
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    ops.add_functions(model)
    return model
