"""A graph that is run from one convolution to the next."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from paconv.quantization.segments import cut
from tests.quantization.networks import images, residual_network


def run_in_segments(model: onnx.ModelProto, convs: list[str], inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    pieces = cut(model, convs)
    tensors = dict(inputs)
    tensors |= pieces.runner(pieces.segments[0], (), {}, tensors)(tensors)
    for number, conv in enumerate(pieces.convs, 1):
        tensors |= pieces.runner(pieces.segments[number], (conv,), {}, tensors)(tensors)
        tensors = {name: value for name, value in tensors.items() if pieces.last_use.get(name, -1) > number}
    return tensors


@pytest.mark.parametrize("convs", [["c", "e", "h", "s", "m"], ["c"], ["s", "m"], ["a", "m"], []])
def test_segments_give_what_the_whole_gives(convs):
    model, x = residual_network(), images(4)
    wanted = ort.InferenceSession(model.SerializeToString()).run(None, {"image": x})[0]
    found = run_in_segments(model, convs, {"image": x})
    # the same nodes, but onnxruntime fuses others: some roundings of sums of 72 products
    assert found["scores"] == pytest.approx(wanted, abs=1e-4)


def test_only_what_a_later_segment_reads_is_given():
    pieces = cut(residual_network(), ["c", "e", "h", "s", "m"])
    assert [segment.gives for segment in pieces.segments] == [["b"], ["p"], ["g"], ["h"], ["l"], ["scores"]]


def test_tensors_that_a_subgraph_reads_from_outside_are_kept():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 1, 2, 2] x, bool choice) => (float[1, 1, 2, 2] y)
        <float[1, 1, 1, 1] w = {2}> {
          early = Neg (x)
          c = Conv (x, w)
          y = If (choice) <
            then_branch = one () => (float[1, 1, 2, 2] p) { p = Add (early, c) },
            else_branch = two () => (float[1, 1, 2, 2] q) { q = Identity (c) }
          >
        }
    """)
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    assert cut(model, ["c"]).segments[0].gives == ["early"]
    for choice, wanted in ((True, x), (False, 2 * x)):
        found = run_in_segments(model, ["c"], {"x": x, "choice": np.array(choice)})
        assert np.array_equal(found["y"], wanted)


def test_sizes_that_an_earlier_segment_computes_are_read_by_a_later_one():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[b, 1, h, w] x) => (float[b, 1, p, q] y)
        <float[1, 1, 1, 1] weight = {3}, int64[1] zero = {0}, int64[1] two = {2}, int64[1] four = {4}> {
          s = Shape (x)
          front = Slice (s, zero, two)
          rest = Slice (s, two, four)
          double = Add (rest, rest)
          c = Conv (x, weight)
          sizes = Concat <axis = 0> (front, double)
          y = Resize <mode = "nearest"> (c, , , sizes)
        }
    """)
    x = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    found = run_in_segments(model, ["c"], {"x": x})
    assert np.array_equal(found["y"], 3 * x.repeat(2, 2).repeat(2, 3))
