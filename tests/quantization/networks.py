"""Small float networks in ONNX, with weights drawn at random."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["images", "residual_network"]

_GRAPH = """
<ir_version: 8, opset_import: ["" : 18]>
network (float[batch, 3, 12, 12] image) => (float[batch, 5] scores) {
  a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, stem_w, stem_b)
  b = Relu (a)
  c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (b, one_w)
  n = BatchNormalization (c, scale, shift, mean, var)
  d = Relu (n)
  p = Pad (d, amounts)
  e = Conv <kernel_shape = [3, 3]> (p, two_w, two_b)
  f = Add (e, b)
  g = %ACTIVATION% (f)
  h = Conv <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER"> (g, down_w, down_b)
  s = Conv <kernel_shape = [1, 1], strides = [2, 2]> (g, cut_w)
  i = Add (h, s)
  j = Relu (i)
  k = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 16> (j, depth_w)
  l = Relu (k)
  m = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 2> (l, group_w, group_b)
  o = Relu (m)
  q = GlobalAveragePool (o)
  r = Flatten (q)
  scores = Gemm <transB = 1> (r, head_w, head_b)
}
"""

_WEIGHTS = {
    "stem_w": (8, 3, 3, 3), "one_w": (8, 8, 3, 3), "two_w": (8, 8, 3, 3), "down_w": (16, 8, 3, 3),
    "cut_w": (16, 8, 1, 1), "depth_w": (16, 1, 3, 3), "group_w": (24, 8, 3, 3), "head_w": (5, 24),
}  # fmt: skip
_NAMES = {"a": "stem", "c": "one", "e": "two", "h": "down", "s": "cut", "k": "depth", "m": "group", "scores": "head"}


def residual_network(seed: int = 0, activation: str = "Relu") -> onnx.ModelProto:
    """A residual block with a Pad of its own and a batch norm, a block of stride 2 with a shortcut, a depthwise and a
    grouped convolution, a linear head. activation: the op behind the first block's addition.
    """
    r = np.random.default_rng(seed)
    model = onnx.parser.parse_model(_GRAPH.replace("%ACTIVATION%", activation))
    values = {name: r.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])) for name, shape in _WEIGHTS.items()}
    values |= {name.replace("_w", "_b"): 0.1 * r.standard_normal(len(values[name])) for name in list(values)}
    values |= {"scale": r.uniform(0.5, 2, 8), "shift": r.standard_normal(8) / 4}
    values |= {"mean": r.standard_normal(8) / 4, "var": r.uniform(0.5, 2, 8)}
    constants = {name: value.astype(np.float32) for name, value in values.items()}
    constants["amounts"] = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items() if n in read)
    for node in model.graph.node:
        node.name = _NAMES.get(node.output[0], f"{node.op_type}_{node.output[0]}")
    return model


def images(count: int, seed: int = 0) -> np.ndarray:
    """(count, 3, 12, 12) float32: blobs and noise."""
    r = np.random.default_rng(seed)
    coarse = r.standard_normal((count, 3, 4, 4)).repeat(3, 2).repeat(3, 3)
    return (coarse + 0.3 * r.standard_normal((count, 3, 12, 12))).astype(np.float32)
