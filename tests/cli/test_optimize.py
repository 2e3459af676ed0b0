"""The command `paconv optimize`: exit codes, one clear line, and files that are whole or absent."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from paconv.cli.optimize import optimize
from paconv.errors import UsageError, VerifyError
from paconv.pipeline import optimize as run_passes
from tests.passes.graphs import model, ops, pa_constants, pa_conv

BODY = (
    'q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) ["layer1.0.conv1"] c = Conv(q, W_bar)'
    ' ["stem"] y = Conv(c, W)'
)


def save(path, body=BODY, size="h,w"):
    constants = pa_constants(np.random.default_rng(0), 4, 4, 1, 1)
    onnx.save(model(f"g (float[b,4,{size}] x) => (float[b,4,{size}] y) {{ {body} }}", **constants), path)
    return path


def invoke(*arguments):
    return CliRunner().invoke(optimize, [str(a) for a in arguments], catch_exceptions=True)


def command(*arguments):
    """The real command line in a process: (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "paconv", "optimize", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_it_writes_the_model_and_prints_a_line_for_every_convolution(tmp_path):
    reference, output, report = save(tmp_path / "m.onnx"), tmp_path / "pa.onnx", tmp_path / "r.json"
    code, out, err = command(reference, "-o", output, "--report", report)
    assert (code, err) == (0, "")
    assert ops(onnx.load(output)) == ["PABitConv", "Conv"]
    lines = {line.split()[0]: line.split()[1:4] for line in out.splitlines() if line}
    assert lines["layer1.0.conv1"] == ["yes", "bit-conv", "converted"]
    assert lines["stem"] == ["no", "real", "real-weights"]
    assert "real-weights: No quantizer makes its weights, so it stays real." in out
    assert len(json.loads(report.read_text())["convs"]) == 2


def test_long_names_are_not_cut_off_in_a_pipe(tmp_path):
    name = "a.very.long.module.path." * 3 + "conv"
    reference = save(tmp_path / "m.onnx", BODY.replace("layer1.0.conv1", name))
    assert name in invoke(reference, "-o", tmp_path / "pa.onnx").output


def test_quiet_prints_only_the_summary(tmp_path):
    result = invoke(save(tmp_path / "m.onnx"), "-o", tmp_path / "pa.onnx", "-q")
    assert result.output == f"{tmp_path / 'pa.onnx'}: 2 convolutions: 1 PABitConv, 0 weights-only, 1 real\n"


def test_canonical_leaves_linked_convolutions_apart_and_undoes_the_linking(tmp_path):
    body = pa_conv("c1", "x", "a", "group = 1") + "r = Relu (a)" + pa_conv("c2", "r", "y", "group = 1")
    reference, fused, plain = save(tmp_path / "m.onnx", body), tmp_path / "pa.onnx", tmp_path / "plain.onnx"
    linked = invoke(reference, "-o", fused)
    assert "2 PABitConv (2 linked)" in linked.output and ops(onnx.load(fused)).count("PALevelConv") == 2
    lines = {line.split()[0]: line.split()[1:5] for line in linked.output.splitlines() if line}
    assert lines["c1"] == ["yes", "bit-conv", "converted", "yes"]
    assert "2 convolutions: 2 PABitConv, 0 weights-only" in invoke(reference, "-o", plain, "--canonical").output
    assert ops(onnx.load(plain)) == ["PABitConv", "PABitConv"]
    assert "2 PABitConv, 0" in invoke(fused, "-o", fused, "--canonical").output
    assert ops(onnx.load(fused)) == ["PABitConv", "PABitConv"]


def test_verify_covers_what_is_fused(tmp_path):
    body = pa_conv("c1", "x", "a", "group = 1") + pa_conv("c2", "a", "y", "group = 1")
    reference = save(tmp_path / "m.onnx", body, size="5,6")
    result = invoke(reference, "-o", tmp_path / "pa.onnx", "--verify")
    assert result.exit_code == 0 and "tensors between fused nodes, 2 of levels" in result.output


def test_a_second_run_says_that_there_is_nothing_to_do_and_succeeds(tmp_path):
    once, twice = tmp_path / "pa.onnx", tmp_path / "pa2.onnx"
    invoke(save(tmp_path / "m.onnx"), "-o", once)
    result = invoke(once, "-o", twice)
    assert result.exit_code == 0 and "already optimized: 1 PABitConv" in result.output
    assert once.read_bytes() == twice.read_bytes()


def test_nothing_to_convert_exits_non_zero_and_writes_nothing_unless_allowed(tmp_path):
    reference, output = save(tmp_path / "m.onnx", "y = Conv(x, W)"), tmp_path / "pa.onnx"
    code, _, err = command(reference, "-o", output)
    assert code == 1 and not output.exists()
    assert err.startswith("paconv: error: ") and "nothing to convert" in err and err.count("\n") == 1
    assert invoke(reference, "-o", output, "--allow-unchanged").exit_code == 0
    assert output.read_bytes() == reference.read_bytes()


@pytest.mark.parametrize("content", [b"not a model\n", b""])
def test_a_file_that_is_no_model_gets_one_clear_line(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    code, out, err = command(tmp_path / "m.onnx", "-o", tmp_path / "pa.onnx")
    assert (code, out) == (1, "") and "expected an ONNX model" in err and err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_verify_accepts_an_equal_model_and_prints_what_was_compared(tmp_path):
    result = invoke(save(tmp_path / "m.onnx", size="5,6"), "-o", tmp_path / "pa.onnx", "--verify")
    assert result.exit_code == 0 and "verified" in result.output
    assert (tmp_path / "pa.onnx").exists()


def test_verify_takes_arrays_for_free_sizes(tmp_path):
    reference, inputs = save(tmp_path / "m.onnx"), tmp_path / "x.npz"
    np.savez(inputs, x=np.ones((1, 4, 3, 3), np.float32))
    result = invoke(reference, "-o", tmp_path / "pa.onnx", "--verify", "--inputs", inputs)
    assert result.exit_code == 0 and "verified" in result.output
    assert isinstance(invoke(reference, "--inputs", inputs).exception, UsageError)


def test_a_failed_verification_names_the_difference_and_leaves_no_output(tmp_path, monkeypatch):
    class Broken:
        """The optimized model with one output scale doubled, as a faulty pass would leave it."""

        def __init__(self, *arguments, **options):
            self.result = run_passes(*arguments, **options)
            broken, output = self.result.model, arguments[1]
            scale = broken.graph.node[0].input[6]
            tensor = next(i for i in broken.graph.initializer if i.name == scale)
            tensor.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(tensor), scale))
            onnx.save(broken, output)
            self.report = self.result.report

    monkeypatch.setattr("paconv.cli.optimize.run_passes", Broken)
    result = invoke(save(tmp_path / "m.onnx", size="5,6"), "-o", tmp_path / "pa.onnx", "--verify")
    assert result.exit_code != 0 and isinstance(result.exception, VerifyError)
    assert "layer1.0.conv1" in str(result.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_a_report_over_the_model_or_the_output_is_refused_before_anything_is_written(tmp_path):
    model = save(tmp_path / "m.onnx")
    before = model.read_bytes()
    (tmp_path / "link.json").symlink_to(model)
    for output, report in (("q.onnx", "m.onnx"), ("q.onnx", "link.json"), ("q.onnx", "q.onnx")):
        arguments = ["optimize", str(model), "-o", str(tmp_path / output), "--report", str(tmp_path / report)]
        refused = CliRunner().invoke(optimize, arguments[1:])
        assert isinstance(refused.exception, UsageError) and "for the report alone" in str(refused.exception)
        assert model.read_bytes() == before and not (tmp_path / "q.onnx").exists()


def test_verifying_what_comes_back_as_it_is_says_so(tmp_path):
    save(tmp_path / "m.onnx", size="3,3")
    first = CliRunner().invoke(optimize, [str(tmp_path / "m.onnx"), "-o", str(tmp_path / "pa.onnx"), "-q"])
    again = CliRunner().invoke(optimize, [str(tmp_path / "pa.onnx"), "-o", str(tmp_path / "b.onnx"), "--verify", "-q"])
    assert first.exit_code == again.exit_code == 0
    assert "nothing to verify" in again.stdout
    assert (tmp_path / "b.onnx").read_bytes() == (tmp_path / "pa.onnx").read_bytes()


def test_of_what_is_optimized_already_no_copy_of_another_name_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    invoke(save(tmp_path / "m.onnx"), "-o", "packed.onnx")
    before = sorted(path.name for path in tmp_path.iterdir())
    refused = CliRunner().invoke(optimize, ["packed.onnx"])
    assert str(refused.exception) == "packed.onnx is optimized already; a copy of it is written with -o FILE"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert invoke("packed.onnx", "-o", "copy.onnx").exit_code == 0
    Path("packed.onnx").rename("pa.onnx")
    assert "already optimized" in invoke("pa.onnx").output


def test_what_is_printed_fits_80_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "m.onnx")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert max(map(len, invoke("m.onnx").output.splitlines())) <= 80


def test_a_float_file_is_told_where_approximation_begins(tmp_path):
    float_file = model(
        "g (float[b,4,h,w] x) => (float[b,4,i,j] y) { y = Conv(x, W) }", W=np.ones((4, 4, 1, 1), np.float32)
    )
    onnx.save(float_file, tmp_path / "float.onnx")
    said = str(invoke(tmp_path / "float.onnx", "-o", tmp_path / "pa.onnx").exception)
    assert "this is a float network; `paconv quantize` approximates a float .onnx, and paconv.convert(model)" in said
