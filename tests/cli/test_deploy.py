"""The command `paconv deploy`: what it says, exit codes and one-line errors."""

import subprocess
import sys

import numpy as np
import onnx
import pytest

from paconv.pipeline import optimize
from tests.deployment.triton_schema import parse_config
from tests.passes.graphs import model, pa_constants

BODY = "q = paconv.PAActivation(x, v, levels) W_bar = paconv.PAWeight(W, u, alpha) y = Conv(q, W_bar)"


@pytest.fixture(autouse=True)
def the_built_library(monkeypatch):
    monkeypatch.delenv("PACONV_JIT", raising=False)


def command(*arguments):
    """The real command line in a process: (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "paconv", "deploy", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_writes_a_repository_and_says_where_the_server_must_see_it(tmp_path):
    constants = pa_constants(np.random.default_rng(0), 4, 4, 1, 1)
    optimize(model(f"g (float[b,4,h,w] x) => (float[b,4,oh,ow] y) {{ {BODY} }}", **constants), tmp_path / "pa.onnx")
    repository = tmp_path / "repository"
    code, out, err = command(
        tmp_path / "pa.onnx", "-o", repository, "--server", "triton", "--name", "net", "--max-batch-size", 8,
        "--preferred-batch-size", 4, "--preferred-batch-size", 8, "--instances", 2, "--threads", 3,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "batches of up to 8, library for " in out
    assert f"the server must see {repository} at /models" in out
    config = parse_config((repository / "net" / "config.pbtxt").read_text())
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.instance_group[0].count == 2


def test_a_model_without_bit_conv_is_deployed_and_said_to_need_no_library(tmp_path):
    onnx.save(model("g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }"), tmp_path / "relu.onnx")
    code, out, _ = command(tmp_path / "relu.onnx", "-o", tmp_path / "repository")
    assert code == 0
    assert "no batching" in out and "isn't optimized" in out and "`paconv quantize` approximates a float .onnx" in out


def test_errors_are_one_line_and_leave_nothing(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model at all")
    code, out, err = command(tmp_path / "text.onnx", "-o", tmp_path / "repository")
    assert (code, out) == (1, "")
    assert err.startswith("paconv: error: ") and err.count("\n") == 1 and "expected an ONNX model" in err
    assert not (tmp_path / "repository").exists()


def test_a_file_that_the_checker_refuses_and_onnxruntime_runs_is_deployed(tmp_path):
    touched = model("g (float[1,4] x) => (float[1,4] y) { a = Relu(x) y = Neg(a) }")
    touched.opset_import[0].version = 11
    nodes = list(touched.graph.node)[::-1]
    del touched.graph.node[:]
    touched.graph.node.extend(nodes)
    touched.graph.output[0].ClearField("type")
    onnx.save(touched, tmp_path / "touched.onnx")
    code, _, err = command(tmp_path / "touched.onnx", "-o", tmp_path / "repository")
    assert (code, err) == (0, "")
