"""PAActivation: the piecewise approximation of activations (eqs. 10 and 17), as exported.

The level index of an activation x is the number of endpoints v_j <= x: pieces are right-open, [v_j, v_{j+1});
NaN has index 0. `levels` is [0, beta_1 .. beta_N].
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.schema import OpSchema, Tensor

__all__ = ["PA_ACTIVATION"]

PA_ACTIVATION = OpSchema(
    name="PAActivation",
    summary="Piecewise approximation of activations: levels[#{j: v_j <= x}].",
    source="paper eqs. 10, 17",
    inputs=(
        Tensor("x", TensorProto.FLOAT, "any", "activations"),
        Tensor("v", TensorProto.FLOAT, "(N,)", "endpoints, ascending"),
        Tensor("levels", TensorProto.FLOAT, "(N+1,)", "0 and the scaling coefficients beta"),
    ),
    outputs=(Tensor("x_bar", TensorProto.FLOAT, "as x", "approximated activations"),),
    body="""
  last = Constant <value_ints = [-1]> ()
  column = Unsqueeze (x, last)
  reached = GreaterOrEqual (column, v)
  reached_int = Cast <to = 7> (reached)
  index = ReduceSum <keepdims = 0> (reached_int, last)
  x_bar = Gather (levels, index)
""",
)
