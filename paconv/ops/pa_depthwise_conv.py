"""PADepthwiseConv: a real depthwise convolution, channel-last, that ends in levels as PALevelConv does.

Symbols, for channel c and the pixel (h, w) of the output; (i, j) = (h SH - PT + kh DH, w SW - PL + kw DW) is where the
window's position (kh, kw) lies in the image:

    S = bias_c + sum_(kh,kw) W[c, 0, kh, kw] * X[i, j, c]                 over the positions inside the image
    Y = min(max(S + R, low), high),  L1 and L2                            as in paconv.ops.pa_level_conv

The sum is float32 in a fixed order: it starts from the bias, and goes through the rows kh and in each through the
columns kw, upwards; each product is rounded, then each sum. So there is one result, bit for bit, in every kernel and in
the function body. A Conv of onnxruntime adds in an order of its own and may fuse products and sums, by kind of CPU; it
differs by rounding.

Weights and bias are finite: other nodes are refused. `names` as in PALevelConv.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.pa_level_conv import FINISH_BODY, FINISH_INPUTS, FINISH_OUTPUTS, NAMES_ATTRIBUTE, RESIDUAL_INPUT
from paconv.ops.pa_levels import VERSION_ATTRIBUTE
from paconv.ops.schema import Attribute, OpSchema, Tensor

__all__ = ["PA_DEPTHWISE_CONV"]

PA_DEPTHWISE_CONV = OpSchema(
    name="PADepthwiseConv",
    summary="Real depthwise convolution, channel-last: residual, clip and the next comparison in its finish.",
    source="architecture: depthwise convolutions stay real",
    inputs=(
        Tensor("X", TensorProto.FLOAT, "(B, H, W, C)", "activations, channel-last"),
        RESIDUAL_INPUT,
        Tensor("W", TensorProto.FLOAT, "(C, 1, KH, KW)", "real weights, one window a channel: O = C"),
        Tensor("bias", TensorProto.FLOAT, "(C,) or (1,)", "bias; or a single 0"),
        *FINISH_INPUTS,
    ),
    outputs=FINISH_OUTPUTS,
    attributes=(
        Attribute("strides", 2, "[vertical, horizontal], at least 1"),
        Attribute("pads", 4, "[top, left, bottom, right], at least 0"),
        Attribute("dilations", 2, "[vertical, horizontal], at least 1"),
        VERSION_ATTRIBUTE,
        NAMES_ATTRIBUTE,
    ),
    body=f"""
  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
  two = Constant <value_ints = [2]> ()
  three = Constant <value_ints = [3]> ()
  last = Constant <value_ints = [-1]> ()
  far = Constant <value_ints = [9223372036854775807]> ()
  spatial = Constant <value_ints = [1, 2]> ()
  pads = Constant <value_ints: ints = @pads> ()
  strides = Constant <value_ints: ints = @strides> ()
  dilations = Constant <value_ints: ints = @dilations> ()

  before = Slice (pads, zero, two)
  after = Slice (pads, two, far)
  all_pads = Concat <axis = 0> (zero, before, zero, zero, after, zero)
  padded = Pad (X, all_pads)
  padded_shape = Shape (padded)
  weight_shape = Shape (W)
  kernel = Slice (weight_shape, two, far)
  kernel_less_one = Sub (kernel, one)
  reach = Mul (dilations, kernel_less_one)
  size = Slice (padded_shape, one, three)
  size_less_one = Sub (size, one)
  way = Sub (size_less_one, reach)
  steps = Div (way, strides)
  out_size = Add (steps, one)
  stepped = Mul (steps, strides)
  extent = Add (stepped, one)
  batch = Slice (padded_shape, zero, one)
  channels = Slice (padded_shape, three, far)
  out_shape = Concat <axis = 0> (batch, out_size, channels)
  start = Expand (bias, out_shape)
  W_taps_first = Transpose <perm = [2, 3, 1, 0]> (W)
  taps = Flatten <axis = 3> (W_taps_first)
  tap_count = ReduceProd <keepdims = 0> (kernel)
  kernel_columns = Slice (kernel, one, far)
  S = Loop <body = add_tap (int64 tap, bool go, float[b,oh,ow,c] sum) => (bool go_on, float[b,oh,ow,c] next) {{
    go_on = Identity (go)
    kh = Div (tap, kernel_columns)
    kw = Mod (tap, kernel_columns)
    position = Concat <axis = 0> (kh, kw)
    first = Mul (position, dilations)
    end = Add (first, extent)
    seen = Slice (padded, first, end, spatial, strides)
    weight = Gather (taps, tap)
    product = Mul (weight, seen)
    next = Add (sum, product)
  }}> (tap_count, , start)
{FINISH_BODY}""",
)
