"""paconv.optimize as a whole: files, reports, doing nothing twice, and refusing what it should."""

import json

import numpy as np
import onnx
import pytest

import paconv
from paconv.errors import ModelError, PaconvError
from paconv.passes.graph.reasons import REASONS
from tests.passes.graphs import batch_norm, image, model, ops, pa_constants, run
from tests.passes.promises import promises_kept  # noqa: F401 - for all tests of this file
from tests.passes.resnets import pa_resnet

FOUR = {"gamma": [1, -2, 0.5, 4], "beta": [0.5, 0.25, 0.75, -1], "mean": [0, 1, 3, -0.5], "var": [1, 4, 0.25, 16]}
TWO_CONVS = """
  ["stem"] s = Conv <pads = [1, 1, 1, 1]> (x, stem_W)
  sn = BatchNormalization <epsilon = 0.0> (s, n_gamma, n_beta, n_mean, n_var)
  sr = Relu (sn)
  q1 = paconv.PAActivation (sr, v, levels)
  W1 = paconv.PAWeight (W, u, alpha)
  ["conv1"] c1 = Conv <pads = [1, 1, 1, 1]> (q1, W1)
  n1 = BatchNormalization <epsilon = 0.0> (c1, n_gamma, n_beta, n_mean, n_var)
  r1 = Relu (n1)
  q2 = paconv.PAActivation (r1, v, levels)
  W2 = paconv.PAWeight (W, u, alpha)
  ["conv2"] c2 = Conv <pads = [1, 1, 1, 1]> (q2, W2)
  n2 = BatchNormalization <epsilon = 0.0> (c2, n_gamma, n_beta, n_mean, n_var)
  y = Add (n2, sr)
"""


def residual(body=TWO_CONVS, outputs="float[b,4,h,w] y"):
    rng = np.random.default_rng(5)
    return model(
        f"g (float[b,4,h,w] x) => ({outputs}) {{ {body} }}",
        stem_W=np.float32(rng.integers(-4, 5, (4, 4, 3, 3)) / 8),
        **pa_constants(rng, 4, 4, 3, 3),
        **batch_norm("n", **FOUR),
    )


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(residual(), path)
    return path


def test_a_residual_block_is_converted_with_equal_results():
    reference = residual()
    result = paconv.optimize(reference, fuse=False)
    assert ops(result.model) == ["Conv", "BatchNormalization", "Relu", "PABitConv", "PABitConv", "Add"]
    lines = {line.node: line for line in result.report.convs}
    assert (lines["stem"].form, lines["stem"].reason) == ("real", "real-weights")
    assert (lines["conv1"].form, lines["conv1"].folded) == ("bit-conv", ())
    assert (lines["conv2"].form, lines["conv2"].folded) == ("bit-conv", ("relu", "bn-before", "bn-after"))
    for size in ((5, 6), (9, 4)):
        x = image(np.random.default_rng(1), 3, 4, *size)
        assert np.array_equal(run(reference, x=x)[0], run(result.model, x=x)[0])


def test_linked_convolutions_are_fused_with_what_lies_between_and_the_report_says_so():
    reference = residual()
    result = paconv.optimize(reference)
    assert ops(result.model) == [
        "Conv", "BatchNormalization", "Relu", "Transpose", "PALevels", "PALevelConv", "PALevelConv", "Add",
        "Transpose",
    ]  # fmt: skip
    assert result.report.summary() == "3 convolutions: 2 PABitConv (2 linked), 0 weights-only, 1 real"
    lines = {line.node: line for line in result.report.convs}
    assert (lines["conv2"].form, lines["conv2"].linked, lines["conv2"].folded) == (
        "bit-conv",
        True,
        ("relu", "bn-before", "bn-after"),
    )  # the image's size is free, so the addition isn't known to be one of equal shapes
    assert lines["conv2"].kept == ("residual-of-other-shape",)
    for size in ((5, 6), (9, 4)):
        x = image(np.random.default_rng(1), 3, 4, *size)
        assert np.array_equal(run(reference, x=x)[0], run(result.model, x=x)[0])


def test_a_fused_model_comes_back_as_it_is_and_without_fusion_in_canonical_form():
    fused, plain = paconv.optimize(residual()).model, paconv.optimize(residual(), fuse=False).model
    again = paconv.optimize(fused)
    assert not again.report.changed and again.model is fused
    assert "already optimized: 2 PABitConv (2 linked)" in again.report.summary()
    unfused = paconv.optimize(fused, fuse=False)
    assert unfused.report.changed and ops(unfused.model) == ops(plain)
    assert paconv.optimize(unfused.model).model.graph.node == fused.graph.node


def test_tensor_names_around_the_converted_convolutions_are_those_of_the_reference():
    convs = [n for n in paconv.optimize(residual(), fuse=False).model.graph.node if n.op_type == "PABitConv"]
    assert [(n.name, n.input[0], n.output[0]) for n in convs] == [("conv1", "sr", "c1"), ("conv2", "c1", "n2")]


def test_the_input_model_is_left_as_it_is():
    reference = residual()
    before = reference.SerializeToString()
    paconv.optimize(reference)
    assert reference.SerializeToString() == before


def test_inputs_outputs_opsets_and_ir_version_do_not_change():
    reference = residual(TWO_CONVS + "z = Neg(n1)", "float[b,4,h,w] y, float[b,4,h,w] z, float[b,4,h,w] q2")
    optimized = paconv.optimize(reference).model
    assert optimized.graph.input == reference.graph.input
    assert optimized.graph.output == reference.graph.output
    assert optimized.opset_import == reference.opset_import
    assert optimized.ir_version == reference.ir_version
    x = image(np.random.default_rng(1), 1, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(optimized, x=x), strict=True):
        assert np.array_equal(expected, found)


