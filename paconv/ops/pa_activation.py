"""PAActivation: a step function of activations, as exported. For PA it is eqs. 10 and 17.

The level index of an activation x is the number of endpoints v_e <= x: pieces are right-open, [v_e, v_{e+1});
NaN has index 0. PA has E = N and the levels [0, beta_1 .. beta_N], one plane for each but 0.

Another scheme says of which planes its levels are sums, with `beta` and `level_masks`:

    levels[k] = beta[0] + sum_{j=1..N} beta[j] * bit_{j-1}(level_masks[k])     (float64, narrowed once)

The function itself reads only `levels`; the planes are what `paconv optimize` puts into PABitConv.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.schema import OpSchema, Tensor

__all__ = ["PA_ACTIVATION"]

PA_ACTIVATION = OpSchema(
    name="PAActivation",
    summary="A step function of activations: levels[#{e: v_e <= x}].",
    source="paper eqs. 10, 17",
    inputs=(
        Tensor("x", TensorProto.FLOAT, "any", "activations"),
        Tensor("v", TensorProto.FLOAT, "(E,)", "endpoints, ascending"),
        Tensor("levels", TensorProto.FLOAT, "(E+1,)", "values of the pieces; for PA 0 and the coefficients beta"),
        Tensor("beta", TensorProto.FLOAT, "(N+1,), may be left out", "offset beta_0, then N coefficients"),
        Tensor("level_masks", TensorProto.UINT8, "(E+1,), with beta", "plane mask of each level"),
    ),
    outputs=(Tensor("x_bar", TensorProto.FLOAT, "as x", "approximated activations"),),
    body="""
  last = Constant <value_ints = [-1]> ()
  column = Unsqueeze (x, last)
  reached = GreaterOrEqual (column, v)
  reached_int = Cast <to = 6> (reached)
  index = ReduceSum <keepdims = 0> (reached_int, last)
  x_bar = Gather (levels, index)
""",
)
