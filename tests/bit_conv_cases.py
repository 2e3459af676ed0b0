"""Random PABitConv nodes for the tests: a case, its one-node model, and the derived tolerance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm, prod

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from paconv import bits, ops
from paconv.ops.pa_bit_conv import PA_BIT_CONV, PA_BIT_CONV_COUNTS
from paconv.reference import BitConvResult, pa_bit_conv

FLOAT_EPS = 2.0**-24


@dataclass(frozen=True)
class Case:
    """A PABitConv node's parameters and an input for it."""

    X: np.ndarray
    attributes: dict
    inputs: dict[str, np.ndarray]

    @property
    def terms(self) -> int:
        """Terms of the sum that makes one output, in the kernels and in the reference."""
        M, N = self.inputs["alpha"].shape[1] - 1, self.inputs["beta"].shape[0] - 1
        return M * N + N + prod(self.attributes["weight_shape"][2:]) + 1


def make_case(
    rng: np.random.Generator,
    *,
    M: int = 4,
    N: int = 5,
    batch: int = 1,
    group: int = 1,
    channels: int = 8,
    out: int = 8,
    kernel=(3, 3),
    strides=(1, 1),
    pads=(1, 1, 1, 1),
    dilations=(1, 1),
    size=(6, 6),
    per_channel: bool = True,
    offsets: bool = False,
    weight_coding: str = "one-hot",
    level_coding: str = "one-hot",
    special: bool = False,
    grid: tuple[int, int, int] | None = None,
) -> Case:
    """`channels` and `out` are per group. `special` puts endpoints, their neighbours, NaN and inf into X.

    grid: (A, least, B): coefficients are integers times units, weights' within -A..A, activations' within least..B; for
    binary codings the levels are. None: they are any real numbers.
    weight_coding: one-hot (level indexes) or binary (planes); level_coding: one-hot, binary or thermometer.
    """
    C, O = channels * group, out * group
    weight_masks = bits.one_hot_masks(M) if weight_coding == "one-hot" else bits.binary_masks(M)
    level_masks = {
        "one-hot": lambda: bits.one_hot_masks(N),
        "binary": lambda: bits.binary_masks(N),
        "thermometer": lambda: [(1 << level) - 1 for level in range(N + 1)],
    }[level_coding]()
    E = len(level_masks) - 1
    shape = [O, channels, *kernel]
    codes = rng.integers(0, len(weight_masks), shape, dtype=np.uint8)
    rows = C if per_channel else 1
    v = np.sort(rng.standard_normal((rows, E)).astype(np.float32), axis=1)
    if per_channel and C > 2:
        v[0], v[1, E // 2 :] = -np.inf, np.nan  # constant levels, as a batch norm of scale 0 leaves them
        v[1, : E // 2] = -np.inf
    X = rng.standard_normal((batch, C, *size)).astype(np.float32)
    if special and X.size:
        endpoints = np.broadcast_to(v, (C, E))[:, rng.integers(0, E)][None, :, None, None]
        endpoints = np.broadcast_to(np.where(np.isfinite(endpoints), endpoints, 0).astype(np.float32), X.shape)
        choice = rng.integers(0, 8, X.shape)
        values = [
            X,
            endpoints,
            np.nextafter(endpoints, np.float32(np.inf)),
            np.nextafter(endpoints, -np.float32(np.inf)),
        ]
        values += [np.float32(x) for x in (np.nan, np.inf, -np.inf, -0.0)]
        X = np.choose(choice, values).astype(np.float32)
    sign = rng.choice(np.array([-1, 1], np.int8), rows)
    if special:
        X = X * sign[None, :, None, None].astype(np.float32)
    alpha = rng.standard_normal((O if rng.random() < 0.3 else 1, M + 1)).astype(np.float32)
    beta = rng.standard_normal(N + 1).astype(np.float32)
    if grid is not None:
        A, least, B = grid
        weight_share, level_share = M + 1 if weight_coding == "binary" else 1 + offsets, 1 + offsets
        if level_coding != "one-hot":
            level_share = N + 1
        alpha = rng.integers(-(A // weight_share), A // weight_share + 1, alpha.shape)
        beta = rng.integers(-(-least // level_share), B // level_share + 1, beta.shape)
        alpha = (alpha * short_units(rng, (len(alpha), 1))).astype(np.float32)
        beta = (beta * short_units(rng, (1,))).astype(np.float32)
    if not offsets:
        alpha[:, 0] = beta[0] = 0
    attributes = {
        "weight_shape": shape,
        "weight_masks": weight_masks,
        "level_masks": level_masks,
        "strides": list(strides),
        "pads": list(pads),
        "dilations": list(dilations),
        "group": group,
        "version": ops.OPSET_VERSION,
    }
    inputs = {
        "W": bits.pack_codes(codes, bits.code_bits(len(weight_masks))),
        "alpha": alpha,
        "v": v,
        "sign": sign,
        "beta": beta,
        "scale": rng.standard_normal(O).astype(np.float32),
        "bias": rng.standard_normal(O).astype(np.float32),
    }
    return Case(X, attributes, inputs)


def short_units(rng: np.random.Generator, shape) -> np.ndarray:
    """Units of 12 significant bits, so that a product with an integer of a byte is a float32."""
    return rng.integers(2048, 4096, shape) * 2.0 ** rng.integers(-18, -8, shape)


@dataclass(frozen=True)
class CaseGrid:
    """A case's levels as the smallest integers times units.

    alpha: (1|O, M+1) and beta: (N+1,) integers; scale: (O,) float32, the units in it; most_weight: largest magnitude of
    a weight; least, largest: of the activations and 0; terms: the largest sum of the products that bit planes take a
    product of a weight and an activation as, each without its sign.
    """

    alpha: np.ndarray
    beta: np.ndarray
    scale: np.ndarray
    most_weight: int
    least: int
    largest: int
    terms: int

    @property
    def most(self) -> int:
        """The largest product of a weight and an activation."""
        return self.most_weight * max(self.largest, -self.least)


def grid_of(case: Case) -> CaseGrid | None:
    """The grid that a case's levels are on, None if there is none (see kernels/codes/choose_codes.py)."""
    alpha, beta = (case.inputs[name].astype(np.float64) for name in ("alpha", "beta"))
    if not (np.isfinite(alpha).all() and np.isfinite(beta).all()):
        return None
    alpha_units, beta_unit = np.array([largest_unit(row) for row in alpha]), largest_unit(beta)
    k, l = alpha / alpha_units[:, None], beta / beta_unit
    planes = {name: bits.mask_bits(case.attributes[name], n) for name, n in
              (("weight_masks", k.shape[1] - 1), ("level_masks", len(l) - 1))}  # fmt: skip
    weights, levels = k[:, :1] + k[:, 1:] @ planes["weight_masks"].T, l[0] + planes["level_masks"] @ l[1:]
    largest, least = max(levels.max(), 0), min(levels.min(), 0)
    if np.abs(weights).max() > 127 or least < -127 or largest > (255 if least == 0 else 127):
        return None
    weight_terms = (np.abs(k[:, :1]) + np.abs(k[:, 1:]) @ planes["weight_masks"].T).max()
    level_terms = (np.abs(l[0]) + planes["level_masks"] @ np.abs(l[1:])).max()
    scale = (case.inputs["scale"] * (alpha_units * beta_unit)).astype(np.float32)
    return CaseGrid(k, l, scale, int(np.abs(weights).max()), int(least), int(largest), int(weight_terms * level_terms))


def exact_output(case: Case) -> np.ndarray:
    """What any kernel gives for a case on a grid, bit for bit: fl(fl(scale * units * n) + bias), n exact integers."""
    grid, O = grid_of(case), len(case.inputs["scale"])
    integers = {"alpha": grid.alpha.astype(np.float32), "beta": grid.beta.astype(np.float32)}
    plain = case.inputs | integers | {"scale": np.ones(O, np.float32), "bias": np.zeros(O, np.float32)}
    n = pa_bit_conv(case.X, attributes=case.attributes, inputs=plain).Y
    assert (n == np.rint(n)).all()
    return grid.scale[:, None, None] * n.astype(np.float32) + case.inputs["bias"][:, None, None]


def window_of(case: Case) -> int:
    """Products in one output."""
    return prod(case.attributes["weight_shape"][1:])


def largest_unit(values: np.ndarray) -> float:
    """The largest number that all of `values` (n,) are integers times of; 1 for zeros."""
    ratios = [abs(Fraction(float(value))) for value in values if value]
    denominator = lcm(*(ratio.denominator for ratio in ratios))
    return float(Fraction(gcd(*(int(ratio * denominator) for ratio in ratios)), denominator)) if ratios else 1.0


@st.composite
def cases(draw, max_planes: int = 8, codings: bool = True, grids=(None,)) -> Case:
    """Random shapes, strides, pads, dilations, groups, M, N, signs, special inputs; sizes awkward on purpose."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = draw(st.tuples(*[st.integers(0, 3)] * 4))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = tuple(max(1, spans[a] - pads[a] - pads[a + 2]) + draw(st.integers(0, 9)) for a in range(2))
    level_coding = draw(st.sampled_from(["one-hot", "binary", "thermometer"] if codings else ["one-hot"]))
    N = draw(st.integers(1, 4 if level_coding == "binary" else max_planes))
    return make_case(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1))),
        M=draw(st.integers(1, max_planes)),
        N=N,
        batch=draw(st.integers(1, 2)),
        group=draw(st.sampled_from([1, 1, 2, 3])),
        channels=draw(st.sampled_from([1, 2, 5, 31, 32, 33, 64, 65])),
        out=draw(st.sampled_from([1, 3, 15, 16, 17, 33])),
        kernel=kernel,
        strides=draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        pads=pads,
        dilations=dilations,
        size=size,
        per_channel=draw(st.booleans()),
        offsets=codings and draw(st.booleans()),
        weight_coding=draw(st.sampled_from(["one-hot", "binary"] if codings else ["one-hot"])),
        level_coding=level_coding,
        special=draw(st.booleans()),
        grid=draw(st.sampled_from(grids)),
    )


GRIDS = ((1, 0, 1), (7, 0, 7), (15, 0, 31), (15, 0, 63), (63, 0, 63), (127, 0, 255), (15, -31, 31), (127, -127, 127))
"""(A, least, B): what kernels are tried on."""


def with_integer_levels(case: Case, rng: np.random.Generator, weights: int = 15, activations: int = 31) -> Case:
    """`case` with integers for alpha and beta: |alpha_i| <= weights, 0 <= beta_j <= activations, offsets up to 2."""
    alpha = rng.integers(-weights, weights + 1, case.inputs["alpha"].shape).astype(np.float32)
    beta = rng.integers(0, activations + 1, case.inputs["beta"].shape).astype(np.float32)
    alpha[:, 0], beta[0] = (a and rng.integers(-2, 3) for a in (case.inputs["alpha"][0, 0], case.inputs["beta"][0]))
    return replace(case, inputs=case.inputs | {"alpha": alpha, "beta": beta})


def with_digits(case: Case, rng: np.random.Generator, below: int) -> Case:
    """`case`, whose level coding is binary, with the levels -below .. 2^N - 1 - below times a unit, evenly spaced
    endpoints, and an X of these, of numbers next to them and of others.
    """
    v, beta = case.inputs["v"], case.inputs["beta"]
    rows, E = v.shape
    step, start = rng.uniform(0.1, 3, (rows, 1)), rng.standard_normal((rows, 1))
    v = (step * (np.arange(E) - below) + start).astype(np.float32)
    integers = np.array([-below, *(1 << j for j in range(len(beta) - 1))])
    shape, C = case.X.shape, case.X.shape[1]
    near = np.broadcast_to(v, (C, E))[np.arange(C)[:, None, None], rng.integers(0, E, shape)]
    near = (near.view(np.int32) + rng.integers(-1, 2, shape, np.int32)).view(np.float32)
    X = np.where(rng.random(shape) < 0.1, near, rng.uniform(v.min() - 1, v.max() + 1, shape).astype(np.float32))
    X *= np.broadcast_to(case.inputs["sign"], C)[:, None, None]
    inputs = case.inputs | {"v": v, "beta": (integers * short_units(rng, (1,))).astype(np.float32)}
    return replace(case, X=X.astype(np.float32), inputs=inputs)


def model_of(case: Case, counts: bool = False, **changes) -> onnx.ModelProto:
    """A model of one PABitConv (with its function body) or one PABitConvCounts.

    changes: attributes or inputs to replace, to make malformed nodes; an input replaced by None is fed, not constant.
    """
    op = PA_BIT_CONV_COUNTS if counts else PA_BIT_CONV
    attributes = {name: changes.get(name, value) for name, value in case.attributes.items()}
    attributes = {name: value for name, value in attributes.items() if value is not None}
    inputs = {name: changes.get(name, value) for name, value in case.inputs.items()}
    node = helper.make_node(
        op.name, ["X", *case.inputs], ["Y"], domain=ops.DOMAIN, name=changes.get("name", "the_conv"), **attributes
    )
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, changes.get("x_shape", ["B", "C", "H", "W"]))]
        + [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(case.inputs[n].dtype), case.inputs[n].shape
            )
            for n, value in inputs.items()
            if value is None
        ],
        [helper.make_tensor_value_info("Y", op.outputs[0].dtype, [f"d{k}" for k in range(6 if counts else 4)])],
        [numpy_helper.from_array(value, name) for name, value in inputs.items() if value is not None],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if counts:
        model.opset_import.append(helper.make_opsetid(ops.DOMAIN, ops.OPSET_VERSION))
    else:
        ops.add_functions(model)
    return model


def kernel_tolerance(case: Case, expected: BitConvResult) -> np.ndarray:
    """Bound of bit planes' rounding off the grid: gamma_{terms+5} * sum of the absolute terms (planes/scale.py)."""
    k = (case.terms + 5) * FLOAT_EPS
    return k / (1 - k) * expected.absolute_sum


def body_tolerance(case: Case, expected: BitConvResult) -> np.ndarray:
    """Bound of the function body's rounding in stock onnxruntime.

    Each weight and each activation is a sum of at most 9 floats (one rounding each: gamma_8 + gamma_8), the float
    convolution adds K = C/g*KH*KW products in any order (gamma_K), scale and bias round twice: gamma_{K+20} times the
    sum of the absolute values of everything added. That sum is largest when all coefficients of a level add up, so
    the levels' absolute coefficients are used, not the levels.
    """
    K = window_of(case)
    k = (K + 20) * FLOAT_EPS
    scale, bias = (np.abs(case.inputs[n].astype(np.float64)) for n in ("scale", "bias"))
    largest = np.abs(case.inputs["alpha"]).sum(1).max() * np.abs(case.inputs["beta"]).sum() * K
    bound = scale * largest + bias
    return k / (1 - k) * np.broadcast_to(bound[None, :, None, None], expected.Y.shape)
