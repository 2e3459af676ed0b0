"""What a report says of the demo's net: counted again from the exported model, in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import paconv
from paconv.cost.summary import summary
from paconv.errors import ModelError, UsageError
from paconv.model_report.analysis import analyse
from paconv.model_report.render import html
from paconv.model_report.verdict import answers
from paconv.onnx_file.loading import load_model
from paconv.reference import pa_activation, pa_weight
from tests.passes.fuse.test_squeeze import gated, reference

QUANTIZED = [
    "block1.conv1", "block1.conv2", "block2.downsample", "block2.conv1", "block2.conv2", "block3.downsample",
    "block3.conv1", "block3.conv2",
]  # fmt: skip


def constants(path) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in load_model(path).graph.initializer}


def named(report) -> dict:
    return {layer.name: layer for layer in report.layers}


def test_every_layer_is_there_and_the_quantized_ones_have_their_planes(alone):
    assert sorted(named(alone)) == sorted(["conv", *QUANTIZED, "fc"])
    assert {name for name, layer in named(alone).items() if layer.planes == (4, 5)} == {*QUANTIZED}


def test_shares_of_weight_levels_are_those_of_the_exported_weights(alone, sample):
    stored = constants(sample / "model.onnx")
    for name in QUANTIZED:
        W, u, levels = (stored[f"{name}.{k}"] for k in ("weight", "weight_quantizer.u", "weight_quantizer.levels"))
        quantized = pa_weight(W, u, levels)
        want = [(quantized == level).mean() for level in levels]
        np.testing.assert_allclose([s.share for s in named(alone)[name].weights.levels], want, rtol=0, atol=1e-12)


def test_the_error_of_weights_is_that_of_the_exported_ones(full, sample):
    stored = constants(sample / "model.onnx")
    name = "block2.conv1"
    W, u, levels = (stored[f"{name}.{k}"] for k in ("weight", "weight_quantizer.u", "weight_quantizer.levels"))
    want = ((W.astype(np.float64) - pa_weight(W, u, levels)) ** 2).sum() / (W.astype(np.float64) ** 2).sum()
    weights = named(full)[name].weights
    assert weights.error == pytest.approx(want, rel=1e-6)  # levels here in float64, there in float32
    assert weights.distribution.endpoints == tuple(map(float, u))
    assert weights.distribution.levels == tuple(map(float, levels))
    assert sum(weights.distribution.counts) == W.size


def test_activations_are_those_that_the_exported_model_quantizes(full, sample, digits):
    stored = constants(sample / "model.onnx")
    model = onnx.load(sample / "model.onnx")
    model.graph.output.append(onnx.ValueInfoProto(name="block2.act2:0"))
    x = ort.InferenceSession(model.SerializeToString()).run(["block2.act2:0"], {"input": digits})[0].astype(np.float64)
    node = next(n for n in model.graph.node if n.name == "block2.conv2.activation")
    v, levels = (stored[name] for name in node.input[1:3])
    want = ((x - pa_activation(x, v, levels)) ** 2).sum() / (x * x).sum()
    activations = named(full)["block2.conv2"].activations
    assert activations.error == pytest.approx(want, rel=1e-6)  # float32 of both ways
    assert activations.distribution.endpoints == tuple(map(float, v))
    assert sum(level.share for level in activations.levels) == pytest.approx(1, abs=1e-12)
    counted = [((x >= low) & (x < high)).mean() for low, high in zip([-np.inf, *v], [*v, np.inf], strict=True)]
    # Folded endpoints may decide otherwise where an activation lies on one up to rounding.
    np.testing.assert_allclose([level.share for level in activations.levels], counted, rtol=0, atol=2 / x.size)


def test_what_stayed_real_has_a_reason_of_its_own(alone):
    reasons = {layer.name: layer.real_reason for layer in alone.layers if layer.real}
    assert set(reasons) == {"conv", "fc"}
    assert "No other layer stands before it" in reasons["conv"]
    assert "An output is reached from it" in reasons["fc"]


def test_links_say_what_a_layer_does_beside_its_sum(alone):
    assert "adds the residual" in named(alone)["block1.conv2"].folded
    assert "compares its result with the endpoints of two layers" not in named(alone)["block1.conv1"].folded
    assert named(alone)["fc"].folded == ()


def test_without_measuring_nothing_is_measured_and_the_verdict_says_so(alone):
    assert alone.measurement is None and not alone.measured
    assert all(layer.measured is None for layer in alone.layers)
    speed = answers(alone)[0]
    assert speed.answer.startswith("Probably") and "Nothing was measured" in speed.text


def test_a_measured_report_has_both_networks_and_names_the_machine(full):
    assert full.measurement.seconds > 0 and full.measurement.float_seconds > 0
    assert "one thread" in full.measurement.machine and "onnxruntime" in full.measurement.machine
    assert answers(full)[0].text.startswith("Measured, whole calls: ")


def test_the_verdict_names_the_layer_whose_time_is_largest(alone):
    costliest = max(alone.layers, key=lambda layer: layer.predicted)
    assert answers(alone)[2].layer == (costliest.id, costliest.name)


def test_shares_say_what_they_are_of_where_only_whole_calls_could_be_measured(full):
    measured = replace(full.measurement, seconds=24e-6, float_seconds=26e-6, busy=False)
    layers = tuple(replace(layer, by_measured=False) for layer in full.layers)
    totals = replace(full.totals, predicted=14e-6, float_predicted=21e-6, nodes_measured=None)
    found = replace(full, measurement=measured, layers=layers, totals=totals)
    speed, _, costliest, real, *_ = (answer.text for answer in answers(found))
    assert answers(found)[0].answer == "Yes, 1.08× faster" and "1.08x as fast as float, measured" in repr(found)  # noqa: RUF001
    assert "Measured, whole calls: 24 µs, float 26 µs." in speed
    assert "Predicted, the sum of single nodes: 14 µs, float 21 µs, 1.50× faster." in speed  # noqa: RUF001
    assert costliest.startswith("Predicted, as the nodes are too short for a profile: ")
    assert "of all nodes' 14 µs" in costliest and real.endswith("of all nodes' time, predicted.")
    page = " ".join(html(found).split())
    assert "shares are of the 14 µs of all nodes" in page and "of a call</th>" not in page
    assert "A whole call, measured, takes 24 µs, in float 26 µs." in page


def test_on_a_busy_machine_the_verdict_is_still_that_of_the_whole_calls(full):
    measured = replace(full.measurement, seconds=2e-3, float_seconds=4e-3, busy=True)
    totals = replace(full.totals, nodes_measured=3e-3, float_nodes_measured=2e-3)
    speed = answers(replace(full, measurement=measured, totals=totals))[0]
    assert speed.answer == "Probably 2.0× faster" and "measure again when it is quiet" in speed.text  # noqa: RUF001


def test_the_parameters_are_as_large_as_the_summary_says(alone, sample):
    packed = summary(sample / "pa.onnx").line().partition("; ")[2].rpartition("; ")[2]
    assert packed == "33.7 kB packed, 310 kB in float"
    assert "33.7 kB packed" in html(alone) and "33.7 kB packed, and 310 kB in float" in answers(alone)[1].text


def test_a_report_is_a_line_at_a_prompt_and_a_table_in_a_notebook(alone):
    assert repr(alone).startswith("Report(pa.onnx: ") and len(repr(alone)) < 200
    html = alone._repr_html_()
    assert all(layer.name in html for layer in alone.layers)


def test_what_is_missing_is_asked_for(alone, full):
    layer = named(alone)["block1.conv1"]
    assert "--reference" in layer.weights.missing and "--inputs" in layer.activations.missing
    assert layer.activations.distribution is None and all(s.share is None for s in layer.activations.levels)
    assert not named(full)["block1.conv1"].weights.missing


def test_a_float_network_has_no_report(sample):
    with pytest.raises(ModelError, match=r"expected a packed model; found no PABitConv"):
        analyse(sample / "model.onnx", seconds=None)


def test_a_packed_reference_is_refused(sample):
    with pytest.raises(UsageError, match="expected a float network or an exported"):
        analyse(sample / "pa.onnx", reference=sample / "pa.onnx", seconds=None)


def test_a_reference_of_another_network_is_refused(sample, tmp_path):
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,8,8] x) => (float[N,4,6,6] y) { y = Conv(x, w) }'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w"))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UsageError, match="is it the right reference"):
        analyse(sample / "pa.onnx", reference=tmp_path / "other.onnx", seconds=None)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((2, 3, 8, 8)), r"^inputs: expected 'input' of .*; found in 'mine' float32 of shape \[2, 3, 8, 8\]$"),
        (np.zeros((8, 8)), r"found in 'mine' float32 of shape \[8, 8\]$"),
        (np.zeros((0, 1, 8, 8)), "at least one"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(sample, array, says):
    with pytest.raises(UsageError, match=says):
        analyse(sample / "pa.onnx", inputs={"mine": array.astype(np.float32)}, seconds=None)


def test_8_bits_are_there_to_be_measured(sample):
    with pytest.raises(UsageError, match="leave out --no-measure"):
        analyse(sample / "pa.onnx", seconds=None, int8=True)


def test_a_depthwise_convolution_of_a_chain_is_said_to_run_by_paconv_and_compared_with_floats(tmp_path):
    packed = paconv.optimize(reference(gated())).model
    onnx.save(packed, tmp_path / "pa.onnx")
    found = named(analyse(tmp_path / "pa.onnx", seconds=None))
    assert found["dw"].kernel == "paconv's float depthwise convolution, channel-last as its neighbours are"
    assert (
        found["dw"].real and found["dw"].gain is not None and "Depthwise convolutions stay" in found["dw"].real_reason
    )
    assert sum(layer.kernel == "onnxruntime's float convolution" for layer in found.values()) == 2  # the gate's
