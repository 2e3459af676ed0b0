"""PAWeight: the piecewise approximation of a weight tensor (eqs. 6, 7 and 15), as exported.

Piece k of a weight w is the number of endpoints u_i < w: pieces are left-open, (u_k, u_{k+1}]. `levels` holds the
M+1 values in the order of the pieces, [alpha_1 .. alpha_z, 0, alpha_{z+1} .. alpha_M] with z = M/2.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.schema import OpSchema, Tensor

__all__ = ["PA_WEIGHT"]

PA_WEIGHT = OpSchema(
    name="PAWeight",
    summary="Piecewise approximation of weights: levels[#{i: u_i < W}].",
    source="paper eqs. 6, 7, 15",
    inputs=(
        Tensor("W", TensorProto.FLOAT, "(O, C/g, KH, KW)", "full-precision weights"),
        Tensor("u", TensorProto.FLOAT, "(M,)", "endpoints, ascending"),
        Tensor("levels", TensorProto.FLOAT, "(M+1,)", "scaling coefficients alpha with 0 for the middle piece"),
    ),
    outputs=(Tensor("W_bar", TensorProto.FLOAT, "(O, C/g, KH, KW)", "approximated weights"),),
    body="""
  last = Constant <value_ints = [-1]> ()
  column = Unsqueeze (W, last)
  above = Greater (column, u)
  above_int = Cast <to = 7> (above)
  piece = ReduceSum <keepdims = 0> (above_int, last)
  W_bar = Gather (levels, piece)
""",
)
