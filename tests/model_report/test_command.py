"""`paconv report` and `paconv.report`: what is written, what is said, one-line errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import paconv
from tests.cli.conftest import run  # noqa: F401


def test_the_command_writes_the_page_and_prints_the_verdict(sample, tmp_path, run):  # noqa: F811
    code, out, err = run("report", sample / "pa.onnx", "--no-measure", "-o", tmp_path / "r.html")
    assert (code, err) == (0, "")
    questions = [
        "Is it faster than float?",
        "How large is it?",
        "Which layer costs most?",
        "What stayed real, and why?",
    ]
    lines = out.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        *(line for line in lines if line.startswith(tuple(questions))),
        lines[-1],
    ]
    assert "What stayed real, and why? 2 of 10 layers: conv, fc" in lines
    assert "conv: No other layer stands before it." in " ".join(out.split())
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert lines[-1] == f"{tmp_path / 'r.html'}: {len(page.encode()):,} bytes"
    assert page.startswith("<!doctype html>")


def test_quiet_it_says_where_the_page_is(sample, tmp_path, run):  # noqa: F811
    _, out, _ = run("report", sample / "pa.onnx", "--no-measure", "-o", tmp_path / "r.html", "-q")
    assert out.startswith(f"{tmp_path / 'r.html'}: ") and out.count("\n") == 1


def test_python_gives_what_the_page_says(sample, digits, tmp_path):
    np.savez(tmp_path / "x.npz", input=digits)
    found = paconv.report(
        sample / "pa.onnx",
        tmp_path / "r.html",
        reference=sample / "model.onnx",
        inputs=tmp_path / "x.npz",
        seconds=None,
    )
    assert found.samples == 4 and found.reference_kind == "exported" and len(found.layers) == 10
    assert callable(paconv.report)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no-measure", "--seconds", "1"], "--seconds belongs to measuring"),
        (["--no-measure", "-o", "nowhere/r.html"], "does not exist"),
        (["--no-measure", "--inputs", "missing.npz"], "no such file"),
        (["--no-measure", "--reference", "missing.onnx"], "no such file"),
        (["--no-measure", "--input-shape", "3,8,8"], "fixed size"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_no_file(arguments, says, sample, tmp_path, run, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    code, out, err = run("report", sample / "pa.onnx", *arguments)
    assert code == 1 and out == "" and says in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_jinja2_it_says_which_extra_to_install(sample, tmp_path):
    text = (
        "import importlib.util as u, sys; found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'jinja2' else found(name, *a)\n"
        f"sys.argv = ['paconv', 'report', {str(sample / 'pa.onnx')!r}, '-o', {str(tmp_path / 'r.html')!r}]\n"
        "from paconv.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    want = "paconv: error: the report needs jinja2, which isn't installed: pip install 'paconv[report]'"
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith(want) and done.stderr.count("\n") == 1
