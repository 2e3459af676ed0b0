"""Detections inside the ONNX file: decoding, softmax and NonMaxSuppression behind an exported or optimized SSD.

What `paconv.models.ssd.detect` does, in standard ops, so that serving needs no torch, with two differences: all boxes
above the least score are candidates, not the best 400 of a class; and the limit of detections is one for each class.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper, parser
from torch import Tensor

from paconv.errors import ModelError
from paconv.models.ssd.boxes import VARIANCES

__all__ = ["with_detections"]

_GRAPH = f"""
detections (float[batch, priors, 4] locations, float[batch, priors, classes] confidences)
    => (float[batch, priors, 4] boxes, float[batch, classes, priors] scores, int64[n, 3] selected)
    <float offset = {{{VARIANCES[0]}}}, float scale = {{{VARIANCES[1]}}}, float half = {{0.5}}, float zero = {{0}},
     float one = {{1}}, int64[2] both = {{2, 2}}, int64[1] first = {{1}}, int64[1] last = {{{2**31 - 1}}},
     int64[1] axis = {{1}}, int64[3] background = {{0, 1, 0}}>
{{
    shift, stretch = Split <axis = 2> (locations, both)
    center, size = Split <axis = 1> (priors_as_centers, both)
    scaled_shift = Mul(shift, offset)
    moved = Mul(scaled_shift, size)
    middle = Add(moved, center)
    scaled_stretch = Mul(stretch, scale)
    factor = Exp(scaled_stretch)
    sides = Mul(factor, size)
    halves = Mul(sides, half)
    low = Sub(middle, halves)
    high = Add(middle, halves)
    corners = Concat <axis = 2> (low, high)
    boxes = Clip(corners, zero, one)
    probabilities = Softmax <axis = 2> (confidences)
    scores = Transpose <perm = [0, 2, 1]> (probabilities)
    objects = Slice(scores, first, last, axis)
    found = NonMaxSuppression(boxes, objects, per_class, overlap, min_score)
    selected = Add(found, background)
}}
"""


def with_detections(
    model: onnx.ModelProto, priors: Tensor, *, min_score: float = 0.01, overlap: float = 0.45, per_class: int = 200
) -> onnx.ModelProto:
    """An SSD that gives detections: in the place of its outputs locations and confidences it has three others.

    detections/boxes      (B, P, 4) float32: corners, relative to the image and within it
    detections/scores     (B, classes + 1, P) float32, the background first
    detections/selected   (n, 3) int64: image, class from 1, and prior of each detection, class by class, best first

    Args:
        model: The exported network.
        priors: (P, 4), as centers.
        min_score: As for `detect`.
        overlap: As for `detect`.
        per_class: Detections of one class in one image at most.

    Raises:
        ModelError: The model's outputs aren't those of an SSD with these priors.
    """
    outputs = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in model.graph.output]
    if [shape[1:2] for shape in outputs] != [[len(priors)]] * 2 or outputs[0][2:] != [4]:
        raise ModelError(
            f"expected the outputs locations (batch, {len(priors)}, 4) and confidences (batch, {len(priors)}, "
            f"classes + 1); found {', '.join(o.name for o in model.graph.output)} of shapes {outputs}"
        )
    graph = parser.parse_graph(_GRAPH)
    graph.initializer.append(numpy_helper.from_array(priors.float().cpu().numpy(), "priors_as_centers"))
    for name, kind, value in (
        ("min_score", TensorProto.FLOAT, min_score),
        ("overlap", TensorProto.FLOAT, overlap),
        ("per_class", TensorProto.INT64, per_class),
    ):
        graph.initializer.append(helper.make_tensor(name, kind, [], [value]))
    behind = helper.make_model(
        graph,
        opset_imports=[o for o in model.opset_import if o.domain in ("", "ai.onnx")],
        ir_version=model.ir_version,
    )
    behind = onnx.compose.add_prefix(behind, "detections/")
    names = [o.name for o in model.graph.output]
    inputs = [i.name for i in behind.graph.input]
    return onnx.compose.merge_models(model, behind, list(zip(names, inputs, strict=True)))
