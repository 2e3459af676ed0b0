"""PAUnpackWeight: bit-packed weight codes to real weights.

Algebra: weight k of output channel o has the code q_k (bit r in row r of W, see paconv.bits), the code a plane mask
m = weight_masks[q_k], and the mask a value

    w[o, k] = alpha[o, 0] + sum_{i=1..M} alpha[o, i] * bit_{i-1}(m)

summed in float64 and narrowed once. PA: masks one-hot, alpha[0] = 0, so w is 0 or exactly one alpha_i, and
ceil(log2(M+1)) bits a weight are enough.

It has no kernel of its own: its inputs are constants, so onnxruntime folds it at load. It is the weight of every
weights-only convolution, and part of PABitConv's function body.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.schema import Attribute, OpSchema, Tensor

__all__ = ["PA_UNPACK_WEIGHT", "WEIGHT_ATTRIBUTES", "WEIGHT_INPUTS"]

WEIGHT_INPUTS = (
    Tensor("W", TensorProto.UINT8, "(R, ceil(O*C/g*KH*KW / 8))", "bit-sliced weight codes, R bits each"),
    Tensor("alpha", TensorProto.FLOAT, "(1 or O, M+1)", "offset alpha_0, then the M scaling coefficients"),
)

WEIGHT_ATTRIBUTES = (
    Attribute("weight_shape", 4, "[O, C/g, KH, KW]"),
    Attribute("weight_masks", None, "plane mask of each weight code, bit i-1 for plane T_i"),
)

PA_UNPACK_WEIGHT = OpSchema(
    name="PAUnpackWeight",
    summary="Real weights from bit-packed codes: a table look-up of alpha by code.",
    source="paper eq. 15",
    inputs=WEIGHT_INPUTS,
    outputs=(Tensor("w", TensorProto.FLOAT, "(O, C/g, KH, KW)", "weights"),),
    attributes=WEIGHT_ATTRIBUTES,
    body="""
  shape = Constant <value_ints: ints = @weight_shape> ()
  masks = Constant <value_ints: ints = @weight_masks> ()
  powers = Constant <value_ints = [1, 2, 4, 8, 16, 32, 64, 128]> ()
  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
  two = Constant <value_ints = [2]> ()
  minus_one = Constant <value_ints = [-1]> ()
  far = Constant <value_ints = [9223372036854775807]> ()

  count = ReduceProd <keepdims = 1> (shape)
  w_dims = Shape (W)
  rows = Slice (w_dims, zero, one)
  bytes = Cast <to = 7> (W)
  bytes_column = Unsqueeze (bytes, two)
  bytes_shifted = Div (bytes_column, powers)
  bits_of_bytes = Mod (bytes_shifted, two)
  bits_shape = Concat <axis = 0> (rows, minus_one)
  padded_bits = Reshape (bits_of_bytes, bits_shape)
  bits = Slice (padded_bits, zero, count, one)
  row_powers = Slice (powers, zero, rows)
  row_column = Unsqueeze (row_powers, one)
  weighted_bits = Mul (bits, row_column)
  flat_codes = ReduceSum <keepdims = 0> (weighted_bits, zero)

  alpha_dims = Shape (alpha)
  alpha_width = Slice (alpha_dims, one, two)
  M = Sub (alpha_width, one)
  plane_powers = Slice (powers, zero, M)
  mask_column = Unsqueeze (masks, one)
  mask_shifted = Div (mask_column, plane_powers)
  mask_bits = Mod (mask_shifted, two)
  mask_doubles = Cast <to = 11> (mask_bits)
  mask_rows = Transpose <perm = [1, 0]> (mask_doubles)
  alpha_double = Cast <to = 11> (alpha)
  offset = Slice (alpha_double, zero, one, one)
  coefficients = Slice (alpha_double, one, far, one)
  sums = MatMul (coefficients, mask_rows)
  table_double = Add (sums, offset)
  table = Cast <to = 1> (table_double)

  out_channels = Slice (shape, zero, one)
  codes_shape = Concat <axis = 0> (out_channels, minus_one)
  codes = Reshape (flat_codes, codes_shape)
  code_count = Shape (masks)
  table_shape = Concat <axis = 0> (out_channels, code_count)
  tables = Expand (table, table_shape)
  flat = GatherElements <axis = 1> (tables, codes)
  w = Reshape (flat, shape)
""",
)
