"""PALevelConv: PABitConv between level tensors, with what follows the convolution taken into it.

Symbols as in paconv.ops.pa_bit_conv; L[b, h, w, c] is the level of the activation at channel c (see PALevels), so
V_j = bit_{j-1}(level_masks[L]) and a[k] follow without a comparison. For output channel o

    S = scale_o * sum_k w[o,k] a[k] + bias_o             PABitConv's result, rounded to float32
    Y = min(max(S + R, low), high)                       residual R, or the single number 0; clip = [low, high]
    L1 = #{ e : sign1_o * Y >= v1_{o,e} },  L2 with v2 and sign2

each step rounded to float32, so that Y has the bits that PABitConv, Add and Relu (low = 0) or Clip give one after the
other. Outputs that no one reads are left out (an empty name), and then neither computed nor stored: between two
convolutions there is a byte an activation. v1 or v2 of an output that is left out is a single NaN.

`names` are the tensors of the graph before fusion: S, S + R and Y, "" for those that are the same as the one before.
They carry the way back (paconv.passes.fuse.unfuse), for verification, cost and reading.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.pa_bit_conv import (
    CONVOLUTION_ATTRIBUTES,
    CONVOLUTION_BODY,
    FACTOR_INPUTS,
    LEVEL_VALUES_BODY,
    WEIGHT_BODY,
)
from paconv.ops.pa_levels import LEVELS_BODY
from paconv.ops.pa_unpack_weight import WEIGHT_INPUTS
from paconv.ops.schema import Attribute, OpSchema, Tensor

__all__ = ["FINISH_BODY", "FINISH_INPUTS", "FINISH_OUTPUTS", "NAMES_ATTRIBUTE", "PA_LEVEL_CONV", "RESIDUAL_INPUT"]


def _endpoints(k: int) -> tuple[Tensor, Tensor]:
    return (
        Tensor(f"v{k}", TensorProto.FLOAT, "(1 or O, E)", f"endpoints of L{k}, ascending; NaN (last) is never reached"),
        Tensor(f"sign{k}", TensorProto.INT8, "(1 or O,)", f"+1 or -1: direction of L{k}'s comparison"),
    )


RESIDUAL_INPUT = Tensor(
    "R", TensorProto.FLOAT, "(B, OH, OW, O) or (1, 1, 1, 1)", "residual, channel-last; or a single 0"
)

FINISH_INPUTS = (
    Tensor("clip", TensorProto.FLOAT, "(2,)", "least and largest Y; -inf and +inf where there is no bound"),
    *_endpoints(1),
    *_endpoints(2),
)

FINISH_OUTPUTS = (
    Tensor("Y", TensorProto.FLOAT, "(B, OH, OW, O)", "the result, channel-last"),
    Tensor("L1", TensorProto.UINT8, "(B, OH, OW, O)", "its level indexes for one reader"),
    Tensor("L2", TensorProto.UINT8, "(B, OH, OW, O)", "and for another"),
)

NAMES_ATTRIBUTE = Attribute("names", 3, "tensors before fusion: convolution, with residual, clipped", strings=True)

FINISH_BODY = f"""\
  with_residual = Add (S, R)
  low = Slice (clip, zero, one)
  high = Slice (clip, one, far)
  above = Max (with_residual, low)
  Y = Min (above, high)
{LEVELS_BODY.format(k=1, x="Y")}{LEVELS_BODY.format(k=2, x="Y")}"""
"""S (B, OH, OW, O) to Y, L1 and L2."""

PA_LEVEL_CONV = OpSchema(
    name="PALevelConv",
    summary="PABitConv from level indexes to level indexes: residual, clip and the next comparison in its finish.",
    source="paper eqs. 10, 15-20",
    inputs=(
        Tensor("L", TensorProto.UINT8, "(B, H, W, C)", "level indexes, 0..E"),
        RESIDUAL_INPUT,
        *WEIGHT_INPUTS,
        *FACTOR_INPUTS,
        *FINISH_INPUTS,
    ),
    outputs=FINISH_OUTPUTS,
    attributes=(*CONVOLUTION_ATTRIBUTES, NAMES_ATTRIBUTE),
    calls=("PAUnpackWeight",),
    body=f"""
{WEIGHT_BODY}
{LEVEL_VALUES_BODY}  index = Cast <to = 7> (L)
  a_last = Gather (level_values, index)
  a = Transpose <perm = [0, 3, 1, 2]> (a_last)

{CONVOLUTION_BODY}  convolved = Add (bias_nchw, scaled)
  S = Transpose <perm = [0, 2, 3, 1]> (convolved)
{FINISH_BODY}""",
)
