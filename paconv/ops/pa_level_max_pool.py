"""PALevelMaxPool: max pooling of level indexes.

Levels ascend with the activation where sign = +1, so the level of the largest activation of a window is the largest
level: PALevels(MaxPool(X)) = PALevelMaxPool(PALevels(X)), exactly. Padding is level 0, the least.
"""

from __future__ import annotations

from onnx import TensorProto

from paconv.ops.pa_levels import VERSION_ATTRIBUTE
from paconv.ops.schema import Attribute, OpSchema, Tensor

__all__ = ["PA_LEVEL_MAX_POOL"]

PA_LEVEL_MAX_POOL = OpSchema(
    name="PALevelMaxPool",
    summary="Max pooling of level indexes, channel-last.",
    source="architecture: max pooling commutes with PA's monotone steps",
    inputs=(Tensor("L", TensorProto.UINT8, "(B, H, W, C)", "level indexes"),),
    outputs=(Tensor("P", TensorProto.UINT8, "(B, OH, OW, C)", "the largest level of each window"),),
    attributes=(
        Attribute("kernel_shape", 2, "[vertical, horizontal], at least 1"),
        Attribute("strides", 2, "[vertical, horizontal], at least 1"),
        Attribute("pads", 4, "[top, left, bottom, right], at least 0, smaller than the window"),
        Attribute("names", 1, "the tensor before fusion: the pooled activations", strings=True),
        VERSION_ATTRIBUTE,
    ),
    body="""
  first = Transpose <perm = [0, 3, 1, 2]> (L)
  pooled = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads> (first)
  P = Transpose <perm = [0, 2, 3, 1]> (pooled)
""",
)