def test_a_convolution_s_own_output_may_be_a_graph_output():
    reference = residual(TWO_CONVS, "float[b,4,h,w] y, float[b,4,h,w] c1, float[b,4,h,w] c2")
    optimized = paconv.optimize(reference).model
    x = image(np.random.default_rng(1), 1, 4, 5, 6)
    for expected, found in zip(run(reference, x=x), run(optimized, x=x), strict=True):
        assert np.array_equal(expected, found)


def test_several_inputs_work():
    body = (
        "q = paconv.PAActivation (x, v, levels) p = paconv.PAActivation (z, v, levels)"
        " W1 = paconv.PAWeight (W, u, alpha) a = Conv (q, W1) c = Conv (p, W1) y = Add (a, c)"
    )
    reference = model(
        f"g (float[b,4,h,w] x, float[b,4,h,w] z) => (float[b,4,i,j] y) {{ {body} }}",
        **pa_constants(np.random.default_rng(5), 4, 4, 3, 3),
    )
    optimized = paconv.optimize(reference, fuse=False).model
    x, z = (image(np.random.default_rng(s), 2, 4, 5, 6) for s in (1, 2))
    assert ops(optimized) == ["PABitConv", "PABitConv", "Add"]
    assert np.array_equal(run(reference, x=x, z=z)[0], run(optimized, x=x, z=z)[0])


def test_optimizing_twice_changes_nothing_and_says_so(reference, tmp_path):
    once, twice = tmp_path / "pa.onnx", tmp_path / "again.onnx"
    paconv.optimize(reference, once)
    result = paconv.optimize(once, twice)
    assert once.read_bytes() == twice.read_bytes()
    assert not result.report.changed and "already optimized: 2 PABitConv" in result.report.summary()
    assert {line.reason for line in result.report.convs} == {"already-converted", "real-weights"}


@pytest.mark.parametrize("N", [5, None])
def test_optimizing_a_resnet_twice_changes_nothing(N):
    once = paconv.optimize(pa_resnet(18, 4, N)).model
    again = paconv.optimize(once)
    assert not again.report.changed and again.model.SerializeToString() == once.SerializeToString()


def test_the_output_may_replace_the_input(reference):
    paconv.optimize(reference, reference)
    assert ops(onnx.load(reference)).count("PALevelConv") == 2


def test_a_model_with_nothing_to_convert_is_refused_and_nothing_is_written(tmp_path):
    real = residual("c = Conv (x, W) d = Identity (c) y = Add (d, d)", "float[b,4,h,w] y")
    output = tmp_path / "pa.onnx"
    with pytest.raises(ModelError, match="nothing to convert: 1 Conv, none converted .real-weights: 1."):
        paconv.optimize(real, output)
    assert list(tmp_path.iterdir()) == []
    result = paconv.optimize(real, output, allow_unchanged=True)
    assert onnx.load(output) == real and not result.report.changed


def test_a_model_without_any_convolution_is_refused():
    with pytest.raises(ModelError, match="it has no Conv"):
        paconv.optimize(residual("y = Relu (x)"))


def test_convolutions_in_subgraphs_are_reported_and_work_untouched():
    body = TWO_CONVS.replace("y = Add (n2, sr)", "t = Add (n2, sr)") + (
        " flag = Constant <value = bool {1}> ()"
        " y = If (flag) <then_branch = t () => (float[b,4,h,w] e) {"
        "  iq = paconv.PAActivation (n1, v, levels) iW = paconv.PAWeight (W, u, alpha)"
        '  ["inner"] ic = Conv <pads = [1, 1, 1, 1]> (iq, iW) e = Add (ic, t) },'
        " else_branch = f () => (float[b,4,h,w] k) { k = Abs (t) }>"
    )
    reference = residual(body)
    result = paconv.optimize(reference)
    assert result.report.convs[-1].node == "inner" and result.report.convs[-1].reason == "inside-subgraph"
    x = image(np.random.default_rng(1), 2, 4, 5, 6)
    assert np.array_equal(run(reference, x=x)[0], run(result.model, x=x)[0])


def test_the_report_file_has_a_line_for_every_convolution(reference, tmp_path):
    path = tmp_path / "report.json"
    paconv.optimize(reference, tmp_path / "pa.onnx", report=path)
    report = json.loads(path.read_text())
    assert [c["node"] for c in report["convs"]] == ["stem", "conv1", "conv2"]
    assert [c["converted"] for c in report["convs"]] == [False, True, True]
    assert all(c["reason"] in REASONS and c["explanation"] for c in report["convs"])
    assert report["totals"]["bit_convs"] == 2 and report["changed"] is True
    assert report["totals"]["bytes_after"] == (tmp_path / "pa.onnx").stat().st_size


def test_an_unwritable_output_is_found_before_the_model_is_read(tmp_path):
    with pytest.raises(PaconvError, match="does not exist; create it first"):
        paconv.optimize(tmp_path / "missing.onnx", tmp_path / "nowhere" / "pa.onnx")
    with pytest.raises(PaconvError, match="it is a directory"):
        paconv.optimize(tmp_path / "missing.onnx", tmp_path)


def test_a_failure_leaves_an_older_output_alone(tmp_path):
    output = tmp_path / "pa.onnx"
    output.write_text("older")
    with pytest.raises(ModelError, match="no such file"):
        paconv.optimize(tmp_path / "missing.onnx", output)
    assert output.read_text() == "older" and list(tmp_path.iterdir()) == [output]
