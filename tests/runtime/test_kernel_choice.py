"""The kernel of a node: by rates, by what a session or the environment asks for; and what inspect says of it."""

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from paconv.kernels.formats import FORMATS

import paconv
from paconv.cli.main import cli
from paconv.errors import PaconvError, UsageError
from paconv.kernels.arguments import MAX_CODE_WINDOW, MIN_CODE_WINDOW
from paconv.kernels.levels import LEVELS
from paconv.kernels.rates import Rates, rates_of
from paconv.kernels.registry import CHOICES, KERNELS, plane_pairs
from paconv.runtime.inspection import node_kernels
from paconv.runtime.library import active_level
from paconv.runtime.measure_rates import measure_rates
from tests.bit_conv_cases import make_case, model_of
from tests.kernels.test_codes import pa_case
from tests.passes.graphs import model, ops, pa_constants, pa_conv

SHOW = """
import sys
from paconv.runtime.inspection import node_kernels
for node in node_kernels(sys.argv[1]):
    print(node.kernel, node.format, node.reason)
"""


def products():
    """How this process's CPU level multiplies the formats of level codes that it has."""
    return next(level for level in LEVELS if level.name == active_level()).products


def exact_format() -> str:
    """The format of exact codes at this process's level: the fastest that it has by the library's own rates."""
    rates = rates_of(next(level for level in LEVELS if level.name == active_level())).codes
    return min((name for name in products() if FORMATS[name].exact), key=lambda name: rates[FORMATS[name].number])


def chosen(case, kernel=None):
    (node,) = node_kernels(model_of(case).SerializeToString(), kernel)
    return node


