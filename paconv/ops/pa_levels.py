"""PALevels: activations to level indexes, one byte each, channel-last.

Symbols, for a value x = X[b, h, w, c]:

    L[b, h, w, c] = #{ e : sign_c * x >= v_{c,e} }          0..E; NaN reaches no endpoint

the level of paconv.ops.pa_bit_conv. A level says what every scheme's planes and codes are made from, so whoever makes
it need not know how the reader computes. Channel-last, the 16 channels of a vector lie side by side.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.schema import Attribute, OpSchema, Tensor

__all__ = ["LEVELS_BODY", "PA_LEVELS", "VERSION_ATTRIBUTE"]

VERSION_ATTRIBUTE = Attribute(
    "version", 1, "version of domain paconv that the node was written for; an older library refuses it"
)

LEVELS_BODY = """\
  sign{k}_float = Cast <to = 1> (sign{k})
  signed{k} = Mul ({x}, sign{k}_float)
  column{k} = Unsqueeze (signed{k}, last)
  reached{k} = GreaterOrEqual (column{k}, v{k})
  reached{k}_int = Cast <to = 7> (reached{k})
  level{k} = ReduceSum <keepdims = 0> (reached{k}_int, last)
  L{k} = Cast <to = 2> (level{k})
"""
"""x (B, H, W, C) by v<k> and sign<k> to L<k>; `last` is [-1]. To be formatted with k and x."""

PA_LEVELS = OpSchema(
    name="PALevels",
    summary="Level indexes of activations, channel-last.",
    source="paper eq. 10",
    inputs=(
        Tensor("X", TensorProto.FLOAT, "(B, H, W, C)", "activations before approximation, channel-last"),
        Tensor("v", TensorProto.FLOAT, "(1 or C, E)", "endpoints per channel, ascending; NaN (last) is never reached"),
        Tensor("sign", TensorProto.INT8, "(1 or C,)", "+1 or -1: direction of the comparison"),
    ),
    outputs=(Tensor("L", TensorProto.UINT8, "(B, H, W, C)", "level indexes 0..E"),),
    attributes=(VERSION_ATTRIBUTE,),
    body="\n  last = Constant <value_ints = [-1]> ()\n" + LEVELS_BODY.format(k="", x="X"),
)
