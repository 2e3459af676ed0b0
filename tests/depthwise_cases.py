"""Random PADepthwiseConv nodes for the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from paconv import ops
from paconv.reference import finish_level_conv, pa_depthwise_conv
from tests.level_conv_cases import OUTPUTS, one_node

GEOMETRY = ("strides", "pads", "dilations")


@dataclass(frozen=True)
class DepthwiseCase:
    """X (B, H, W, C) and the residual R; constants: W, bias and those of the finish; geometry: strides, pads and
    dilations; wanted: the outputs that are there.
    """

    X: np.ndarray
    R: np.ndarray
    constants: dict[str, np.ndarray]
    geometry: dict[str, list[int]]
    wanted: tuple[str, ...]

    @property
    def sums(self) -> np.ndarray:
        """S of the reference."""
        return pa_depthwise_conv(self.X, self.constants["W"], self.constants["bias"], **self.geometry)

    @property
    def expected(self) -> dict[str, np.ndarray]:
        """The wanted outputs."""
        found = finish_level_conv(self.sums, self.R, self.constants)
        return {name: found[name] for name in self.wanted}


def make_depthwise_case(
    rng: np.random.Generator, channels=40, size=(6, 7), kernel=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1),
    dilations=(1, 1), batch=2, wanted=("Y", "L1", "L2"), residual=True,
) -> DepthwiseCase:  # fmt: skip
    """A case whose finish clips some values and whose endpoints lie among them."""
    W = rng.standard_normal((channels, 1, *kernel)).astype(np.float32)
    bias = rng.standard_normal(channels).astype(np.float32) if rng.integers(2) else np.zeros(1, np.float32)
    constants = {"W": W, "bias": bias}
    constants["clip"] = np.float32([(-np.inf, 0, -1)[rng.integers(3)], (np.inf, 3)[rng.integers(2)]])
    for k in (1, 2):
        rows = (1, channels)[rng.integers(2)]
        constants[f"v{k}"] = np.sort(3 * rng.standard_normal((rows, int(rng.integers(1, 9)))), axis=1).astype("f")
        constants[f"sign{k}"] = rng.choice(np.array([-1, 1], np.int8), (1, channels)[rng.integers(2)])
    geometry = dict(zip(GEOMETRY, map(list, (strides, pads, dilations)), strict=True))
    X = rng.standard_normal((batch, *size, channels)).astype(np.float32)
    shape = pa_depthwise_conv(X, W, bias, **geometry).shape
    R = rng.standard_normal(shape).astype(np.float32) if residual else np.zeros((1, 1, 1, 1), np.float32)
    return DepthwiseCase(X, R, constants, geometry, wanted)


@st.composite
def depthwise_cases(draw) -> DepthwiseCase:
    """Any sizes: fewer channels than a vector and some more, windows that lie in the padding, one pixel."""
    kernel, dilations = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (5, 3))
    pads = draw(st.tuples(*[st.integers(0, 5)] * 4))
    least = [max(1, dilations[k] * (kernel[k] - 1) + 1 - pads[k] - pads[k + 2]) for k in range(2)]
    size = [least[0] + draw(st.integers(0, 6)), least[1] + draw(st.sampled_from([0, 1, 5, 13, 40, 70]))]
    return make_depthwise_case(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        draw(st.sampled_from([1, 3, 15, 16, 17, 33, 58, 144])), size, kernel,
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), pads, dilations, draw(st.integers(1, 2)),
        draw(st.sampled_from([("Y",), ("L1",), ("Y", "L2"), ("L1", "L2"), ("Y", "L1", "L2")])), draw(st.booleans()),
    )  # fmt: skip


def depthwise_model(case: DepthwiseCase, **changes) -> onnx.ModelProto:
    """A model of one PADepthwiseConv that reads X and R. changes: attributes or constant inputs to replace."""
    constants = {n: changes.get(n, a) for n, a in case.constants.items()}
    attributes = {n: changes.get(n, a) for n, a in (case.geometry | {"version": 1, "names": ["s", "r", "y"]}).items()}
    names = [t.name for t in ops.PA_DEPTHWISE_CONV.inputs]
    outputs = [name if name in case.wanted else "" for name in OUTPUTS]
    node = helper.make_node("PADepthwiseConv", names, outputs, domain=ops.DOMAIN, name="the_conv", **attributes)
    return one_node(
        node,
        [("X", TensorProto.FLOAT, ["B", "H", "W", "C"]), ("R", TensorProto.FLOAT, [f"R{k}" for k in range(4)])],
        [(name, OUTPUTS[name], [f"{name}{k}" for k in range(4)]) for name in case.wanted],
        constants,
    )
