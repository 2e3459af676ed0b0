"""`paconv cost --host`: predictions from a host model that lies in the cache, so that nothing is measured."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from paconv.cost.host import comparison
from paconv.cost.host.cache import cache_path, store
from paconv.cost.sweep import PLANES_M, PLANES_N
from paconv.measure.machine import host_identity
from tests.cli.test_cost import write
from tests.cost.host import synthetic
from tests.network.resnet_graphs import FORMS, resnet_graph

GRID = [(M, N) for M in PLANES_M for N in PLANES_N if N is not None]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {form: write(resnet_graph(18, form), folder / f"{form}.onnx") for form in FORMS}


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """The file of a synthetic host model for one thread, with the whole grid of planes."""
    monkeypatch.setenv("PACONV_CACHE", str(tmp_path / "cache"))
    path = cache_path(host_identity(1))
    store(path, synthetic.host(*GRID))
    return path


def test_json_has_seconds_of_each_layer_on_each_kernel_and_totals(models, run, cached):
    code, out, err = run("cost", models["optimized"], "--host", "--format", "json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    binary = [layer for layer in data["layers"] if layer["bit_planes"] is not None]
    assert len(data["layers"]) == 21 and len(binary) == 19
    assert all(layer["fastest"] in ("float", "bit_planes", "level_codes") for layer in data["layers"])
    assert data["totals"]["as_it_is"] > sum(min(layer["bit_planes"], layer["level_codes"]) for layer in binary)
    assert data["not_predicted"] == []
    assert "predicted" in data["provenance"]["layers"]


def test_exported_and_optimized_forms_have_the_same_layers_on_the_host(models, run, cached):
    found = [
        json.loads(run("cost", models[form], "--host", "--format", "json")[1]) for form in ("exported", "optimized")
    ]
    assert found[0]["layers"] == found[1]["layers"]


def test_every_format_of_the_prediction_can_be_printed(models, run, cached):
    text = run("cost", models["optimized"], "--host", "--explain")[1]
    assert "predicted, not measured" in text and "provenance: " in text
    assert run("cost", models["optimized"], "--host", "--format", "markdown")[1].startswith("### Latency of")
    rows = list(csv.DictReader(io.StringIO(run("cost", models["optimized"], "--host", "--format", "csv")[1])))
    assert rows[-1]["name"] == "total" and float(rows[1]["bit_planes_predicted_s"]) > 0
    assert " at 4x5;" in " ".join(text.split()) and "at 2x1" not in text


def test_a_float_model_is_predicted_under_pa(models, run, cached):
    options = ("--scheme", "pa", "-M", 4, "-N", 5, "--host", "--format", "json")
    under_pa = json.loads(run("cost", models["float"], *options)[1])
    alone = json.loads(run("cost", models["float"], "--host", "--format", "json")[1])
    assert sum(layer["bit_planes"] is not None for layer in under_pa["layers"]) == 19
    assert alone["totals"]["float"] == alone["totals"]["as_it_is"] == under_pa["totals"]["float"]


@pytest.mark.parametrize("options", [("--host",), ("--host", "--sweep")])
def test_times_of_a_small_network_are_in_microseconds_and_none_is_zero(run, cached, tmp_path, options):
    small = write(resnet_graph(18, "float", image=(3, 32, 32)), tmp_path / "small.onnx")
    code, out, err = run("cost", small, *options)
    assert (code, err) == (0, "") and "[µs]" in out and "[ms]" not in out
    cells = [cell for line in out.splitlines() if " conv " in line for cell in line.split()]
    times = [float(cell.replace(",", "")) for cell in cells if re.fullmatch(r"[\d,]+\.\d\d", cell)]
    assert all(times) and (times or "--sweep" in options)


@pytest.mark.parametrize("options", [(), ("--host",), ("--sweep",), ("--sweep", "--host"), ("--latency",)])
def test_quiet_is_one_line_whatever_is_asked_for(models, run, cached, options):
    code, out, err = run("cost", models["optimized"], *options, "-q")
    assert (code, err, out.count("\n")) == (0, "", 1)


@pytest.mark.parametrize(("form", "options"), [("optimized", ()), ("exported", ()), ("float", ("--scheme", "pa"))])
def test_the_speed_beside_float_is_told_for_every_form(models, run, cached, form, options):
    code, out, err = run("cost", models[form], "--host", *options)
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("predicted: ")]
    data = json.loads(run("cost", models[form], "--host", *options, "--format", "json")[1])
    speed, totals = data["speed"], data["totals"]
    assert (speed["predicted"], speed["float"]) == (totals["as_it_is"], totals["float"])
    assert speed["ratio"] == pytest.approx(totals["float"] / totals["as_it_is"])
    assert line.startswith(f"predicted: {1e3 * speed['predicted']:.3g} ms, float {1e3 * speed['float']:.3g} ms: ")
    own = {layer["name"]: (layer[layer["runs_on"]], layer["float"]) for layer in data["layers"]}
    slower = {name for name, (mine, real) in own.items() if mine > 1.005 * real}
    assert slower and {layer["name"] for layer in speed["slower_layers"]} == slower
    assert "slower than float: " + speed["slower_layers"][0]["name"] in out
    gained = sum(own[name][0] - own[name][1] for name in slower)
    assert speed["with_these_left_real"] == pytest.approx(speed["predicted"] - gained)


def test_the_sweep_has_latencies_and_says_which_points_are_beaten(models, run, cached, tmp_path):
    picture = tmp_path / "sweep.png"
    _, out, err = run("cost", models["float"], "--sweep", "--host", "--plot", picture, "--format", "json")
    assert err == "" and picture.read_bytes().startswith(b"\x89PNG")
    points = {(p["M"], p["N"]): p for p in json.loads(out)["points"]}
    assert len(points) == 36
    for M in PLANES_M:
        assert not points[M, "full"]["beaten"] and not points[M, 1]["beaten"]
        for N in range(1, 9):
            slower = points[M, N]["latency"] >= points[M, "full"]["latency"]
            assert points[M, N]["beaten"] == (slower or points[M, N + 1]["latency"] <= points[M, N]["latency"]
                                              if N < 8 else slower)  # fmt: skip
    assert any(p["beaten"] for p in points.values())
    text = run("cost", models["float"], "--sweep", "--host")[1]
    assert "latency [ms]" in text and "beaten" in text


def test_a_model_can_be_measured_beside_its_prediction(run, cached, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "_SECONDS", 0.0)
    monkeypatch.setattr(comparison, "_NETWORK_SECONDS", 0.0)
    graph = resnet_graph(18, "float", image=(3, 32, 32))
    graph.ir_version = 8  # which the oldest onnxruntime reads
    small = write(graph, tmp_path / "small.onnx")
    code, out, err = run("cost", small, "--host", "--measure", "--format", "json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert len(data["layers"]) == 21
    assert data["median_errors"]["bit_planes"] is None and data["median_errors"]["level_codes"] is None
    assert all(layer["float"]["measured"] > 0 for layer in data["layers"])
    assert data["network"]["measured"] > 0
    under = run("cost", small, "--host", "--measure", "--scheme", "float")[1]
    assert "whole network: not measured" in under


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", 2), "--threads belongs to --host"),
        (("--refresh",), "--refresh belongs to --host"),
        (("--measure",), "--measure belongs to --host"),
        (("--host", "--latency"), "give one of them"),
        (("--host", "--sweep", "--measure"), "leave out --sweep"),
        (("--host", "--threads", 0), "0 is not in the range"),
        (("--host", "--scheme", "bireal"), "schemes pa and float; found bireal"),
    ],
)
def test_wrong_combinations_are_one_clear_line(models, run, cached, options, message):
    code, out, err = run("cost", models["float"], *options)
    assert code == (2 if 0 in options else 1) and out == ""
    assert err.count("\n") == 1 and message in err


def test_a_damaged_cache_file_is_one_clear_line(models, run, cached):
    cached.write_text("{}")
    code, _, err = run("cost", models["float"], "--host")
    assert code == 1 and "measure again with --refresh" in err and err.count("\n") == 1
