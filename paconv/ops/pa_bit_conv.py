"""PABitConv: a convolution of two sums of {0,1} planes (eq. 19), in the general form that every scheme lowers to.

Symbols, for output channel o, window position k = (c, kh, kw) and input x = X at that position (channel c):

    level[k]  = #{ e : sign_c * x >= v_{c,e} }          0..E; NaN reaches no endpoint; an endpoint NaN is never reached
    V_j[k]    = bit_{j-1}( level_masks[level[k]] )       j = 1..N   activation planes
    a[k]      = beta_0 + sum_j beta_j V_j[k]             inside the image;   a = 0 in the window padding
    T_i[o,k]  = bit_{i-1}( weight_masks[code[o,k]] )     i = 1..M   weight planes
    w[o,k]    = alpha_0 + sum_i alpha_i T_i[o,k]
    Y[o]      = scale_o * sum_k w[o,k] a[k] + bias_o

and the sum over k is taken with integers:

    sum_k w a = sum_ij alpha_i beta_j |T_i & V_j| + alpha_0 sum_j beta_j |V_j| + beta_0 sum_i alpha_i |T_i|_valid
                + alpha_0 beta_0 n_valid.

Cases: PA has alpha_0 = beta_0 = 0 and one-hot masks on both sides. A +-1 scheme has one plane a side, alpha = [-1, 2].
Evenly spaced levels have binary masks (8-bit activations are 8 planes, 255 endpoints).

The result is float32(float32(scale_o * sum) + bias_o). Where alpha and beta are small integers, the sum is exact
(paconv.ops.integer_levels), so that every kernel gives the same bits, and so does the function body where no sum
reaches 2**24. `paconv optimize` makes them integers wherever levels are multiples of a unit: the units go into scale,
and no divisor is left that is common to a row of alpha or to beta. In a file of others that has one, kernels take it
into scale, rounded, where it is no power of two.

Coefficients, scale and bias are finite, and their results within float32 (paconv.ops.values): other nodes are refused.

`sign` carries the direction of the comparison: batch norm with a negative scale turns a >= v into x <= t, which is
(-1) * x >= -t, exactly, in floating point.

The function body below computes the same in standard ops: it is what a stock onnxruntime runs, and the executable
definition of the op.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from onnx import TensorProto

from paconv.bits import MAX_PLANES, packed_bytes
from paconv.errors import OpError
from paconv.ops.pa_unpack_weight import WEIGHT_ATTRIBUTES, WEIGHT_INPUTS
from paconv.ops.schema import OPSET_VERSION, Attribute, OpSchema, Tensor
from paconv.ops.values import check_endpoints, check_finite, check_results

__all__ = [
    "CONVOLUTION_ATTRIBUTES",
    "CONVOLUTION_BODY",
    "FACTOR_INPUTS",
    "LEVEL_VALUES_BODY",
    "MAX_ENDPOINTS",
    "MAX_PAD",
    "MAX_WINDOW",
    "PA_BIT_CONV",
    "PA_BIT_CONV_COUNTS",
    "WEIGHT_BODY",
    "check_parameters",
    "output_shape",
]

MAX_ENDPOINTS = 255
"""A level index fits one byte."""

MAX_WINDOW = 1 << 24
"""Products in one window, C/g*KH*KW: float32 holds every count up to here exactly."""

MAX_PAD = (1 << 31) - 1
"""Largest window padding on one side."""

FACTOR_INPUTS = (
    Tensor("beta", TensorProto.FLOAT, "(N+1,)", "offset beta_0, then the N scaling coefficients"),
    Tensor("scale", TensorProto.FLOAT, "(O,)", "output scale"),
    Tensor("bias", TensorProto.FLOAT, "(O,)", "output bias"),
)

_PARAMETERS = (
    Tensor("X", TensorProto.FLOAT, "(B, C, H, W)", "activations before approximation"),
    *WEIGHT_INPUTS,
    Tensor("v", TensorProto.FLOAT, "(1 or C, E)", "endpoints per channel, ascending; NaN (last) is never reached"),
    Tensor("sign", TensorProto.INT8, "(1 or C,)", "+1 or -1: direction of the comparison"),
    *FACTOR_INPUTS,
)

CONVOLUTION_ATTRIBUTES = (
    *WEIGHT_ATTRIBUTES,
    Attribute("level_masks", None, "plane mask of each activation level 0..E, bit j-1 for plane V_j"),
    Attribute("strides", 2, "[vertical, horizontal], at least 1"),
    Attribute("pads", 4, "[top, left, bottom, right], at least 0; padded positions set no plane"),
    Attribute("dilations", 2, "[vertical, horizontal], at least 1"),
    Attribute("group", 1, "groups of the convolution"),
    Attribute("version", 1, "version of domain paconv that the node was written for; an older library refuses it"),
)

WEIGHT_BODY = """\
  w = paconv.PAUnpackWeight <weight_shape: ints = @weight_shape, weight_masks: ints = @weight_masks> (W, alpha)

  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
  last = Constant <value_ints = [-1]> ()
  far = Constant <value_ints = [9223372036854775807]> ()
  powers = Constant <value_ints = [1, 2, 4, 8, 16, 32, 64, 128]> ()
  channel_axes = Constant <value_ints = [0, 2, 3]> ()
