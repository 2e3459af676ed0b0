"""`paconv bench` and `paconv bench-report` as they are typed: tables, JSON, and one line for what is wrong."""

from __future__ import annotations

import json

import pytest

from paconv.cli import bench_report
from paconv.cost.host.probe import bit_conv, float_layer
from paconv.studies.speed.report import DATA, PICTURE, REPORT
from tests.bench.test_models import LAYER, saved
from tests.studies.speed.synthetic import comparison


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return saved(bit_conv(LAYER, 4, 5), folder / "pa.onnx"), saved(float_layer(LAYER), folder / "float.onnx")


def test_json_has_what_was_measured_on_what_and_how(run, files):
    packed, real = files
    code, out, err = run("bench", packed, "--against", real, "--threads", "1,2", "--per-layer", "--seconds", 0.01,
                         "--format", "json")  # fmt: skip
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert set(data) == {"environment", "options", "sessions", "int8", "layers", "limits", "units"}
    assert {"cpu", "instructions", "cores", "versions", "level", "kernels", "date", "load"} <= set(data["environment"])
    assert {"paconv", "onnxruntime", "numpy", "onnx", "python"} == set(data["environment"]["versions"])
    assert data["options"] == {
        "threads": [1, 2], "seconds": 0.01, "int8": False, "kernel": "auto", "batch": 1, "seed": 0,
        "inputs": {"X": [1, 8, 5, 5]}, "spinning": False,
    }  # fmt: skip
    assert [(s["file"], s["threads"]) for s in data["sessions"]] == [(packed, 1), (packed, 2), (real, 1), (real, 2)]
    own, other = data["sessions"][0], data["sessions"][2]
    assert other["model_is_times_as_fast"] == pytest.approx(other["best"] / own["best"])
    assert [layer["threads"] for layer in data["layers"]] == [1, 2]
    layer = data["layers"][0]
    assert (layer["M"], layer["N"], layer["macs"]) == (4, 5, 16 * 25 * 72)
    assert layer["bit_operations_per_second"] == pytest.approx(20 * layer["macs_per_second"])


def test_the_8_bit_form_of_the_float_model_is_timed_where_it_is_asked_for(run, files):
    packed, real = files
    code, out, err = run("bench", packed, "--against", real, "--int8", "--seconds", 0.01)
    assert (code, err) == (0, "")
    for found in ("float.onnx, int8", "8-bit form", "its largest", "which onnxruntime advises for", "on this CPU"):
        assert found in out, found
    data = json.loads(run("bench", packed, "--against", real, "--int8", "--seconds", 0.01, "--format", "json")[1])
    assert data["sessions"][-1]["int8"]["error"]["relative"] > 0 and data["int8"]["form"]


