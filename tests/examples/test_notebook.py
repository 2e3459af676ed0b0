"""The notebook: its cells run in order, its pictures are in it, and nothing of the machine that made them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "07_from_float_to_served.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]

RUN = """
import ast
import sys

import matplotlib

matplotlib.use("Agg")
for cell in sys.stdin.read().split("\\0"):
    body = ast.parse(cell)
    shown = body.body.pop() if body.body and isinstance(body.body[-1], ast.Expr) else None
    exec(compile(body, "cell", "exec"), globals())
    if shown is not None:
        value = eval(compile(ast.Expression(shown.value), "cell", "eval"), globals())
        print(getattr(value, "_repr_html_", value.__repr__)())
"""
"""Cells on standard input, run as a notebook runs them: the value of a last expression is shown."""


@pytest.mark.slow  # 15 s of CPU time: two trainings
def test_the_cells_run_in_order_and_the_network_is_served(tmp_path):
    pytest.importorskip("matplotlib")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    source = "\0".join("".join(cell["source"]) for cell in CELLS)
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=source, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (served,) = (line for line in done.stdout.splitlines() if line.startswith("pa.onnx: "))
    assert float(served.split()[1]) > 90
    assert done.stdout.count("<table") == 7


def test_the_notebook_has_the_outputs_of_one_run_and_its_pictures():
    assert [cell["execution_count"] for cell in CELLS] == list(range(1, len(CELLS) + 1))
    kinds = [kind for cell in CELLS for output in cell["outputs"] for kind in output.get("data", {})]
    assert kinds.count("image/png") == 3 and kinds.count("text/html") == 7
    assert NOTEBOOK.stat().st_size < 300_000


def test_nothing_in_it_tells_of_the_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/tmp/", "/work/", "site-packages"))