"""
"""w, and constants of the rest."""

LEVEL_VALUES_BODY = """\
  masks = Constant <value_ints: ints = @level_masks> ()
  beta_width = Shape (beta)
  N = Sub (beta_width, one)
  plane_powers = Slice (powers, zero, N)
  mask_column = Unsqueeze (masks, one)
  mask_shifted = Div (mask_column, plane_powers)
  two = Constant <value_ints = [2]> ()
  mask_bits = Mod (mask_shifted, two)
  mask_doubles = Cast <to = 11> (mask_bits)
  beta_double = Cast <to = 11> (beta)
  beta_0 = Slice (beta_double, zero, one)
  coefficients = Slice (beta_double, one, far)
  sums = MatMul (mask_doubles, coefficients)
  level_doubles = Add (sums, beta_0)
  level_values = Cast <to = 1> (level_doubles)
"""
"""level_values (E+1,): the value of each activation level, summed in float64 and narrowed once."""

CONVOLUTION_BODY = """\
  conv = Conv <strides: ints = @strides, pads: ints = @pads, dilations: ints = @dilations, group: int = @group> (a, w)
  scale_nchw = Unsqueeze (scale, channel_axes)
  bias_nchw = Unsqueeze (bias, channel_axes)
  scaled = Mul (scale_nchw, conv)
"""
"""Activations a (B, C, H, W) to scaled (B, O, OH, OW) and bias_nchw, what is still to be added.

The constants of Mul and Add are their first operands. As second ones, onnxruntime would fold the scale into the weights
and the bias into Conv: other roundings, where integer levels have exact sums. A batch norm behind a Conv would be
folded as well.
"""

PA_BIT_CONV = OpSchema(
    name="PABitConv",
    summary="Convolution of piecewise-approximated weights and activations by AND and popcount.",
    source="paper eqs. 15-20",
    inputs=_PARAMETERS,
    outputs=(Tensor("Y", TensorProto.FLOAT, "(B, O, OH, OW)", "the convolution"),),
    attributes=CONVOLUTION_ATTRIBUTES,
    calls=("PAUnpackWeight",),
    body=f"""
{WEIGHT_BODY}  sign_float = Cast <to = 1> (sign)
  sign_nchw = Unsqueeze (sign_float, channel_axes)
  X_signed = Mul (X, sign_nchw)
  X_column = Unsqueeze (X_signed, last)
  v_nchw = Unsqueeze (v, channel_axes)
  reached = GreaterOrEqual (X_column, v_nchw)
  reached_int = Cast <to = 7> (reached)
  level = ReduceSum <keepdims = 0> (reached_int, last)

{LEVEL_VALUES_BODY}  a = Gather (level_values, level)