def chosen_elsewhere(folder, case, **environment) -> str:
    """What a fresh process chooses."""
    (folder / "one.onnx").write_bytes(model_of(case).SerializeToString())
    command = [sys.executable, "-c", SHOW, str(folder / "one.onnx")]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def rates_file(folder, planes: float, codes: float):
    """A complete file of rates for this machine in the cache folder `folder`, one for all planes and one for all codes:
    choices by it are the same at every CPU level.
    """
    script = "import sys; from paconv.runtime.rates import store_rates; from paconv.kernels.rates import Rates;"
    script += "from paconv.kernels.registry import plane_pairs; from paconv.kernels.rates import rates_of;"
    script += "from paconv.kernels.levels import LEVELS; from paconv.runtime.library import active_level;"
    script += "L = {level.name: level for level in LEVELS};"
    script += f"codes = dict.fromkeys(rates_of(L[active_level()]).codes, {codes});"
    script += f"print(store_rates(Rates({{p: {planes} for p in plane_pairs()}}, codes)))"
    environment = os.environ | {"PACONV_CACHE": str(folder)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("kernel", CHOICES)
def test_a_forced_kernel_is_taken(kernel):
    node = chosen(pa_case(4, 5, 0), kernel)
    assert (node.node, node.kernel, node.reason) == ("the_conv", kernel, "forced")
    assert node.format == {"planes": "planes", "codes": exact_format(), "codes-fast": "byte"}[kernel]


def test_the_kernel_with_the_better_rate_is_chosen(tmp_path):
    for planes, codes, expected in ((1, 2, "planes planes"), (2, 1, "codes word")):
        rates_file(tmp_path, planes, codes)
        found = chosen_elsewhere(tmp_path, pa_case(4, 5, 0, channels=32), PACONV_CACHE=str(tmp_path))
        assert found == f"{expected} faster by the rates"


def test_rates_that_are_not_complete_are_not_used(tmp_path):
    case = pa_case(1, 1, 0, channels=32)
    own = chosen_elsewhere(tmp_path, case, PACONV_CACHE=str(tmp_path / "none"))
    path = rates_file(tmp_path, 9, 1)
    assert chosen_elsewhere(tmp_path, case, PACONV_CACHE=str(tmp_path)).startswith("codes")
    text = open(path).read()
    for broken in (text[: len(text) // 2], text.replace("planes 1 1 9", "planes 1 1 -9"), text + "codes 2 0 1\n", ""):
        with open(path, "w") as file:
            file.write(broken)
        assert chosen_elsewhere(tmp_path, case, PACONV_CACHE=str(tmp_path)) == own


def test_a_session_asks_by_its_configuration_and_a_process_by_its_environment(tmp_path, monkeypatch):
    case = pa_case(4, 5, 0)
    monkeypatch.setenv("PACONV_KERNEL", "codes-fast")
    assert chosen(case).kernel == "codes-fast"
    assert chosen(case, "planes").kernel == "planes"
    options = ort.SessionOptions()
    options.add_session_config_entry("paconv.kernel", "planes")
    options.register_custom_ops_library(paconv.library_path())
    by_entry = ort.InferenceSession(model_of(case).SerializeToString(), options).run(None, {"X": case.X})[0]
    planes = paconv.InferenceSession(model_of(case).SerializeToString(), kernel="planes").run(None, {"X": case.X})[0]
    fast = paconv.InferenceSession(model_of(case).SerializeToString()).run(None, {"X": case.X})[0]
    assert by_entry.tobytes() == planes.tobytes() != fast.tobytes()


def test_an_unknown_kernel_is_refused_with_those_there_are(monkeypatch):
    case = pa_case(2, 2, 0)
    with pytest.raises(UsageError, match="expected auto, planes, codes, codes-fast; found 'bits'"):
        chosen(case, "bits")
    monkeypatch.setenv("PACONV_KERNEL", "bits")
    with pytest.raises(PaconvError, match="PACONV_KERNEL=bits: expected auto, planes, codes, codes-fast"):
        chosen(case)


def test_where_codes_cannot_be_exact_or_their_sums_could_overflow_planes_run():
    case = make_case(np.random.default_rng(0), M=8, N=4, weight_coding="binary", level_coding="binary", channels=32)
    node = chosen(case, "codes")
    assert (node.kernel, node.reason) == ("planes", "codes are not exact enough for these levels")
    wide = pa_case(1, 1, 0, channels=MAX_CODE_WINDOW + 1, out=1, kernel=(1, 1), pads=(0, 0, 0, 0), size=(1, 1))
    assert chosen(wide, "codes-fast").reason == "the window is too large for codes"
    narrow = pa_case(4, 5, 0, channels=MIN_CODE_WINDOW - 1, kernel=(1, 1), pads=(0, 0, 0, 0))
    assert chosen(narrow, "codes").reason == "the window is too small for codes to average their errors"
    assert chosen(wide, "codes-fast").kernel == "planes"


def test_the_library_ships_a_rate_for_every_variant_of_every_level():
    for level in LEVELS:
        rates = rates_of(level)
        assert set(rates.planes) == set(plane_pairs())
        assert set(rates.codes) == {FORMATS[name].number for name in level.products}
        assert min(*rates.planes.values(), *rates.codes.values()) > 0


def test_measured_rates_are_positive_and_complete():
    told = []
    rates = measure_rates(active_level(), 1e-5, lambda done, total: told.append((done, total)))
    assert isinstance(rates, Rates)
    assert set(rates.planes) == set(KERNELS["accumulate"].variants)
    assert set(rates.codes) == {FORMATS[name].number for name in products()}
    assert min(*rates.planes.values(), *rates.codes.values()) > 0
    total = 64 + len(products())
    assert told == [(k, total) for k in range(total)]


def test_inspect_prints_what_the_library_says(tmp_path):
    case = pa_case(4, 5, 0, channels=32)
    path = tmp_path / "pa.onnx"
    path.write_bytes(model_of(case).SerializeToString())

    def inspect(*arguments):
        command = [sys.executable, "-m", "paconv", "inspect", *map(str, arguments)]
        environment = os.environ | {"PACONV_CACHE": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    found = json.loads(inspect(path, "--format", "json").stdout)
    assert found["level"] == active_level() and "library's own" in found["rates"]
    assert [n["node"] for n in found["nodes"]] == ["the_conv"]
    measured = json.loads(inspect(path, "--measure", "--format", "json").stdout)
    assert measured["rates"].startswith(str(tmp_path)) and os.path.exists(measured["rates"])
    assert "codes-fast" in inspect(path, "--kernel", "codes-fast").stdout
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    for bad in ("bad.onnx", "missing.onnx"):
        done = inspect(tmp_path / bad)
        assert done.returncode == 1 and done.stderr.startswith("paconv: error:") and done.stderr.count("\n") == 1


def test_inspect_takes_a_model_of_linked_convolutions_alone(tmp_path):
    body = pa_conv("c1", "x", "a") + pa_conv("c2", "a", "y")
    constants = pa_constants(np.random.default_rng(0), 4, 4, 3, 3)
    linked = model(f"g (float[b,4,h,w] x) => (float[b,4,h,w] y) {{ {body} }}", **constants)
    fused = paconv.optimize(linked, tmp_path / "pa.onnx").model
    assert "PABitConv" not in ops(fused)
    done = CliRunner().invoke(cli, ["inspect", str(tmp_path / "pa.onnx"), "--format", "json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["level"] == active_level()


def test_one_choice_is_the_reference_and_every_level_runs_all_of_them():
    assert [choice.name for choice in CHOICES.values() if choice.reference] == ["planes"]
    assert CHOICES["planes"].error == 0
    assert all(choice.runs_at(level) for choice in CHOICES.values() for level in LEVELS)