def test_tables_name_the_models_and_the_layers(run, files):
    packed, real = files
    code, out, _ = run("bench", packed, "--against", real, "--per-layer", "--kernel", "planes", "--seconds", 0.01)
    assert code == 0
    for found in ("pa.onnx, input X 1x8x5x5, kernel planes", "float.onnx", "16x8x3x3", "forced", "of the", "sum"):
        assert found in out, found
    code, out, _ = run("bench", packed, "--seconds", 0.01, "--format", "markdown")
    assert code == 0 and out.startswith("### pa.onnx, input X 1x8x5x5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "0"), "expected counts of 1 to 1024"),
        (("--threads", "1,x"), "expected counts of 1 to 1024"),
        (("--against", "none.onnx"), "none.onnx: no such file"),
        (("--kernel", "fastest"), "'fastest' is not one of"),
        (("--int8",), "expected a float model to quantize"),
        (("--threads", "10000000000000000000000"), "expected counts of 1 to 1024"),
        (("--batch", "10000000000000000000000"), "is not in the range 1<=x<=2147483647"),
        (("--seconds", "0"), "0.0 is not in the range"),
        (("--inputs", "none.npz"), "none.npz: no such file"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run, files, options, message):
    code, out, err = run("bench", files[0], *options)
    assert code != 0 and out == ""
    assert err.count("\n") == 1 and message in err


def test_the_environments_kernel_counts_where_none_is_given(run, files, monkeypatch):
    monkeypatch.setenv("PACONV_KERNEL", "planes")
    assert "kernel planes" in run("bench", files[0], "--seconds", 0.01)[1]
    assert "kernel codes" in run("bench", files[0], "--kernel", "codes", "--seconds", 0.01)[1]
    monkeypatch.setenv("PACONV_KERNEL", "wrong")
    code, out, err = run("bench", files[0], "--seconds", 0.01)
    assert code == 1 and out == "" and err.count("\n") == 1 and "expected auto, planes, codes" in err


def test_a_table_of_layers_needs_a_packed_model(run, files):
    code, _, err = run("bench", files[1], "--per-layer")
    assert code == 1 and "found no PABitConv" in err and err.count("\n") == 1
    assert "no such file" in run("bench", "none.onnx")[2]


@pytest.fixture
def asked(monkeypatch):
    """The options that the comparison was asked for, in place of running it."""
    found = []

    def compare(options, progress):
        found.append(options)
        return comparison()

    monkeypatch.setattr(bench_report, "compare_all", compare)
    return found


def test_the_report_is_written_and_its_targets_printed(run, asked, tmp_path):
    code, out, err = run("bench-report", "-o", tmp_path / "report")
    assert (code, err) == (0, "")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {REPORT, PICTURE, DATA}
    assert "optimize ResNet50: < 15 s; 20.0 s: missed by 33%" in out and out.rstrip().endswith(REPORT)
    (options,) = asked
    assert list(options.networks) == ["resnet18", "resnet34", "resnet50"] and len(options.layers) == 6
    assert (options.threads, options.larq_python) == ([1, 2], None)
    rows = json.loads(run("bench-report", "-o", tmp_path / "report", "--format", "json")[1])
    assert {"what", "target", "value", "verdict"} <= set(rows[0])


def test_a_part_of_it_can_be_asked_for(run, asked, tmp_path):
    run("bench-report", "-o", tmp_path, "--quick", "--threads", "1", "--no-layers")
    run("bench-report", "-o", tmp_path, "--networks", "resnet34,resnet18", "--seconds", "20")
    run("bench-report", "-o", tmp_path, "--networks", "none", "--larq-python", "python")
    quick, chosen, layers = asked
    assert (list(quick.networks), quick.layers, quick.threads) == (["resnet18"], (), [1])
    assert (list(chosen.networks), chosen.network_seconds, chosen.layer_seconds) == (["resnet34", "resnet18"], 20, 4)
    assert layers.networks == {} and layers.larq_python == "python"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--networks", "vgg"), "found 'vgg'"),
        (("--networks", "none", "--no-layers"), "leaves nothing to compare"),
        (("--threads", "0"), "expected counts of 1 to 1024"),
        (("--seconds", "-1"), "is not in the range"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(run, asked, tmp_path, options, message):
    code, out, err = run("bench-report", "-o", tmp_path / "report", *options)
    assert code != 0 and out == "" and asked == []
    assert err.count("\n") == 1 and message in err
    assert not (tmp_path / "report").exists()


def test_a_file_is_no_folder_for_a_report(run, asked, tmp_path):
    (tmp_path / "report").write_text("mine")
    code, _, err = run("bench-report", "-o", tmp_path / "report")
    assert code != 0 and err.count("\n") == 1 and asked == []
    assert (tmp_path / "report").read_text() == "mine"


@pytest.mark.parametrize("seconds", ["nan", "inf"])
@pytest.mark.parametrize("command", [("bench",), ("bench-report", "-o", "report")])
def test_a_time_that_is_no_number_is_refused(run, tmp_path, monkeypatch, command, seconds):
    monkeypatch.chdir(tmp_path)
    files = [saved(float_layer(LAYER), tmp_path / "float.onnx")] if command[0] == "bench" else []
    code, _, err = run(*command, *files, "--seconds", seconds)
    assert code == 1 and f"expected a finite number above 0; found {seconds}" in err


def test_int8_without_a_float_model_names_what_was_given(run, tmp_path):
    path = saved(bit_conv(LAYER, 2, 2), tmp_path / "packed.onnx")
    code, _, err = run("bench", path, "--int8", "--seconds", "0.05")
    assert (
        code == 1 and "packed.onnx, each approximated or quantized already; give the float file with --against" in err
    )


def test_a_python_without_larq_is_named(run, tmp_path):
    code, _, err = run("bench-report", "-o", tmp_path / "r", "--networks", "none", "--larq-python", "/bin/false")
    assert code == 1 and "/bin/false: Larq Compute Engine's process ended without an answer; give a Python" in err
