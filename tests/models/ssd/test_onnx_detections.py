"""Detections in the ONNX file are those of `detect`."""

from __future__ import annotations

import onnx
import onnxruntime as ort
import pytest
import torch

from paconv.errors import ModelError
from paconv.models.ssd import SSD300_MAPS, detect, prior_boxes, with_detections

PRIORS = prior_boxes(SSD300_MAPS[3:])
"""190 boxes."""


def raw_outputs(classes: int) -> onnx.ModelProto:
    """A model of which the outputs of an SSD are the inputs."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 18]>
        raw (float[b,{len(PRIORS)},4] x, float[b,{len(PRIORS)},{classes}] z)
            => (float[b,{len(PRIORS)},4] locations, float[b,{len(PRIORS)},{classes}] boxes)
        {{ locations = Identity(x) boxes = Identity(z) }}"""
    )


def test_onnxruntime_finds_what_the_python_function_finds():
    generator = torch.Generator().manual_seed(0)
    locations = torch.randn(3, len(PRIORS), 4, generator=generator)
    confidences = 2 * torch.randn(3, len(PRIORS), 5, generator=generator)
    model = with_detections(raw_outputs(5), PRIORS, min_score=0.05)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["detections/boxes", "detections/scores", "detections/selected"]
    boxes, scores, selected = session.run(None, {"x": locations.numpy(), "z": confidences.numpy()})
    expected = detect(locations, confidences, PRIORS, min_score=0.05, per_image=10_000)
    assert sum(len(image.scores) for image in expected) == len(selected) > 100
    for image, want in enumerate(expected):
        mine = selected[selected[:, 0] == image]
        found = {(label, round(float(scores[image, label, prior]), 5)) for _, label, prior in mine}
        assert found == {(int(label), round(float(s), 5)) for label, s in zip(want.labels, want.scores, strict=True)}
        order = scores[image, mine[:, 1], mine[:, 2]].argsort()[::-1]
        # a few float32 operations apart, exp among them, on values below about 10
        assert abs(boxes[image, mine[order, 2]] - want.boxes.numpy()).max() <= 10 * 2.0**-20


def test_a_model_that_is_no_ssd_is_refused():
    with pytest.raises(ModelError, match=r"outputs locations \(batch, 8732, 4\) .*; found locations, boxes"):
        with_detections(raw_outputs(5), prior_boxes())