{CONVOLUTION_BODY}  Y = Add (bias_nchw, scaled)
""",
)

PA_BIT_CONV_COUNTS = OpSchema(
    name="PABitConvCounts",
    summary="The integer counts |T_i & V_j| inside PABitConv; a kernel of the library, for verification.",
    source="paper eq. 19",
    inputs=_PARAMETERS,
    outputs=(Tensor("counts", TensorProto.INT32, "(B, M, N, O, OH, OW)", "popcounts of the plane pairs"),),
    attributes=CONVOLUTION_ATTRIBUTES,
)


def output_shape(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, int, int, int]:
    """(B, O, OH, OW) of PABitConv on X of shape (B, C, H, W). Raises OpError if the window doesn't fit."""
    batch, _, *size = x_shape
    out, _, *kernel = weight_shape
    spatial = []
    for axis in range(2):
        window = dilations[axis] * (kernel[axis] - 1) + 1
        padded = size[axis] + pads[axis] + pads[axis + 2]
        if padded < window:
            raise OpError(
                f"the dilated window needs {window} {('rows', 'columns')[axis]}, the padded image has {padded}"
            )
        spatial.append((padded - window) // strides[axis] + 1)
    return batch, out, spatial[0], spatial[1]


def check_parameters(attributes: dict, inputs: dict[str, np.ndarray], where: str = "PABitConv") -> None:
    """Check a node's attributes and constant inputs against the op's definition.

    attributes: name -> list of ints, `group` -> int; inputs: name -> array for every input but X.
    Raises OpError naming `where`, what was expected and what was found. The C shim makes the same checks.
    """

    def need(condition: bool, expected: str, found) -> None:
        if not condition:
            raise OpError(f"{where}: expected {expected}; found {found}")

    missing = [a.name for a in CONVOLUTION_ATTRIBUTES if a.name not in attributes]
    need(not missing, f"attributes {', '.join(a.name for a in CONVOLUTION_ATTRIBUTES)}", f"no {', '.join(missing)}")
    for attribute in CONVOLUTION_ATTRIBUTES:
        if attribute.length and attribute.length > 1:
            found = attributes[attribute.name]
            need(len(found) == attribute.length, f"{attribute.length} integers in {attribute.name}", list(found))
    version = attributes["version"]
    need(1 <= version <= OPSET_VERSION, f"a node of version 1..{OPSET_VERSION} (update paconv for newer ones)", version)
    shape, group = attributes["weight_shape"], attributes["group"]
    need(min(shape) >= 1, "weight_shape [O, C/g, KH, KW], all at least 1", list(shape))
    need(prod(shape[1:]) <= MAX_WINDOW, f"C/g*KH*KW at most {MAX_WINDOW}", prod(shape[1:]))
    need(group >= 1 and shape[0] % group == 0, f"a group that divides O={shape[0]}", group)
    need(min(attributes["strides"]) >= 1, "strides of at least 1", list(attributes["strides"]))
    need(min(attributes["dilations"]) >= 1, "dilations of at least 1", list(attributes["dilations"]))
    pads = attributes["pads"]
    need(min(pads) >= 0 and max(pads) <= MAX_PAD, f"pads within 0..{MAX_PAD}", list(pads))

    for tensor in _PARAMETERS[1:]:
        found = inputs[tensor.name].dtype
        want = {TensorProto.FLOAT: np.float32, TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8}[tensor.dtype]  # type: ignore[index]
        need(found == want, f"{tensor.name} as {np.dtype(want).name}", found.name)
    W, alpha, v, sign = inputs["W"], inputs["alpha"], inputs["v"], inputs["sign"]
    beta, scale, bias = inputs["beta"], inputs["scale"], inputs["bias"]
    out, channels = shape[0], shape[1] * group
    need(alpha.ndim == 2 and alpha.shape[0] in (1, out), f"alpha of shape (1 or {out}, M+1)", alpha.shape)
    need(2 <= alpha.shape[1] <= MAX_PLANES + 1, f"M in 1..{MAX_PLANES}", alpha.shape[1] - 1)
    need(beta.ndim == 1 and 2 <= beta.shape[0] <= MAX_PLANES + 1, f"N in 1..{MAX_PLANES}, beta (N+1,)", beta.shape)
    need(v.ndim == 2 and v.shape[0] in (1, channels), f"v of shape (1 or {channels}, E)", v.shape)
    need(1 <= v.shape[1] <= MAX_ENDPOINTS, f"E in 1..{MAX_ENDPOINTS}", v.shape[1])
    need(sign.shape in ((1,), (channels,)), f"sign of shape (1,) or ({channels},)", sign.shape)
    need(bool((np.abs(sign.astype(np.int16)) == 1).all()), "sign +1 or -1", sorted(set(sign.tolist())))
    need(scale.shape == (out,) and bias.shape == (out,), f"scale and bias of shape ({out},)", (scale.shape, bias.shape))
    check_endpoints(where, "v", v)
    check_finite(where, alpha=alpha, beta=beta, scale=scale, bias=bias)
    check_results(where, alpha, beta, scale, bias, prod(shape[1:]))
    for name, planes in (("weight_masks", alpha.shape[1] - 1), ("level_masks", beta.shape[0] - 1)):
        masks = attributes[name]
        need(0 <= min(masks, default=-1) and max(masks) < 1 << planes, f"{name} within 0..{(1 << planes) - 1}", masks)
    need(
        len(attributes["level_masks"]) == v.shape[1] + 1,
        f"{v.shape[1] + 1} level_masks (E+1)",
        len(attributes["level_masks"]),
    )
    codes, rows = len(attributes["weight_masks"]), W.shape[0] if W.ndim else 0
    width = packed_bytes(prod(shape))
    need(W.ndim == 2 and 1 <= rows <= MAX_PLANES and W.shape[1] == width, f"W of shape (R, {width})", W.shape)
    need(codes <= 1 << rows, f"at most {1 << rows} weight_masks for {rows} bits a weight", codes)
