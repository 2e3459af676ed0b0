"""The kernel of a node: by rates, by what a session or the environment asks for; and what inspect says of it."""

import ctypes
import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner

import paconv
from paconv.cli.main import cli
from paconv.errors import PaconvError, UsageError
from paconv.kernels.arguments import MAX_EXACT_FLOAT
from paconv.kernels.cpus import CPUS, find_cpu
from paconv.kernels.rates import Rates, rates_of
from paconv.kernels.registry import KINDS, kind_number, plane_pairs
from paconv.runtime import inspection
from paconv.runtime.inspection import node_kernels
from paconv.runtime.library import active_cpu, runnable_cpus
from paconv.runtime.measure_rates import measure_rates
from paconv.runtime.rates import store_rates
from tests.bit_conv_cases import exact_output, grid_of, make_case, model_of, window_of
from tests.level_conv_cases import level_model, make_level_case
from tests.passes.graphs import model, ops, pa_constants, pa_conv

GRID = (15, 0, 31)
SHOW = """
import sys
from paconv.runtime.inspection import node_kernels
for path in sys.argv[2:]:
    for node in node_kernels(path, sys.argv[1]):
        print(node.kernel, node.kind, node.reason)
"""


def case_of(M: int, N: int, channels: int = 32, grid=GRID):
    return make_case(np.random.default_rng(0), M=M, N=N, channels=channels, out=16, per_channel=False, grid=grid)


def point_case(alpha, beta, channels: int, **coding):
    """A 1x1 convolution of an image of one pixel with these levels."""
    case = make_case(
        np.random.default_rng(0), M=len(alpha) - 1, N=len(beta) - 1, channels=channels, out=1, kernel=(1, 1),
        pads=(0, 0, 0, 0), size=(1, 1), per_channel=False, **coding,
    )  # fmt: skip
    case.inputs["alpha"], case.inputs["beta"] = np.float32([alpha]), np.float32(beta)
    return case


def chosen(case, kernel=None):
    (node,) = node_kernels(model_of(case).SerializeToString(), kernel)
    return node


