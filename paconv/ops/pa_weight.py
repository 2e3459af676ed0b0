"""PAWeight: a step function of a weight tensor, as exported. For PA it is eqs. 6, 7 and 15.

Piece k of a weight w is the number of its endpoints u_i < w: pieces are left-open, (u_k, u_{k+1}]; `levels` holds the
values of the E+1 pieces. PA has E = M and the levels [alpha_1 .. alpha_z, 0, alpha_{z+1} .. alpha_M], z = M/2: one
plane for each piece but the one of level 0.

Another scheme says of which planes its levels are sums, with `alpha` and `weight_masks`:

    levels[r, k] = alpha[r, 0] + sum_{i=1..M} alpha[r, i] * bit_{i-1}(weight_masks[r, k])     (float64, narrowed once)

where row r is the output channel, or the whole tensor has one row. The function itself reads only `levels`; the planes
are what `paconv optimize` packs.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.schema import OpSchema, Tensor

__all__ = ["PA_WEIGHT"]

PA_WEIGHT = OpSchema(
    name="PAWeight",
    summary="A step function of weights: levels[#{i: u_i < W}].",
    source="paper eqs. 6, 7, 15",
    inputs=(
        Tensor("W", TensorProto.FLOAT, "(O, C/g, KH, KW)", "full-precision weights"),
        Tensor("u", TensorProto.FLOAT, "(E,) or (1 or O, 1, 1, 1, E)", "endpoints, ascending"),
        Tensor("levels", TensorProto.FLOAT, "(E+1,) or (1 or O, 1, 1, 1, E+1)", "values of the pieces"),
        Tensor("alpha", TensorProto.FLOAT, "(1 or O, M+1), may be left out", "offset alpha_0, then M coefficients"),
        Tensor("weight_masks", TensorProto.UINT8, "(1 or O, E+1), with alpha", "plane mask of each piece"),
    ),
    outputs=(Tensor("W_bar", TensorProto.FLOAT, "(O, C/g, KH, KW)", "approximated weights"),),
    body="""
  last = Constant <value_ints = [-1]> ()
  column = Unsqueeze (W, last)
  above = Greater (column, u)
  above_int = Cast <to = 6> (above)
  piece = ReduceSum <keepdims = 1> (above_int, last)
  shape = Shape (column)
  tables = Expand (levels, shape)
  picked = GatherElements <axis = -1> (tables, piece)
  W_bar = Squeeze (picked, last)
""",
)
