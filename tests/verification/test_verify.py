"""verify passes what is equal, names the first thing that isn't, and counts flips instead of hiding them."""

import csv
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import paconv
from paconv.cli.main import cli
from paconv.errors import UsageError, VerifyError
from paconv.verification.inputs import read_inputs
from paconv.verification.model import run_model
from tests.passes.graphs import batch_norm, model, ops, pa_constants, pa_conv

PARAMETERS = ["X", "W", "alpha", "v", "sign", "beta", "scale", "bias"]
RNG = np.random.default_rng(0)
C = 12


def network() -> onnx.ModelProto:
    """Two residual blocks: batch norm of every sign before the quantizers, batch norm behind a convolution, a shared
    activation (conv1 and downsample), a grouped convolution, and a real head. The levels of conv1 and conv2 are on a
    grid, downsample's weights on none.
    """

    def norm(prefix, n=C):
        gamma = RNG.standard_normal(n)
        gamma[1] = 0
        return batch_norm(prefix, gamma, RNG.standard_normal(n), RNG.standard_normal(n), RNG.uniform(0.1, 2, n))

    def weights(prefix, *shape, alpha=(-1.4, -0.7, 0, 0.8, 1.5)):
        W = RNG.standard_normal(shape).astype(np.float32)
        return {f"{prefix}_W": W, f"{prefix}_u": [-1, -0.4, 0.5, 1.1], f"{prefix}_alpha": alpha}

    text = """
    net (float[batch, 12, 9, 9] x) => (float[batch, 10] y) {
      n1 = BatchNormalization (x, n1_gamma, n1_beta, n1_mean, n1_var)
      r1 = Relu (n1)
      a1 = paconv.PAActivation (r1, v, levels)
      w1 = paconv.PAWeight (c1_W, c1_u, c1_alpha)
      ["conv1"] c1 = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (a1, w1)
      n2 = BatchNormalization (c1, n2_gamma, n2_beta, n2_mean, n2_var)
      a2 = paconv.PAActivation (n2, v, levels)
      w2 = paconv.PAWeight (c2_W, c2_u, c2_alpha)
      ["conv2"] c2 = Conv <pads = [1, 1, 1, 1], group = 3> (a2, w2, c2_bias)
      n3 = BatchNormalization (c2, n3_gamma, n3_beta, n3_mean, n3_var)
      wd = paconv.PAWeight (d_W, d_u, d_alpha)
      ["downsample"] d = Conv <strides = [2, 2]> (a1, wd)
      s = Add (n3, d)
      p = GlobalAveragePool (s)
      f = Flatten (p)
      y = Gemm <transB = 1> (f, fc_W, fc_b)
    }"""
    return model(
        text,
        v=[0.2, 0.5, 1.1, 1.6],
        levels=[0, 0.3, 0.8, 1.3, 2.0],
        c2_bias=RNG.standard_normal(C, np.float32),
        fc_W=RNG.standard_normal((10, C), np.float32),
        fc_b=RNG.standard_normal(10, np.float32),
        **norm("n1"),
        **norm("n2"),
        **norm("n3"),
        **weights("c1", C, C, 3, 3),
        **weights("c2", C, C // 3, 3, 3),
        **weights("d", C, C, 1, 1, alpha=(-1.4142135, -0.6931472, 0, 0.8314159, 1.5772156)),
    )


REFERENCE = network()
OPTIMIZED = paconv.optimize(REFERENCE, fuse=False).model


def damaged(conv: str, parameter: str, change, model: onnx.ModelProto = OPTIMIZED) -> onnx.ModelProto:
    """`model` with one constant input of one PABitConv changed in place by `change`; others that share it keep it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    node = next(n for n in copy.graph.node if n.name == conv)
    index = PARAMETERS.index(parameter)
    array = next(onnx.numpy_helper.to_array(i) for i in copy.graph.initializer if i.name == node.input[index]).copy()
    change(array)
    node.input[index] = f"damaged {parameter}"
    copy.graph.initializer.append(onnx.numpy_helper.from_array(array, node.input[index]))
    return copy


def test_an_optimized_model_is_verified_layer_by_layer_and_end_to_end():
    result = paconv.verify(REFERENCE, OPTIMIZED)
    assert result.ok and result.first_difference is None and result.glue is None
    assert [layer.name for layer in result.layers] == ["conv1", "conv2", "downsample"]
    outputs = 2 * C * 25
    assert [layer.integers for layer in result.layers] == [outputs, outputs, 0]
    assert [layer.counts for layer in result.layers] == [0, 0, 4 * 4 * outputs]
    *integers, real = (layer.largest_error for layer in result.layers)
    assert integers == [None, None] and 0 < real <= 1
    assert result.end_to_end.decisions == sum(layer.decisions for layer in result.layers)
    assert result.end_to_end.outputs[0].agreeing == 2


def flip_bit(array):
    array[0, 3] ^= 4


def shift(amount, at):
    def change(array):
        array[at] += np.float32(amount)

    return change


def negate(array):
    array[2] = -array[2]


def to_next_float(array):
    array[5] = np.nextafter(array[5], np.float32(np.inf))


@pytest.mark.parametrize(
    ("conv", "parameter", "change", "said"),
    [
        ("conv2", "W", flip_bit, "weights: code 5 has no plane mask"),
        ("conv2", "alpha", shift(1, (0, 2)), "weights of output channel 0: "),
        ("downsample", "W", flip_bit, "weights: 1 differ, first at "),
        ("downsample", "alpha", shift(1e-6, (0, 2)), "weights: "),
        ("conv1", "v", shift(0.001, (3, 3)), "decisions beside the endpoints: "),
        ("conv2", "sign", negate, "decisions"),
        ("conv1", "beta", shift(1, 2), "decisions: level values: 1 differ, first at (2,): 9 in place of 0.8"),
        ("downsample", "beta", shift(1e-6, 2), "decisions: level values"),
        ("conv2", "scale", to_next_float, "scale: 1 of 12 differ, first of output channel 5: "),
        ("conv2", "bias", to_next_float, "bias: 1 of 12 differ, first of output channel 5: "),
        ("downsample", "scale", shift(0.001, 5), "outputs: "),
        ("downsample", "bias", shift(0.001, 5), "outputs: "),
    ],
)
def test_a_changed_parameter_is_found_in_its_layer(conv, parameter, change, said):
    result = paconv.verify(REFERENCE, damaged(conv, parameter, change))
    assert not result.ok
    assert result.first_difference.startswith(f"layer '{conv}': {said}")
    assert [layer.name for layer in result.layers if not layer.ok] == [conv]


@pytest.mark.parametrize(("what", "scale"), [("sums", True), ("outputs", False)])
def test_a_kernel_that_is_off_by_the_last_bit_in_one_place_is_found(monkeypatch, what, scale):
    def faulty(model, *arguments, **options):
        values = run_model(model, *arguments, **options)
        if (onnx.numpy_helper.to_array(model.graph.initializer[5]) == 1).all() == scale:
            values["out"][1, 2, 3, 4] = np.nextafter(values["out"][1, 2, 3, 4], np.float32(np.inf))
        return values

    monkeypatch.setattr("paconv.verification.integers.run_model", faulty)
    found = paconv.verify(REFERENCE, OPTIMIZED).first_difference
    assert found.startswith(f"layer 'conv1': {what}: 1 of 600 differ, first at (1, 2, 3, 4): ")


def test_integers_need_not_be_the_smallest():
    def double(array):
        array *= 2

    def halve(array):
        array /= 2

    doubled = damaged("conv2", "alpha", double)
    assert paconv.verify(REFERENCE, damaged("conv2", "scale", halve, doubled)).ok
    assert paconv.verify(REFERENCE, doubled).first_difference.startswith("layer 'conv2': scale: 11 of 12 differ")


def test_levels_that_are_integers_in_the_file_alone_are_found():
    reference = onnx.ModelProto()
    reference.CopyFrom(REFERENCE)
    stored = next(i for i in reference.graph.initializer if i.name == "c2_alpha")
    stored.raw_data = np.float32([-1.4142135, -0.6931472, 0, 0.8314159, 1.5772156]).tobytes()
    found = paconv.verify(reference, OPTIMIZED).first_difference
    assert found.startswith("layer 'conv2': weights: integers, but [-1.41421353816986")


def next_float(array):
    array[3, 1] = np.nextafter(array[3, 1], np.float32(np.inf))


def test_an_endpoint_moved_to_the_next_float_is_found_whatever_the_inputs():
    found = paconv.verify(REFERENCE, damaged("conv1", "v", next_float), {"x": np.zeros((1, C, 9, 9), np.float32)})
    assert found.first_difference.startswith("layer 'conv1': decisions beside the endpoints: 1 of")


def test_an_endpoint_moved_in_front_of_a_value_exactly_on_it_is_found_without_a_batch_norm():
    body = pa_conv("c1", "x", "y")
    reference = model(f"g (float[b,4,5,6] x) => (float[b,4,5,6] y) {{ {body} }}", **pa_constants(RNG, 4, 4, 3, 3))
    optimized = paconv.optimize(reference).model
    name = next(n for n in optimized.graph.node if n.name == "c1").input[3]
    stored = next(i for i in optimized.graph.initializer if i.name == name)
    v = onnx.numpy_helper.to_array(stored).copy()
    v[0, 1] = np.nextafter(v[0, 1], np.float32(np.inf))
    stored.CopyFrom(onnx.numpy_helper.from_array(v, name))
    found = paconv.verify(reference, optimized, {"x": np.zeros((1, 4, 5, 6), np.float32)})
    assert found.first_difference.startswith("layer 'c1': decisions beside the endpoints: ")


def test_two_batch_norms_with_a_relu_between_decide_as_both_together():
    rng = np.random.default_rng(5)
    body = "n = BatchNormalization (x, n_gamma, n_beta, n_mean, n_var) r = Relu (n)"
    body += "m = BatchNormalization (r, m_gamma, m_beta, m_mean, m_var)" + pa_conv("c1", "m", "y")
    norms = {}
    for prefix in "nm":
        gamma, beta, mean = rng.standard_normal((3, 16))
        norms |= batch_norm(prefix, np.abs(gamma) + 0.1, beta / 3 - 4, np.abs(mean), rng.uniform(0.3, 1.3, 16))
    constants = pa_constants(rng, 4, 16, 3, 3) | norms | {"v": np.float32([-2, -1.5, 1])}
    reference = model(f"g (float[b,16,5,6] x) => (float[b,4,5,6] y) {{ {body} }}", **constants)
    optimized = paconv.optimize(reference, fuse=False).model
    assert ops(optimized) == ["PABitConv"]
    result = paconv.verify(reference, optimized)
    assert result.ok, result.first_difference


def test_flips_by_the_references_own_rounding_are_counted_and_do_not_fail():
    layer = next(n for n in OPTIMIZED.graph.node if n.name == "conv1")
    v, sign = (
        next(onnx.numpy_helper.to_array(i) for i in OPTIMIZED.graph.initializer if i.name == layer.input[k])
        for k in (3, 4)
    )
    channel, endpoint, step = np.meshgrid(range(C), range(4), range(-10, 11), indexing="ij")
    at = np.broadcast_to(v, (C, 4))[channel, endpoint].astype(np.float64)
    at = np.where(np.isfinite(at), at, 0) + step * np.spacing(np.where(np.isfinite(at), at, 1).astype(np.float32))
    x = (at.reshape(C, -1) * np.broadcast_to(sign, C)[:, None])[:, :81].astype(np.float32).reshape(1, C, 9, 9)
    result = paconv.verify(REFERENCE, OPTIMIZED, {"x": x})
    assert result.ok
    assert result.layers[0].flips > 0  # within ulps of the endpoints the reference's batch norm rounds across them


def test_a_miswired_graph_is_found_between_the_layers():
    copy = onnx.ModelProto()
    copy.CopyFrom(OPTIMIZED)
    add = next(n for n in copy.graph.node if n.op_type == "Add")
    add.input[0] = add.input[1]
    result = paconv.verify(REFERENCE, copy)
    assert all(layer.ok for layer in result.layers)
    assert result.first_difference == result.glue and "tensor 'y'" in result.glue


def test_another_model_is_refused_by_name():
    other = onnx.ModelProto()
    other.CopyFrom(REFERENCE)
    next(n for n in other.graph.node if n.name == "conv2").name = "elsewhere"
    other.graph.node[8].output[0] = "c2x"
    with pytest.raises(VerifyError, match="PABitConv 'conv2'|no Conv of this name|does not exist|not made from"):
        paconv.verify(other, OPTIMIZED)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"a": np.zeros(1), "b": np.zeros(1)}, "no input a, b; it has x"),
        ({"x": np.zeros((1, 3, 9, 9), np.float32)}, r"expected 'x' of shape \['batch', 12, 9, 9\]"),
        ({"x": np.zeros((12, 9, 9), np.float32)}, "expected 'x' of shape"),
        ({"x": np.zeros((1, 12, 9, 9), "U1")}, "expected 'x' of shape"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, said):
    with pytest.raises(UsageError, match=said):
        paconv.verify(REFERENCE, OPTIMIZED, inputs)


def test_the_command_verifies_files_prints_json_and_names_the_difference(tmp_path):
    paths = {}
    for name, proto in (("model", REFERENCE), ("pa", OPTIMIZED), ("bad", damaged("conv2", "W", flip_bit))):
        paths[name] = str(tmp_path / f"{name}.onnx")
        onnx.save(proto, paths[name])
    np.savez(tmp_path / "x.npz", x=RNG.standard_normal((3, C, 9, 9)).astype(np.float32))
    arguments = ["verify", paths["model"], paths["pa"], "--inputs", str(tmp_path / "x.npz"), "--format", "json"]
    good = CliRunner().invoke(cli, arguments)
    assert good.exit_code == 0 and json.loads(good.stdout)["ok"] is True
    assert json.loads(good.stdout)["end_to_end"]["outputs"][0]["rows"] == 3
    rows = list(csv.DictReader(CliRunner().invoke(cli, [*arguments[:-1], "csv"]).stdout.splitlines()))
    assert [row["layer"] for row in rows] == [layer["name"] for layer in json.loads(good.stdout)["layers"]]
    assert {row["verdict"] for row in rows} == {"equal"}
    text = CliRunner().invoke(cli, [*arguments[:-1], "markdown"]).stdout
    assert text.startswith("### each PABitConv") and text.endswith("- verified\n") and "equal, bit for bit" in text
    bad = CliRunner().invoke(cli, ["verify", paths["model"], paths["bad"]])
    assert isinstance(bad.exception, VerifyError) and "layer 'conv2': weights" in str(bad.exception)
    table = CliRunner().invoke(cli, arguments[:3]).stdout
    assert "integers: sums of integer levels" in table and "counts, error / bound: of levels that are no" in table


def test_more_random_values_than_fit_are_refused():
    with pytest.raises(UsageError, match="expected at most 268435456 random values, found 1000000000x"):
        paconv.verify(REFERENCE, OPTIMIZED, batch=10**9)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UsageError, match="npz"):
        paconv.verify(REFERENCE, OPTIMIZED, tmp_path / "x.npz")


def test_an_empty_batch_is_refused():
    with pytest.raises(UsageError, match="at least one sample"):
        paconv.verify(REFERENCE, OPTIMIZED, {"x": np.zeros((0, C, 9, 9), np.float32)})


def test_an_optimized_model_is_no_reference():
    with pytest.raises(VerifyError, match="optimized itself"):
        paconv.verify(OPTIMIZED, OPTIMIZED)


def test_a_piped_command_says_errors_in_one_line_and_nothing_else(tmp_path):
    onnx.save(REFERENCE, tmp_path / "m.onnx")
    onnx.save(damaged("conv2", "W", flip_bit), tmp_path / "bad.onnx")
    command = [sys.executable, "-m", "paconv", "verify", "m.onnx", "bad.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("paconv: error: bad.onnx differs from m.onnx: layer 'conv2': weights")
    assert done.stderr.count("\n") == 1


def test_models_given_the_other_way_round_are_recognised():
    with pytest.raises(UsageError, match="is optimized and .* isn't: give the reference first"):
        paconv.verify(OPTIMIZED, REFERENCE)
    with pytest.raises(UsageError, match="isn't optimized: none of its convolutions is packed"):
        paconv.verify(REFERENCE, REFERENCE)


def test_inputs_of_another_kind_are_one_clear_line(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("text")
    for name, reason in (("one.npy", "found a single array"), ("text.npz", "it is a file of another kind")):
        with pytest.raises(UsageError, match=f"expected an .npz file with an array for each input.*{reason}"):
            read_inputs(tmp_path / name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_are_refused(value):
    x = np.zeros((1, 12, 9, 9), np.float32)
    x[0, 3, 2, 1] = value
    with pytest.raises(UsageError, match="expected finite numbers for 'x'; found 1 of 972 that are NaN or infinite"):
        paconv.verify(REFERENCE, OPTIMIZED, {"x": x})


def chaotic() -> onnx.ModelProto:
    """Convolutions in a row, each with a batch norm that spreads what it makes far over the endpoints."""
    body, constants = "", {}
    for k in range(6):
        body += f"n{k} = BatchNormalization ({f'c{k - 1}' if k else 'x'}, g{k}, b{k}, m{k}, s{k})"
        body += f" a{k} = paconv.PAActivation (n{k}, v, levels) w{k} = paconv.PAWeight (W{k}, u, alpha)"
        body += f" c{k} = Conv <pads = [1, 1, 1, 1]> (a{k}, w{k})"
        rng = np.random.default_rng(k)
        values = {"g": rng.uniform(90, 110, 6), "b": rng.standard_normal(6), "m": np.zeros(6), "s": np.ones(6)}
        values["W"] = rng.standard_normal((6, 6, 3, 3))
        constants |= {f"{name}{k}": value.astype(np.float32) for name, value in values.items()}
    return model(
        f"g (float[b, 6, h, w] x) => (float[b, 6, h, w] y) {{ {body} y = Identity (c5) }}",
        v=np.linspace(-2, 2, 5, dtype=np.float32), levels=[0, 0.31, 0.62, 0.93, 1.21, 1.57], u=[-0.5, 0.5],
        alpha=[-0.31, 0, 0.43], **constants,
    )  # fmt: skip


def test_a_network_that_carries_roundings_through_is_told_from_a_fault(tmp_path):
    reference = chaotic()
    optimized = paconv.optimize(reference).model
    x = np.random.default_rng(1).standard_normal((1, 6, 8, 24)).astype(np.float32)
    constants = {i.name: onnx.numpy_helper.to_array(i).astype(np.float64) for i in reference.graph.initializer}
    v = np.linspace(-2, 2, 5)[np.arange(24) % 5]
    slope = constants["g0"] / np.sqrt(1 + float(np.float32(1e-5)))
    x[:, :, 0] = (v - constants["b0"][:, None]) / slope[:, None]  # on the endpoints: roundings decide there
    result = paconv.verify(reference, optimized, {"x": x})
    assert result.ok, result.first_difference
    end = result.end_to_end
    assert end.flips > 0
    assert end.moved_inputs.flips > 0 and end.moved_inputs.explains
    assert result.to_dict()["end_to_end"]["moved_inputs"]["explains"] is True
    onnx.save(reference, tmp_path / "m.onnx")
    onnx.save(optimized, tmp_path / "p.onnx")
    np.savez(tmp_path / "x.npz", x=x)
    arguments = ["verify", str(tmp_path / "m.onnx"), str(tmp_path / "p.onnx"), "--inputs", str(tmp_path / "x.npz")]
    text = CliRunner().invoke(cli, arguments).output
    assert "its inputs moved to the next float" in text
    assert "the network itself carries a rounding through" in text


def test_without_a_flip_the_reference_runs_once():
    assert paconv.verify(REFERENCE, OPTIMIZED).end_to_end.moved_inputs is None


def test_free_sizes_and_integer_inputs_are_given_on_the_command_line(tmp_path):
    constants = pa_constants(np.random.default_rng(0), 4, 3, 3, 3) | {"scale": np.float32(1 / 64)}
    body = "f = Cast <to = 1> (x) s = Mul (f, scale) " + pa_conv("c1", "s", "y")
    reference = model(f"g (uint8[b,3,height,width] x) => (float[b,4,h,w] y) {{ {body} }}", **constants)
    onnx.save(reference, tmp_path / "m.onnx")
    paconv.optimize(reference, tmp_path / "p.onnx")
    arguments = ["verify", str(tmp_path / "m.onnx"), str(tmp_path / "p.onnx"), "--format", "json"]
    for shape in (["--input-shape", "3,8,9"], ["--input-shape", "height=8,width=9"]):
        done = CliRunner().invoke(cli, [*arguments, *shape, "--batch", "3"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["layers"][0]["decisions"] == 3 * 3 * 8 * 9
    assert "give it with --input-shape" in str(CliRunner().invoke(cli, arguments).exception)


def test_numbers_that_an_integer_input_cannot_hold_are_refused_not_cut(tmp_path):
    constants = pa_constants(np.random.default_rng(0), 4, 3, 3, 3)
    body = "f = Cast <to = 1> (x) " + pa_conv("c1", "f", "y")
    reference = model(f"g (uint8[b,3,8,9] x) => (float[b,4,h,w] y) {{ {body} }}", **constants)
    packed = paconv.optimize(reference).model
    whole = np.arange(216.0).reshape(1, 3, 8, 9)
    assert paconv.verify(reference, packed, inputs={"x": whole}).ok
    for wrong in (whole / 8, whole - 1):
        with pytest.raises(UsageError, match="expected numbers of uint8 for 'x'; found float64 that are none"):
            paconv.verify(reference, packed, inputs={"x": wrong})