def chosen_elsewhere(folder, *cases, kernel="auto", **environment) -> list[str]:
    """What a fresh process chooses for each case: "kernel kind reason"."""
    paths = [folder / f"{k}.onnx" for k in range(len(cases))]
    for path, case in zip(paths, cases, strict=True):
        path.write_bytes(model_of(case).SerializeToString())
    command = [sys.executable, "-c", SHOW, kernel, *map(str, paths)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


@pytest.fixture
def rates_file(tmp_path, monkeypatch):
    """Writes a complete file of rates for a CPU: one for all planes, one for all kinds of codes but those given."""
    monkeypatch.setenv("PACONV_CACHE", str(tmp_path))

    def write(planes: float, codes: float, cpu: str = "", **kinds: float):
        known = find_cpu(cpu or active_cpu()).multipliers
        return store_rates(
            Rates(dict.fromkeys(plane_pairs(), planes), {kind: kinds.get(kind, codes) for kind in known}), cpu or None
        )

    return write


def test_planes_are_taken_where_they_are_asked_for():
    node = chosen(case_of(8, 7), "planes")
    assert (node.node, node.kernel, node.kind, node.reason) == ("the_conv", "planes", "planes", "forced")
    assert node.planes_rate > 0 == node.codes_rate


def test_codes_are_taken_where_they_are_asked_for():
    node = chosen(case_of(1, 1), "codes")
    assert (node.node, node.kernel, node.reason) == ("the_conv", "codes", "forced")
    assert node.kind in find_cpu(active_cpu()).multipliers
    assert node.planes_rate > 0 and node.codes_rate > 0


@pytest.mark.parametrize("kernel", ["auto", "codes"])
def test_off_any_grid_planes_run(kernel):
    node = chosen(case_of(4, 5, grid=None), kernel)
    assert (node.kernel, node.kind, node.reason) == ("planes", "planes", "levels are on no grid of integers")
    assert node.codes_rate == 0


def test_a_convolution_of_levels_is_chosen_for_alike():
    case = case_of(8, 7)
    level_case = make_level_case(case, np.random.default_rng(0), (1, 16, 6, 6))
    (node,) = node_kernels(level_model(level_case).SerializeToString())
    assert node == chosen(case)


def test_the_kernel_with_the_better_rate_is_chosen(tmp_path, rates_file):
    for planes, codes, expected in ((1, 2, "planes"), (2, 1, "codes"), (1, 1, "planes")):
        rates_file(planes, codes)
        (found,) = chosen_elsewhere(tmp_path, case_of(4, 5))
        assert found.startswith(expected) and found.endswith(" faster by the rates")


def test_codes_are_charged_for_the_words_that_they_take(tmp_path, rates_file):
    """33 channels are two words of planes, and nine of codes: a rate is for eight."""
    for codes, expected in ((1.7, "codes"), (1.8, "planes")):
        rates_file(1, codes)
        (found,) = chosen_elsewhere(tmp_path, point_case([0, 1], [0, 1], 33))
        assert found.startswith(expected)


@pytest.mark.skipif("x86-64-v4-amx" not in runnable_cpus(), reason="this CPU has one kind of products")
def test_the_kind_of_products_with_the_better_rate_is_chosen(tmp_path, rates_file):
    for tiles, dot, expected in ((1, 2, "tiles"), (2, 1, "dot")):
        rates_file(9, 9, "x86-64-v4-amx", tiles=tiles, dot=dot)
        assert chosen_elsewhere(tmp_path, case_of(4, 5), PACONV_CPU="x86-64-v4-amx") == [
            f"codes {expected} faster by the rates"
        ]


def test_rates_that_are_not_complete_are_not_used(tmp_path, rates_file):
    case = case_of(1, 1)
    own = chosen_elsewhere(tmp_path, case, PACONV_CACHE=str(tmp_path / "none"))
    path = rates_file(9, 1)
    (found,) = chosen_elsewhere(tmp_path, case)
    assert found.startswith("codes") and own[0].startswith("planes")
    text, some = path.read_text(), kind_number(next(iter(find_cpu(active_cpu()).multipliers)))
    for broken in (
        text[: len(text) // 2], text.replace("planes 1 1 9", "planes 1 1 -9"), text + f"codes {some} 0 1\n", "",
        text.replace(f"codes {some} 0", f"codes {some} 1"), text.replace(f"codes {some} 0", "codes 8 0"),
    ):  # fmt: skip
        assert broken != text
        path.write_text(broken)
        assert chosen_elsewhere(tmp_path, case) == own


def test_codes_run_whatever_the_rates_where_sums_leave_float32s_integers(tmp_path, rates_file):
    rates_file(1, 1000)
    most, words = 64 * 128, MAX_EXACT_FLOAT // (64 * 128)
    cases = [point_case([0, 64, 1], [0, 128, 1], channels) for channels in (words - 1, words)]
    assert [grid_of(case).most * window_of(case) - MAX_EXACT_FLOAT for case in cases] == [-most, 0]
    within, beyond = chosen_elsewhere(tmp_path, *cases)
    assert within == "planes planes faster by the rates"
    assert beyond.startswith("codes ") and beyond.endswith(" sums beyond float32's integers")
    assert chosen_elsewhere(tmp_path, *cases, kernel="planes") == ["planes planes forced"] * 2


def test_codes_run_where_the_sums_of_planes_alone_leave_float32s_integers(tmp_path, rates_file):
    """-63 + (1 + ... + 64) times 2 + ... + 32: no sum of a window is as large as those that planes take on the way."""
    rates_file(1, 1000)
    case = point_case(
        [-63, *2.0 ** np.arange(7)], [0, 2, 4, 1, 128, 8, 16, 64, 32], 1000, weight_coding="binary",
        level_coding="binary",
    )  # fmt: skip
    case.inputs["v"][:], case.inputs["sign"][:] = np.arange(255), 1
    case.X[:] = np.random.default_rng(0).integers(200, 256, case.X.shape) - 1
    case.inputs["W"][:] = 255
    grid, window = grid_of(case), window_of(case)
    assert grid.most * window < MAX_EXACT_FLOAT < grid.terms * window
    (found,) = chosen_elsewhere(tmp_path, case)
    assert found.startswith("codes ") and found.endswith(" sums beyond float32's integers")
    Y = paconv.InferenceSession(model_of(case).SerializeToString()).run(None, {"X": case.X})[0]
    assert Y.tobytes() == exact_output(case).tobytes()


@pytest.mark.parametrize("kernel", ["auto", "codes"])
def test_a_window_too_large_for_sums_of_32_bits_is_for_planes(kernel):
    largest = np.iinfo(np.int32).max // (127 * 255)
    node = chosen(point_case([0, 127, 1], [0, 255, 1], largest + 1), kernel)
    assert (node.kernel, node.reason) == ("planes", "the window is too large for sums of 32 bits")
    assert chosen(point_case([0, 127, 1], [0, 255, 1], largest), kernel).kernel == "codes"


@pytest.mark.parametrize("cpu", [cpu for cpu in runnable_cpus() if "wide" in find_cpu(cpu).multipliers])
def test_products_too_large_for_spans_of_16_bits_are_multiplied_in_32(tmp_path, cpu):
    """Four words of two pairs must fit: 8 k l <= 32767, l the largest byte, 128 more where levels are negative."""
    cases = [point_case([0, k, 1], [0, *levels], 64) for k, *levels in (
        (15, 31, 1), (16, 255, 1), (17, 255, 1), (127, 32, 1), (127, 33, 1), (127, 255, 1), (25, 30, -1), (26, 30, -1),
    )]  # fmt: skip
    expected = ["narrow", "narrow", "wide", "narrow", "wide", "wide", "narrow", "wide"]
    found = chosen_elsewhere(tmp_path, *cases, kernel="codes", PACONV_CPU=cpu)
    assert found == [f"codes {kind} forced" for kind in expected]


def test_a_session_asks_by_its_configuration_and_a_process_by_its_environment(monkeypatch):
    case = case_of(4, 5)
    monkeypatch.setenv("PACONV_KERNEL", "codes")
    assert chosen(case).kernel == "codes"
    assert chosen(case, "planes").kernel == "planes"
    monkeypatch.setenv("PACONV_KERNEL", "planes")
    assert chosen(case).kernel == "planes"
    assert chosen(case, "codes").kernel == "codes"
    assert chosen(case, "auto").reason == "faster by the rates"


def test_a_session_of_onnxruntimes_own_asks_by_its_configuration():
    def outputs(kernel, case):
        options = ort.SessionOptions()
        options.add_session_config_entry("paconv.kernel", kernel)
        options.register_custom_ops_library(paconv.library_path())
        return ort.InferenceSession(model_of(case).SerializeToString(), options).run(None, {"X": case.X})[0]

    case = case_of(4, 5)
    assert outputs("planes", case).tobytes() == outputs("codes", case).tobytes() == exact_output(case).tobytes()
    with pytest.raises(Exception, match="paconv.kernel=bits: expected auto, planes, codes"):
        outputs("bits", case)


def later(kernel: str, *, registered: str | None = None) -> ort.SessionOptions:
    """Options whose entry is set after the library was registered with them."""
    options = paconv.register(ort.SessionOptions(), registered)
    options.add_session_config_entry("paconv.kernel", kernel)
    return options


TELLS_NODES = tuple(map(int, ort.__version__.split(".")[:2])) >= (1, 24)
"""Whether onnxruntime tells a node of its session's entries."""


@pytest.mark.skipif(not TELLS_NODES, reason="onnxruntime tells nodes of a session's entries since 1.24")
@pytest.mark.parametrize("registered", [None, "planes", "codes"])
@pytest.mark.parametrize("kernel", ["planes", "codes"])
def test_an_entry_that_is_set_after_the_library_was_registered_counts(registered, kernel):
    case = case_of(4, 5)
    told: list[str] = []
    listener = inspection._LISTENER(lambda node, choice, *_: told.append(choice.decode()))
    library = ctypes.CDLL(paconv.library_path())
    library.paconv_set_listener.argtypes = [ctypes.c_void_p]
    library.paconv_set_listener(ctypes.cast(listener, ctypes.c_void_p))
    try:
        ort.InferenceSession(model_of(case).SerializeToString(), later(kernel, registered=registered))
    finally:
        library.paconv_set_listener(None)
    assert told == [kernel]


@pytest.mark.skipif(not TELLS_NODES, reason="onnxruntime tells nodes of a session's entries since 1.24")
def test_an_unknown_kernel_is_refused_then_too():
    for entry in ("bits", "Planes", "x" * 500):
        with pytest.raises(Exception, match=f"paconv.kernel={entry[:64]}: expected auto, planes, codes"):
            ort.InferenceSession(model_of(case_of(2, 2)).SerializeToString(), later(entry))


def test_an_unknown_kernel_is_refused_with_those_there_are(monkeypatch):
    case = case_of(2, 2)
    with pytest.raises(UsageError, match="expected auto, planes, codes; found 'bits'"):
        chosen(case, "bits")
    monkeypatch.setenv("PACONV_KERNEL", "bits")
    with pytest.raises(PaconvError, match="PACONV_KERNEL=bits: expected auto, planes, codes"):
        chosen(case)


def test_the_library_ships_a_rate_for_every_number_of_planes_and_kind_of_products_of_every_cpu():
    for cpu in CPUS:
        rates = rates_of(cpu)
        assert set(rates.planes) == set(plane_pairs())
        assert set(rates.codes) == set(cpu.multipliers)
        assert min(*rates.planes.values(), *rates.codes.values()) > 0


@pytest.mark.parametrize("cpu", runnable_cpus())
def test_measured_rates_are_positive_and_complete(cpu):
    told, kinds = [], find_cpu(cpu).multipliers
    rates = measure_rates(cpu, 1e-5, lambda done, total: told.append((done, total)))
    assert isinstance(rates, Rates)
    assert set(rates.planes) == set(plane_pairs())
    assert set(rates.codes) == set(kinds)
    assert min(*rates.planes.values(), *rates.codes.values()) > 0
    total = 64 + len(kinds)
    assert told == [(k, total) for k in range(total)]


@pytest.mark.skipif("x86-64-v4-amx" not in runnable_cpus(), reason="this CPU has no AMX")
def test_rates_of_amx_can_be_the_first_thing_that_a_process_asks_for():
    code = (
        "from paconv.runtime.measure_rates import measure_rates\n"
        "print(sorted(measure_rates('x86-64-v4-amx', 1e-5).codes))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['dot', 'tiles']\n", "")


def test_rates_of_a_cpu_that_this_machine_does_not_run_are_refused_with_those_it_runs():
    other = next(cpu.name for cpu in CPUS if cpu.name not in runnable_cpus())
    expected = f"CPU '{other}': expected one that this machine runs: {runnable_cpus()[0]}"
    with pytest.raises(UsageError, match=expected):
        measure_rates(other)


def test_inspect_prints_what_the_library_says(tmp_path):
    case = case_of(4, 5)
    path = tmp_path / "pa.onnx"
    path.write_bytes(model_of(case).SerializeToString())

    def inspect(*arguments):
        command = [sys.executable, "-m", "paconv", "inspect", *map(str, arguments)]
        environment = os.environ | {"PACONV_CACHE": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    found = json.loads(inspect(path, "--format", "json").stdout)
    assert found["level"] == active_cpu() and "library's own" in found["rates"]
    assert [n["node"] for n in found["nodes"]] == ["the_conv"]
    measured = json.loads(inspect(path, "--measure", "--format", "json").stdout)
    assert measured["rates"].startswith(str(tmp_path)) and os.path.exists(measured["rates"])
    (forced,) = json.loads(inspect(path, "--kernel", "codes", "--format", "json").stdout)["nodes"]
    assert (forced["kernel"], forced["reason"]) == ("codes", "forced") and forced["kind"] in KINDS
    assert "forced" in inspect(path, "--kernel", "planes").stdout
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
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["level"] == active_cpu()
    assert found["provenance"] == {"optimizer": paconv.__version__}
    assert (
        f"provenance: optimizer {paconv.__version__}"
        in CliRunner().invoke(cli, ["inspect", str(tmp_path / "pa.onnx")]).stdout
    )
